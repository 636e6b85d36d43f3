//! Bursts: a block of a link that the link's own thread fills without taking the lock.
//!
//! Taking a lock for each message costs as much as encoding a small one. A sender on the thread
//! of the connection borrows the block at the end of the queue, with a reservation of the room that is left.
//! It gives the block back when that is full, when the connection writes, or when anything else is queued.
//! The place of the block in the queue stays reserved, so that messages keep the order of the sends. A sender
//! on another thread cannot take the block back: it revokes it and queues behind it, and the borrower puts
//! nothing more into it.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::attempt::{Attempt, Courtesy, Refused};
use super::block::{Block, FrameRoute};
use super::entry::Entry;
use super::limits::Bound;
use super::link::{Link, wake_writer};
use super::send_queue::Reservation;
use super::state::LinkState;
use crate::limits::DeliveryGuarantee;
use crate::payload::begins_as_envelope;
use crate::wire;

thread_local! {
    /// One at a time: whoever finds it taken uses the lock.
    static STAGE: RefCell<Option<BorrowedBlock>> = const { RefCell::new(None) };
}

/// A borrowed block.
#[derive(Debug)]
struct BorrowedBlock {
    use_for: UseFor,
    link: Arc<Link>,
    block: Block,
    room: Reservation,
    /// Frames that were put so far.
    frames: usize,
    bytes: usize,
}

/// Messages that may go into a borrowed block, so that all of it has one way to go if the link closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UseFor {
    /// Messages in turn, while the list of routes is of this version: the link is the only one in it.
    Turns {
        version: u64,
    },
    /// Replies to the peer of the link.
    Replies,
    /// The same to a peer that reads metadata: what begins as an envelope has to go into one.
    TurnsToReader {
        version: u64,
    },
    RepliesToReader,
}

impl UseFor {
    const fn route(self) -> FrameRoute {
        match self {
            Self::Turns { .. } => FrameRoute::in_turn(false),
            Self::Replies => FrameRoute::named(false),
            Self::TurnsToReader { .. } => FrameRoute::in_turn(true),
            Self::RepliesToReader => FrameRoute::named(true),
        }
    }
}

/// True if this thread can borrow.
fn is_free() -> bool {
    STAGE.with_borrow(Option::is_none)
}

/// Borrows a block of `link`; the caller holds the lock of the link and has found this thread
/// [free](is_free).
fn borrow(link: &Arc<Link>, use_for: UseFor, block: Block, room: Reservation) {
    link.loan.begin();
    STAGE.set(Some(BorrowedBlock {
        use_for,
        link: Arc::clone(link),
        block,
        room,
        frames: 0,
        bytes: 0,
    }));
}

/// Gives back the block that this thread borrowed from `link`, with its content.
fn give_back(link: &Link) -> Option<(Block, usize, usize)> {
    let stage = STAGE.try_with(|stage| {
        let mut stage = stage.borrow_mut();
        let here = stage
            .as_ref()
            .is_some_and(|stage| std::ptr::eq(&*stage.link, link));
        if here { stage.take() } else { None }
    });
    let BorrowedBlock {
        mut block,
        frames,
        bytes,
        ..
    } = stage.ok()??;
    link.loan.note(0, 0);
    block.extend_run(frames);
    Some((block, frames, bytes))
}

/// Queues a message for the only link in a list of routes, if this thread has borrowed a block of
/// it and there is room.
#[inline]
pub(crate) fn try_put(version: u64, payload: &Bytes) -> bool {
    STAGE.with_borrow_mut(|stage| match stage {
        Some(stage) if stage.use_for == (UseFor::Turns { version }) => stage.try_put(payload),
        Some(stage) => {
            stage.use_for == UseFor::TurnsToReader { version } && stage.try_put_to_reader(payload)
        }
        None => false,
    })
}

impl BorrowedBlock {
    #[inline(never)]
    fn try_put_to_reader(&mut self, payload: &Bytes) -> bool {
        !begins_as_envelope(payload) && self.try_put(payload)
    }

    #[inline]
    fn try_put(&mut self, payload: &Bytes) -> bool {
        let header = wire::data_header(payload.len());
        let bytes = self.bytes + header.len() + payload.len();
        if bytes > self.room.bytes
            || self.frames == self.room.frames
            || payload.len() > self.room.largest_payload
            || self.link.loan.is_revoked()
        {
            return false;
        }
        self.block.encode(&header, payload);
        self.frames += 1;
        self.bytes = bytes;
        self.link.loan.note(self.frames, bytes);
        true
    }
}

