//! Frames that have begun and do not end: a socket holds no more of them than its budget.

mod support;

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use support::events::PeerProbe;
use support::host::Host;
use support::raw_peer::{DATA, RawPeer, frame};
use support::{aside, eventually};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn identity(number: usize) -> [u8; 16] {
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    identity
}

fn spawn(
    address: SocketAddr,
    count: usize,
    talk: impl Fn(usize, RawPeer) + Clone + Send + 'static,
) -> Vec<JoinHandle<()>> {
    (0..count)
        .map(|number| {
            let talk = talk.clone();
            thread::spawn(move || talk(number, RawPeer::introduced(address, identity(number))))
        })
        .collect()
}

/// Says that a frame of so many bytes follows, and half of what is in it or what the kernel takes.
fn dribble(peer: &mut RawPeer, announced: usize) {
    peer.say(&u32::try_from(announced).unwrap().to_be_bytes());
    peer.say(&[DATA]);
    let _ = peer.try_say(&vec![1; announced.min(4 * MIB) / 2]);
}

#[actix::test]
async fn a_hundred_peers_that_never_finish_a_frame_hold_no_more_than_the_budget() {
    const PEERS: usize = 100;
    const BUDGET: usize = 16 * MIB;
    let builder = Socket::builder()
        .memory_budget(BUDGET)
        .heartbeat_timeout(Duration::from_millis(300));
    let mut host = Host::start(builder).await;
    // Most could each be served; a few announce the largest frame that there is.
    let peers = spawn(host.address, PEERS, |number, mut peer| {
        let announced = if number % 20 == 0 { 64 } else { 1 };
        dribble(&mut peer, announced * MIB - 1);
        peer.expect_end();
    });
    for _ in 0..PEERS {
        host.peers.up().await;
    }
    let mut most = 0;
    let begun = Instant::now();
    // All of them are ended, for want of a whole frame; the good peer is served all the while.
    while host.socket.stats().peers > 1 {
        assert!(begun.elapsed() < support::PATIENCE, "they never end");
        most = most.max(host.socket.stats().unfinished_bytes);
        host.still_serves().await;
    }
    assert!(most > BUDGET / 4, "{most} bytes were held");
    assert!(most <= BUDGET / 2 + 64 * MIB, "{most}");
    assert_eq!(host.socket.stats().unfinished_bytes, 0);
    for peer in peers {
        peer.join().unwrap();
    }
}

#[actix::test]
async fn large_frames_from_many_peers_all_arrive_within_a_small_budget() {
    const PEERS: usize = 24;
    for size in [300 * KIB, 2 * MIB] {
        let mut host = Host::start(
            Socket::builder()
                .memory_budget(MIB)
                .heartbeat_interval(Duration::from_millis(50)),
        )
        .await;
        let peers = spawn(host.address, PEERS, move |number, mut peer| {
            for round in 0..3 {
                let payload = vec![number as u8 + round; size];
                // In pieces, so that many frames are unfinished at a time.
                for piece in frame(DATA, &payload).chunks(100 * KIB) {
                    peer.say(piece);
                    thread::yield_now();
                }
            }
            peer.finish();
            // Whoever closes over heartbeats that it has not read resets the connection, and what
            // waits in its own kernel for its turn is lost.
            peer.expect_end();
        });
        for _ in 0..3 * PEERS {
            let message = host.message().await;
            assert_eq!(message.len(), size);
            assert!(message.iter().all(|byte| *byte == message[0]));
            let held = host.socket.stats().unfinished_bytes;
            assert!(held <= MIB / 2 + 2 * MIB, "{held}");
        }
        for peer in peers {
            aside(move || peer.join().unwrap()).await;
        }
        assert_eq!(host.socket.stats().unfinished_bytes, 0);
    }
}

#[actix::test]
async fn one_that_never_finishes_gives_way_to_others_when_it_is_given_up() {
    let builder = Socket::builder()
        .memory_budget(0)
        .heartbeat_timeout(Duration::from_millis(500));
    let mut host = Host::start(builder).await;
    let address = host.address;
    let stuck = aside(move || {
        let mut peer = RawPeer::introduced(address, identity(1));
        dribble(&mut peer, 64 * MIB);
        peer
    });
    let _stuck = stuck.await;
    host.peers.up().await;
    eventually("it to go above the budget", || {
        host.socket.stats().unfinished_bytes > 0
    })
    .await;
    let honest = aside(move || {
        let mut peer = RawPeer::introduced(address, identity(2));
        peer.data(&vec![2; MIB]);
        peer
    });
    let _honest = honest.await;
    assert_eq!(host.message().await.len(), MIB);
    assert_eq!(host.down_reason().await, DownReason::Silent);
}
