use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::id::{Identity, MessageId};
use crate::inbox::{Arrival, Chunk, Inbox, ReadAhead, ReadAheadBudget};
use crate::limits::{Capacity, DeliveryGuarantee};
use crate::link::{Bound, Entry, Link, LinkLimits, NextWrite, Target, WriteBatch};
use crate::sync::Place;
use crate::wire;

const LIMITS: Capacity = Capacity {
    messages: 10,
    bytes: 1_000,
};

fn link(name: u8) -> Arc<Link> {
    let limits = LinkLimits::of(4, 1_000);
    let peer = Identity::from_bytes([name; 16]);
    Arc::new(Link::without_socket(peer, name.into(), limits))
}

fn run_up_debt(link: &Link) {
    while !link.is_in_debt() {
        let reply = Bytes::from_static(b"reply");
        let mut reply = Entry::new(
            Target::Peer(link.peer()),
            DeliveryGuarantee::AtMostOnce,
            reply,
        );
        link.push(&mut reply, Bound::Reply).unwrap();
    }
}

/// The peer reads everything.
fn pay(link: &Link) {
    let mut batch = WriteBatch::default();
    while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {}
    assert!(!link.is_in_debt());
}

fn chunk(link: &Arc<Link>, texts: &[&str]) -> Chunk {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend_from_slice(&wire::data_header(text.len()));
        bytes.extend_from_slice(text.as_bytes());
    }
    let cost = bytes.len();
    Chunk::new(Arc::clone(link), bytes.into(), texts.len(), cost)
}

/// What a chunk holds.
fn texts(chunk: &Chunk) -> Vec<String> {
    let mut texts = Vec::new();
    chunk.for_each(|_, _, payload| texts.push(String::from_utf8(payload.to_vec()).unwrap()));
    texts
}

struct Consumer<'a> {
    inbox: &'a Inbox,
    place: Place,
}

impl<'a> Consumer<'a> {
    fn of(inbox: &'a Inbox) -> Self {
        let place = Place::new();
        Self { inbox, place }
    }

    fn try_take(&mut self) -> Option<Chunk> {
        let mut cx = Context::from_waker(Waker::noop());
        match self.inbox.poll_take(&mut cx, &mut self.place) {
            Poll::Ready(chunk) => Some(chunk.unwrap()),
            Poll::Pending => None,
        }
    }

    fn take(&mut self) -> Vec<String> {
        let chunk = self.try_take().expect("there is something");
        self.inbox.release(&chunk, chunk.messages(), chunk.cost());
        texts(&chunk)
    }

    fn take_one(&mut self) -> Option<Vec<String>> {
        let mut cx = Context::from_waker(Waker::noop());
        match self.inbox.poll_take_one(&mut cx, &mut self.place) {
            Poll::Ready(chunk) => Some(texts(&chunk.unwrap())),
            Poll::Pending => None,
        }
    }
}

fn push(inbox: &Inbox, chunk: Chunk) {
    assert!(inbox.push_over(chunk, Arrival::New).is_ok());
}

fn reserve(inbox: &Inbox, bytes: usize) -> bool {
    let mut place = Place::new();
    let mut cx = Context::from_waker(Waker::noop());
    let reserved = inbox.poll_reserve(&mut cx, &mut place, bytes).is_ready();
    place.leave(&inbox.readers);
    if reserved {
        inbox.unreserve(bytes);
    }
    reserved
}

#[test]
fn others_are_served_before_a_peer_in_debt_and_its_own_stay_in_order() {
    let inbox = Inbox::new(LIMITS);
    let (a, b) = (link(1), link(2));
    let mut consumer = Consumer::of(&inbox);
    run_up_debt(&a);
    push(&inbox, chunk(&a, &["a1", "a2"]));
    push(&inbox, chunk(&b, &["b1"]));
    push(&inbox, chunk(&a, &["a3"]));
    push(&inbox, chunk(&b, &["b2"]));
    assert_eq!(consumer.take(), ["b1"]);
    assert_eq!(consumer.take(), ["b2"]);
    assert!(consumer.try_take().is_none());
    pay(&a);
    inbox.relieve();
    push(&inbox, chunk(&a, &["a4"]));
    assert_eq!(consumer.take(), ["a1", "a2"]);
    assert_eq!(consumer.take(), ["a3"]);
    assert_eq!(consumer.take(), ["a4"]);
    assert_eq!(inbox.load(), (0, 0));
}