impl Link {
    /// Queues a reply at most once, if this thread has borrowed a block for replies to this very peer
    /// and there is room.
    #[inline]
    pub(crate) fn try_reply(&self, payload: &Bytes) -> bool {
        STAGE.with_borrow_mut(|stage| match stage {
            Some(stage) => {
                !self.has_locked_replies()
                    && std::ptr::eq(&*stage.link, self)
                    && match stage.use_for {
                        UseFor::Replies => stage.try_put(payload),
                        UseFor::RepliesToReader => stage.try_put_to_reader(payload),
                        UseFor::Turns { .. } | UseFor::TurnsToReader { .. } => false,
                    }
            }
            None => false,
        })
    }

    /// [`push`](Self::push) of a reply, where nothing but links holds messages for the peer. If more
    /// replies are likely to follow, they may go [without the lock](Self::try_reply).
    pub(crate) fn push_reply(self: &Arc<Self>, entry: &mut Entry) -> Result<(), Refused> {
        let mut state = self.try_queue(entry, Bound::Reply)?;
        let plain = entry.guarantee == DeliveryGuarantee::AtMostOnce && entry.extras.is_none();
        if plain && state.queue.frames() > 1 {
            let use_for = match state.reads {
                false => UseFor::Replies,
                true => UseFor::RepliesToReader,
            };
            self.lend(&mut state, use_for);
        }
        wake_writer(state);
        Ok(())
    }

    /// [`push`](Self::push) at the bound, for the only link of the list of routes that has this
    /// `version`. Where more is likely to follow, it may go [without the lock](try_put). A courteous
    /// sender is sent to the back of its thread's tasks when a block is full that can be written.
    pub(crate) fn push_in_burst(
        self: &Arc<Self>,
        entry: &mut Entry,
        courtesy: Courtesy,
        version: u64,
    ) -> Result<Attempt, Refused> {
        let mut state = self.lock();
        if !state.is_open() {
            return Err(Refused::Closed);
        }
        if self.yields(&state, entry, courtesy) == Attempt::WriterFirst {
            return Ok(Attempt::WriterFirst);
        }
        if !state.has_room(entry, Bound::Link) {
            return Err(Refused::Full);
        }
        self.queue(&mut state, entry, Bound::Link);
        if state.queue.frames() > 1 && entry.is_plain() {
            let use_for = match state.reads {
                false => UseFor::Turns { version },
                true => UseFor::TurnsToReader { version },
            };
            self.lend(&mut state, use_for);
        }
        wake_writer(state);
        Ok(Attempt::Taken)
    }

    /// The loom models know no threads of the standard library.
    #[cfg(aiomsg_loom)]
    fn lend(self: &Arc<Self>, _: &mut LinkState, _: UseFor) {}

    #[cfg(not(aiomsg_loom))]
    fn lend(self: &Arc<Self>, state: &mut LinkState, use_for: UseFor) {
        if self.loan.is_ours() && is_free() {
            let (bound, largest) = (state.bounds.queue(), state.bounds.largest_payload());
            if let Some((block, room)) = state.queue.lend(bound, largest, use_for.route()) {
                borrow(self, use_for, block, room);
            }
        }
    }

