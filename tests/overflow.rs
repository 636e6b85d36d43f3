//! What becomes of messages for a real peer that does not read, by overflow policy.

mod support;

use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{SocketBuilder, error::ReceiptError};
use support::events::PeerProbe;
use support::host::Host;
use support::raw_peer::{ACK, RawPeer};
use support::{aside, within_patience};

const KIB: usize = 1024;
/// Enough that the buffers of the kernel do not take them all.
const COUNT: u32 = 400;
const SIZE: usize = 64 * KIB;

struct Slow {
    host: Host,
    peer: RawPeer,
    letters: Probe<DeadLetter>,
}

const PEER: [u8; 16] = [1; 16];

/// A socket with one peer that reads nothing until the test makes it.
async fn slow(builder: SocketBuilder) -> Slow {
    let (recipient, letters) = Probe::recipient();
    let mut host = Host::alone(builder.on_dead_letter(recipient)).await;
    let address = host.address;
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    host.peers.up().await;
    Slow {
        host,
        peer,
        letters,
    }
}

fn numbered(number: u32) -> Vec<u8> {
    let mut payload = vec![0xAA; SIZE];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

fn number_of(payload: &[u8]) -> u32 {
    assert_eq!(payload.len(), SIZE, "no frame is cut");
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

impl Slow {
    /// Sends all, each of which is accepted at once, and yields what arrived and what is a dead
    /// letter.
    async fn send_all(mut self, to: Option<Identity>) -> (Vec<u32>, Vec<u32>) {
        for number in 0..COUNT {
            let payload = numbered(number);
            // The writer gets its turn, until the kernel takes no more.
            tokio::task::yield_now().await;
            match to {
                None => self.host.socket.try_send(payload).unwrap(),
                Some(peer) => self.host.socket.try_send_to(peer, payload).unwrap(),
            }
        }
        let lost = self.host.socket.stats().losses.overflow;
        assert!(lost > 0);
        let mut dead = Vec::new();
        while (dead.len() as u64) < lost {
            let letter = self.letters.next().await.unwrap();
            assert_eq!(letter.reason, DeadLetterReason::Overflow);
            dead.push(number_of(&letter.payload));
        }
        let arrive = COUNT as usize - dead.len();
        let arrived = aside(move || {
            (0..arrive)
                .map(|_| number_of(&self.peer.expect_data()))
                .collect::<Vec<_>>()
        })
        .await;
        let stats = self.host.socket.stats();
        assert_eq!(stats.dead_letters, lost);
        (arrived, dead)
    }
}

fn is_in_order(numbers: &[u32]) -> bool {
    numbers.is_sorted_by(|a, b| a < b)
}

fn is_everything(arrived: &[u32], dead: &[u32]) -> bool {
    let mut all = [arrived, dead].concat();
    all.sort_unstable();
    all == (0..COUNT).collect::<Vec<_>>()
}

#[actix::test]
async fn where_the_oldest_are_dropped_the_newest_arrive_whole_and_in_order() {
    for (mode, to) in [
        (SendMode::RoundRobin, None),
        (SendMode::RoundRobin, Some(Identity::from_bytes(PEER))),
        (SendMode::Publish, None),
    ] {
        let builder = Socket::builder()
            .send_mode(mode)
            .link_overflow(Overflow::DropOldest)
            .publish_overflow(Overflow::DropOldest);
        let (arrived, dead) = slow(builder).await.send_all(to).await;
        assert!(is_in_order(&arrived) && is_in_order(&dead), "{dead:?}");
        assert!(is_everything(&arrived, &dead));
        assert_eq!(arrived.last(), Some(&(COUNT - 1)));
    }
}

#[actix::test]
async fn where_the_newest_are_dropped_the_oldest_arrive_whole_and_in_order() {
    for mode in [SendMode::RoundRobin, SendMode::Publish] {
        let builder = Socket::builder()
            .send_mode(mode)
            .link_overflow(Overflow::DropNewest)
            .publish_overflow(Overflow::DropNewest);
        let (arrived, dead) = slow(builder).await.send_all(None).await;
        assert!(is_in_order(&arrived) && is_in_order(&dead));
        assert!(is_everything(&arrived, &dead));
        assert_eq!(dead.last(), Some(&(COUNT - 1)));
    }
}

#[actix::test]
async fn at_least_once_what_is_dropped_fails_its_receipt_and_all_else_is_acknowledged() {
    let builder = Socket::builder().link_overflow(Overflow::DropOldest);
    let mut slow = slow(builder).await;
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        let sending = slow.host.socket.send(numbered(number)).receipt();
        tokio::task::yield_now().await;
        receipts.push(within_patience("no room", sending).await.unwrap());
    }
    let lost = slow.host.socket.stats().losses.overflow as usize;
    assert!(lost > 0);
    let (_stay, gone) = std::sync::mpsc::channel::<()>();
    let reading = std::thread::spawn(move || {
        let mut numbers = Vec::new();
        for _ in 0..COUNT as usize - lost {
            let (id, payload) = slow.peer.expect_data_req();
            slow.peer.frame(ACK, &id);
            numbers.push(number_of(&payload));
        }
        // Until the test has seen what it wants.
        let _ = gone.recv();
        numbers
    });
    let (mut failed, mut fine) = (Vec::new(), Vec::new());
    for (number, receipt) in (0..).zip(receipts) {
        match within_patience("a receipt", receipt).await {
            Ok(()) => fine.push(number),
            Err(error) => {
                assert_eq!(error, ReceiptError::Overflow);
                failed.push(number);
            }
        }
    }
    drop(_stay);
    assert_eq!(reading.join().unwrap(), fine);
    assert_eq!(failed.len(), lost);
    assert!(is_everything(&fine, &failed));
    for number in failed {
        assert_eq!(
            number_of(&slow.letters.next().await.unwrap().payload),
            number
        );
    }
    assert_eq!(slow.host.socket.stats().unacknowledged, 0);
}

#[actix::test]
async fn where_a_slow_peer_is_disconnected_its_messages_wait_for_the_next_one() {
    for to in [None, Some(Identity::from_bytes(PEER))] {
        let builder = Socket::builder().link_overflow(Overflow::Disconnect);
        let mut slow = slow(builder).await;
        for number in 0..COUNT {
            let payload = numbered(number);
            let sent = match to {
                None => slow.host.socket.send(payload),
                Some(peer) => slow.host.socket.send_to(peer, payload),
            };
            // The outbox takes 16 MiB, and the rest when there is a peer again.
            if number == 200 {
                break;
            }
            within_patience("room", sent).await.unwrap();
        }
        assert_eq!(slow.host.down_reason().await, DownReason::Overflow);
        let waiting = slow.host.socket.stats();
        assert_eq!(waiting.peers, 0);
        // But for the one that was being written.
        assert!(waiting.losses.half_written <= 1);
        assert_eq!(waiting.dead_letters, waiting.losses.half_written);
        assert!(waiting.outbox_messages > 0);
        let address = slow.host.address;
        let first = 200 - waiting.outbox_messages as u32;
        let arrived = aside(move || {
            let mut again = RawPeer::introduced(address, PEER);
            let next = |_| number_of(&again.expect_data());
            (first..200).map(next).collect::<Vec<_>>()
        })
        .await;
        assert_eq!(arrived, (first..200).collect::<Vec<_>>());
    }
}

#[actix::test]
async fn without_a_policy_that_drops_the_payload_comes_back_and_nothing_is_lost() {
    for policy in [Overflow::Fail, Overflow::WaitFor(Duration::from_millis(20))] {
        let builder = Socket::builder().link_overflow(policy);
        let mut slow = slow(builder).await;
        let mut accepted = 0;
        let refused = loop {
            match slow.host.socket.send(numbered(accepted)).await {
                Ok(()) => accepted += 1,
                Err(refused) => break refused,
            }
        };
        assert!(refused.is_full());
        assert_eq!(number_of(&refused.into_payload()), accepted);
        let arrived = aside(move || {
            let next = |_| number_of(&slow.peer.expect_data());
            (0..accepted).map(next).collect::<Vec<_>>()
        })
        .await;
        assert_eq!(arrived, (0..accepted).collect::<Vec<_>>());
        assert_eq!(slow.host.socket.stats().dead_letters, 0);
    }
}

#[actix::test]
async fn an_outbox_cannot_disconnect() {
    let builder = Socket::builder().outbox_overflow(Overflow::Disconnect);
    let refused = builder.start().unwrap_err();
    assert!(matches!(
        refused,
        actix_aiomsg::error::StartError::Configuration(_)
    ));
}