#[test]
fn a_peer_whose_relief_is_not_told_yet_does_not_overtake_itself() {
    let inbox = Inbox::new(LIMITS);
    let a = link(1);
    let mut consumer = Consumer::of(&inbox);
    run_up_debt(&a);
    push(&inbox, chunk(&a, &["a1"]));
    assert!(consumer.try_take().is_none());
    pay(&a);
    push(&inbox, chunk(&a, &["a2"]));
    assert!(consumer.try_take().is_none());
    inbox.relieve();
    assert_eq!(consumer.take(), ["a1"]);
    assert_eq!(consumer.take(), ["a2"]);
}

#[test]
fn what_is_given_back_in_the_middle_comes_first_again() {
    let inbox = Inbox::new(LIMITS);
    let a = link(1);
    let mut consumer = Consumer::of(&inbox);
    push(&inbox, chunk(&a, &["a1", "a2"]));
    push(&inbox, chunk(&a, &["a3"]));
    let mut in_hand = consumer.try_take().unwrap();
    let _ = in_hand.next();
    run_up_debt(&a);
    inbox.release(&in_hand, 1, 0);
    inbox.give_back(in_hand).unwrap();
    assert!(consumer.try_take().is_none());
    // Taken up, and set aside again.
    pay(&a);
    inbox.relieve();
    let in_hand = consumer.try_take().unwrap();
    run_up_debt(&a);
    inbox.give_back(in_hand).unwrap();
    assert!(consumer.try_take().is_none());
    pay(&a);
    inbox.relieve();
    assert_eq!(consumer.take(), ["a2"]);
    assert_eq!(consumer.take(), ["a3"]);
    assert_eq!(inbox.load(), (0, 0));
}

#[test]
fn one_message_at_a_time_too_is_set_aside_and_taken_up_in_order() {
    let inbox = Inbox::new(LIMITS);
    let (a, b) = (link(1), link(2));
    let mut consumer = Consumer::of(&inbox);
    push(&inbox, chunk(&a, &["a1", "a2", "a3"]));
    push(&inbox, chunk(&b, &["b1", "b2"]));
    assert_eq!(consumer.take_one().unwrap(), ["a1"]);
    run_up_debt(&a);
    assert_eq!(consumer.take_one().unwrap(), ["b1"]);
    pay(&a);
    inbox.relieve();
    for text in ["a2", "a3", "b2"] {
        assert_eq!(consumer.take_one().unwrap(), [text]);
    }
    assert!(consumer.take_one().is_none());
}

#[test]
fn what_is_set_aside_leaves_room_for_others_up_to_the_bound() {
    let inbox = Inbox::new(LIMITS);
    let (a, b) = (link(1), link(2));
    let mut consumer = Consumer::of(&inbox);
    run_up_debt(&a);
    push(&inbox, chunk(&a, &["a"; 10]));
    assert!(!reserve(&inbox, 10), "it is full");
    assert!(consumer.try_take().is_none());
    assert!(reserve(&inbox, 1_000), "all of it is set aside");
    push(&inbox, chunk(&b, &["b"; 10]));
    assert!(!reserve(&inbox, 10));
    run_up_debt(&b);
    assert!(consumer.try_take().is_none());
    assert!(
        !reserve(&inbox, 10),
        "as much as an inbox holds is set aside"
    );
    assert_eq!(inbox.load().0, 20);
}

#[test]
fn what_is_set_aside_comes_out_of_an_inbox_that_is_drained_or_closed() {
    let inbox = Inbox::new(LIMITS);
    let (a, b) = (link(1), link(2));
    let mut consumer = Consumer::of(&inbox);
    run_up_debt(&a);
    push(&inbox, chunk(&a, &["a1"]));
    push(&inbox, chunk(&b, &["b1"]));
    assert_eq!(consumer.take(), ["b1"]);
    push(&inbox, chunk(&b, &["b2"]));
    let all: Vec<_> = inbox.drain().iter().flat_map(texts).collect();
    assert_eq!(all, ["a1", "b2"]);
    assert_eq!(inbox.load(), (0, 0));

    push(&inbox, chunk(&a, &["a2"]));
    assert!(consumer.try_take().is_none());
    let all: Vec<_> = inbox.close().iter().flat_map(texts).collect();
    assert_eq!(all, ["a2"]);
    let mut cx = Context::from_waker(Waker::noop());
    let ended = inbox.poll_take(&mut cx, &mut consumer.place);
    assert!(matches!(ended, Poll::Ready(Err(_))));
}

#[test]
fn what_many_peers_have_filled_together_is_not_kept() {
    let link = link(1);
    let mut queue = super::ChunkQueue::default();
    for _ in 0..2_000 {
        queue.push(chunk(&link, &["a"]));
    }
    while queue.take().is_some() {}
    assert!(queue.chunks.capacity() <= super::KEPT_CHUNKS);
    for _ in 0..10 {
        queue.push(chunk(&link, &["a"]));
    }
    let before = queue.chunks.capacity();
    while queue.take_one().is_some() {}
    assert_eq!(queue.chunks.capacity(), before, "a little is kept");
}