    #[cold]
    pub(super) fn end_loan(&self, state: &mut LinkState) {
        if self.loan.is_ours()
            && let Some((block, frames, bytes)) = give_back(self)
        {
            state.queue.return_block(block, frames, bytes);
            state.note_room();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use std::thread;

    use super::super::{LinkLimits, NextWrite, Target, WriteBatch};
    use super::*;
    use crate::id::Identity;

    const VERSION: u64 = u64::MAX;

    fn link(frames: usize) -> Arc<Link> {
        let limits = LinkLimits {
            frames,
            bytes: 256 * 1024,
            ..LinkLimits::of(8, 1024)
        };
        let peer = Identity::from_bytes([7; 16]);
        Arc::new(Link::without_socket(peer, 1, limits))
    }

    fn entry(number: u32) -> Entry {
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload)
    }

    /// As the socket sends. True if it went without the lock.
    fn send(link: &Arc<Link>, number: u32) -> Result<bool, Refused> {
        let mut entry = entry(number);
        if try_put(VERSION, &entry.payload) {
            return Ok(true);
        }
        link.push_in_burst(&mut entry, Courtesy::None, VERSION)
            .map(|_| false)
    }

    /// All bytes that the writer takes until nothing is left.
    fn written(link: &Link) -> Vec<u32> {
        let mut batch = WriteBatch::default();
        let mut numbers = Vec::new();
        while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {
            let block = batch.block.as_ref().expect("there are only messages");
            let frames = block.head().chunks(9);
            numbers.extend(frames.map(|f| u32::from_be_bytes(f[5..].try_into().unwrap())));
            batch.written = batch.len();
        }
        numbers
    }

    #[test]
    fn a_burst_goes_without_the_lock_in_order_and_is_counted() {
        let link = link(4096);
        let unlocked = (0..1000).filter(|&n| send(&link, n).unwrap()).count();
        assert_eq!(unlocked, 998);
        assert_eq!(link.load().frames, 1000);
        assert_eq!(link.load().bytes, 9000);
        assert!(!send(&link, 1000).unwrap(), "whoever asked ended the loan");
        assert_eq!(written(&link), (0..=1000).collect::<Vec<_>>());
        assert_eq!(link.load().frames, 0);
        assert_eq!(link.load().bytes, 0);
    }

    #[test]
    fn replies_go_without_the_lock_too_and_stay_replies() {
        let link = link(4096);
        let peer = link.peer();
        let reply = |number: u32| {
            let mut entry = entry(number);
            entry.target = Target::Peer(peer);
            link.try_reply(&entry.payload) || {
                link.push_reply(&mut entry).unwrap();
                false
            }
        };
        let unlocked = (0..100).filter(|&number| reply(number)).count();
        assert_eq!(unlocked, 98);
        // What is sent in turn goes behind them, and what is answered then behind that.
        for number in 100..110 {
            send(&link, number).unwrap();
        }
        for number in 110..120 {
            reply(number);
        }
        assert_eq!(link.load().frames, 120);
        let left = link.close(WriteBatch::default());
        for (number, entry) in (0u32..).zip(&left.unsent) {
            assert_eq!(entry.payload, number.to_be_bytes()[..]);
            let target = match number {
                100..110 => Target::Mode,
                _ => Target::Peer(peer),
            };
            assert_eq!(entry.target, target, "{number}");
        }
        assert_eq!(left.unsent.len(), 120);
        assert_eq!(link.push_reply(&mut entry(0)), Err(Refused::Closed));
    }

    #[test]
    fn the_bound_is_exact() {
        let link = link(100);
        let accepted = (0..200).take_while(|&n| send(&link, n).is_ok()).count();
        assert_eq!(accepted, 100);
        assert_eq!(written(&link), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_queued_behind_a_burst_stays_behind_it() {
        let link = link(4096);
        for number in 0..50 {
            send(&link, number).unwrap();
        }
        link.push(&mut entry(50), Bound::Reply).unwrap();
        for number in 51..100 {
            send(&link, number).unwrap();
        }
        assert_eq!(written(&link), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn another_thread_goes_behind_what_was_sent_before_it_and_nothing_overtakes_it() {
        let link = link(4096);
        for round in 0..20 {
            let first = round * 100;
            for number in first..first + 50 {
                send(&link, number).unwrap();
            }
            thread::scope(|threads| {
                threads.spawn(|| {
                    for number in first + 50..first + 60 {
                        assert_eq!(send(&link, number), Ok(false), "the loan is the owner's");
                    }
                    assert_eq!(link.load().frames, (first + 60) as usize);
                });
            });
            for number in first + 60..first + 100 {
                assert_eq!(
                    send(&link, number),
                    Ok(false),
                    "several threads are sending"
                );
            }
        }
        assert_eq!(written(&link), (0..2000).collect::<Vec<_>>());
    }

    #[test]
    fn a_link_that_closes_gives_back_what_was_put_into_its_block() {
        let link = link(4096);
        for number in 0..50 {
            send(&link, number).unwrap();
        }
        let left = link.close(WriteBatch::default());
        let numbers = left
            .unsent
            .iter()
            .map(|entry| u32::from_be_bytes(entry.payload[..].try_into().unwrap()));
        assert_eq!(numbers.collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        assert_eq!(send(&link, 50), Err(Refused::Closed));
    }

    #[test]
    fn a_burst_to_one_link_is_no_way_into_another() {
        let (first, second) = (link(4096), link(4096));
        for number in 0..10 {
            send(&first, number).unwrap();
        }
        let payload = Bytes::from_static(b"late");
        assert!(!try_put(VERSION - 1, &payload), "the routes have changed");
        let taken = second.push_in_burst(&mut entry(1), Courtesy::None, VERSION - 1);
        assert_eq!(taken, Ok(Attempt::Taken));
        let taken = second.push_in_burst(&mut entry(2), Courtesy::None, VERSION - 1);
        assert_eq!(taken, Ok(Attempt::Taken));
        assert!(!try_put(VERSION - 1, &payload), "one loan at a time");
        assert_eq!(written(&second), [1, 2]);
        assert_eq!(written(&first), (0..10).collect::<Vec<_>>());
    }
}