/// One message of so many bytes in all, read past a full inbox.
fn chunk_ahead(link: &Arc<Link>, budget: &Arc<ReadAheadBudget>) -> Chunk {
    let one = [&wire::data_header(1)[..], b"x"].concat();
    let cost = one.len();
    let mut ahead = ReadAhead::new(budget);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(part) = ahead.poll_take(&mut cx, cost) else {
        panic!("the budget has room");
    };
    Chunk::new(Arc::clone(link), one.into(), 1, cost).read_ahead(part)
}

#[test]
fn what_was_read_ahead_takes_no_room_of_others_and_is_on_the_account_until_it_is_handled() {
    let limits = Capacity {
        messages: 1,
        bytes: 1_000,
    };
    let (inbox, budget) = (Inbox::new(limits), Arc::new(ReadAheadBudget::new(1_000)));
    let flooder = link(1);
    for _ in 0..3 {
        let chunk = chunk_ahead(&flooder, &budget);
        assert!(inbox.push_over(chunk, Arrival::New).is_ok());
    }
    let held = budget.held();
    assert_eq!((inbox.load(), held), ((3, held), held));
    let mut cx = Context::from_waker(Waker::noop());
    let mut place = Place::new();
    assert!(inbox.poll_reserve(&mut cx, &mut place, 10).is_ready());
    inbox.unreserve(10);
    for left in (0..3).rev() {
        let Poll::Ready(Ok(chunk)) = inbox.poll_take(&mut cx, &mut place) else {
            panic!("it is there");
        };
        inbox.release(&chunk, chunk.messages(), chunk.cost());
        drop(chunk);
        assert_eq!(budget.held(), left * held / 3);
    }
    assert_eq!((inbox.load(), inbox.finished()), ((0, 0), 3));
}

#[test]
fn what_was_read_ahead_of_a_peer_in_debt_is_set_aside_and_counted_once() {
    let (inbox, budget) = (Inbox::new(LIMITS), Arc::new(ReadAheadBudget::new(1_000)));
    let debtor = link(1);
    run_up_debt(&debtor);
    assert!(
        inbox
            .push_over(chunk_ahead(&debtor, &budget), Arrival::New)
            .is_ok()
    );
    let (mut cx, mut place) = (Context::from_waker(Waker::noop()), Place::new());
    assert!(inbox.poll_take(&mut cx, &mut place).is_pending());
    place.leave(&inbox.consumers);
    assert_eq!(inbox.parked(), 1);
    let mut reader = Place::new();
    assert!(inbox.poll_reserve(&mut cx, &mut reader, 1_000).is_ready());
    inbox.unreserve(1_000);
    pay(&debtor);
    inbox.relieve();
    assert!(inbox.poll_take(&mut cx, &mut place).is_ready());
}

#[test]
fn the_oldest_messages_make_room_and_a_closed_inbox_hands_back_what_comes() {
    let (inbox, budget) = (Inbox::new(LIMITS), Arc::new(ReadAheadBudget::new(1_000)));
    let peer = link(1);
    for _ in 0..12 {
        assert!(
            inbox
                .push_over(chunk_ahead(&peer, &budget), Arrival::New)
                .is_ok()
        );
    }
    assert_eq!(inbox.drop_oldest(10).len(), 1, "it has room already");
    assert_eq!(inbox.load().0, 11);
    assert_eq!(inbox.close().len(), 11);
    assert!(
        inbox
            .push_over(chunk_ahead(&peer, &budget), Arrival::New)
            .is_err()
    );
    assert_eq!((inbox.load(), budget.held()), ((0, 0), 0));
}

#[test]
fn what_waits_is_counted_and_so_is_what_of_it_its_sender_has_too() {
    let (one, other) = (link(1), link(2));
    let inbox = Inbox::new(LIMITS);
    let mut bytes = wire::data_req_header(MessageId::from_bytes([7; 16]), 1).to_vec();
    bytes.push(b'a');
    let acknowledged = Chunk::new(Arc::clone(&one), bytes.into(), 1, 1);
    assert!(inbox.try_push(acknowledged, Arrival::New).is_ok());
    run_up_debt(&other);
    assert!(
        inbox
            .try_push(chunk(&other, &["b", "c"]), Arrival::New)
            .is_ok()
    );
    assert_eq!(inbox.waiting(), (3, 1));
}
