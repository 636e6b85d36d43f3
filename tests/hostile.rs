//! Peers that break the protocol, by mistake or on purpose. Each costs its own connection at most:
//! a well-behaved peer is served all the while.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use actix_aiomsg::wire::Oversize;
use support::events::PeerProbe;
use support::host::Host;
use support::raw_peer::{ACK, DATA, DATA_REQ, HELLO, RawPeer, frame, hello};
use support::{aside, eventually};

/// Notes the largest block of memory that anybody asked for.
struct Watchful;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Watchful {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is ours.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller's promise is ours.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watchful = Watchful;

const ME: [u8; 16] = [7; 16];
const MIB: u32 = 1 << 20;

fn nothing_large_was_allocated() {
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= 4 << 20, "{largest} bytes were allocated at once");
}

fn impatient() -> SocketBuilder {
    Socket::builder().handshake_timeout(Duration::from_millis(300))
}

/// Says `bytes` in place of a HELLO. The connection must be closed without a byte in answer, and
/// for the reason expected.
async fn is_refused(builder: SocketBuilder, bytes: Vec<u8>, expected: RefusalReason) {
    let mut host = Host::start(builder).await;
    let address = host.address;
    let answer = aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.say(&bytes);
        peer.read().ok().flatten()
    })
    .await;
    assert_eq!(answer, None, "a refused peer must not take us for admitted");
    assert_eq!(host.refusal().await, expected);
    assert!(host.socket.stats().refused >= 1);
    host.still_serves().await;
    nothing_large_was_allocated();
}

#[actix::test]
async fn garbage_is_refused() {
    let garbage = RefusalReason::UnknownProtocol { first_byte: 0xa5 };
    is_refused(Socket::builder(), vec![0xa5; 3000], garbage).await;
}

#[actix::test]
async fn zeros_are_refused_as_an_empty_frame() {
    is_refused(Socket::builder(), vec![0; 3000], RefusalReason::Empty).await;
}

#[actix::test]
async fn four_gibibytes_announced_before_hello_are_refused() {
    let oversize = RefusalReason::Oversize(Oversize {
        announced: 0x00ff_ffff,
        limit: 4 * 1024,
    });
    let announced = [0x00, 0xff, 0xff, 0xff, HELLO].to_vec();
    is_refused(Socket::builder(), announced, oversize).await;
    let garbage = RefusalReason::UnknownProtocol { first_byte: 0xff };
    is_refused(Socket::builder(), vec![0xff; 5], garbage).await;
}

#[actix::test]
async fn a_peer_that_says_nothing_is_dropped_at_the_handshake_timeout() {
    is_refused(impatient(), Vec::new(), RefusalReason::TimedOut).await;
}

#[actix::test]
async fn half_a_hello_is_dropped_at_the_handshake_timeout() {
    let half = hello(ME)[..12].to_vec();
    is_refused(impatient(), half, RefusalReason::TimedOut).await;
}

#[actix::test]
async fn another_version_is_refused() {
    let body = [&[2], &ME[..]].concat();
    let refused = is_refused(
        Socket::builder(),
        frame(HELLO, &body),
        RefusalReason::Version(2),
    );
    refused.await;
}

#[actix::test]
async fn a_hello_that_is_too_short_is_refused() {
    let body = [&[1], &ME[..15]].concat();
    let short = RefusalReason::Short { length: 17 };
    is_refused(Socket::builder(), frame(HELLO, &body), short).await;
}

#[actix::test]
async fn data_before_hello_is_refused() {
    let early = frame(DATA, b"early");
    is_refused(Socket::builder(), early, RefusalReason::NotHello(DATA)).await;
}

#[actix::test]
async fn our_own_identity_is_refused() {
    let identity = Identity::from_bytes(ME);
    let builder = Socket::builder().identity(identity);
    is_refused(builder, hello(ME), RefusalReason::Itself).await;
}

#[actix::test]
async fn an_identity_that_is_connected_keeps_its_old_connection() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    let mut old = aside(move || RawPeer::introduced(address, ME)).await;
    let (answer, mut old) = aside(move || {
        let mut new = RawPeer::connect(address);
        new.hello(ME);
        let answer = new.read().ok().flatten();
        old.data(b"still here");
        (answer, old)
    })
    .await;
    assert_eq!(answer, None);
    assert_eq!(host.refusal().await, RefusalReason::Duplicate);
    assert_eq!(host.message().await, "still here");
    let peer = Identity::from_bytes(ME);
    host.socket.send_to(peer, "for the old one").await.unwrap();
    let got = aside(move || old.expect_data()).await;
    assert_eq!(got, b"for the old one");
    host.still_serves().await;
}

#[actix::test]
async fn a_hello_of_one_byte_at_a_time_is_served() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    let expected = *host.socket.identity().as_bytes();
    aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.dribble(&hello(ME));
        assert_eq!(peer.expect_hello(), expected);
        peer.dribble(&frame(DATA, b"slowly"));
    })
    .await;
    assert_eq!(host.message().await, "slowly");
}

#[actix::test]
async fn data_in_the_same_write_as_the_hello_is_served_at_once() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    let peer = aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.say(&[hello(ME), frame(DATA, b"one"), frame(DATA, b"two")].concat());
        peer
    })
    .await;
    assert_eq!(host.message().await, "one");
    assert_eq!(host.message().await, "two");
    drop(peer);
}

#[actix::test]
async fn a_hello_that_is_too_long_is_served_by_its_first_seventeen_bytes() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.frame(HELLO, &[&[1], &ME[..], b"of a later version"].concat());
        peer.expect_hello();
        peer.data(b"hi");
    })
    .await;
    assert_eq!(host.message().await, "hi");
    assert_eq!(host.peers.down().await, Identity::from_bytes(ME));
}

#[actix::test]
async fn what_makes_no_sense_after_the_handshake_is_skipped_and_counted() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    let peer = aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        peer.say(&[0, 0, 0, 0]);
        peer.frame(0x00, b"");
        peer.frame(0x06, b"of the future");
        peer.frame(0xff, &[9; 100_000]);
        peer.frame(DATA_REQ, &[1; 15]);
        peer.frame(ACK, &[1; 15]);
        peer.frame(ACK, &[1; 16]);
        peer.frame(ACK, &[2; 64]);
        peer.hello([9; 16]);
        peer.frame(HELLO, &[]);
        peer.data(b"and on it goes");
        peer
    })
    .await;
    assert_eq!(host.message().await, "and on it goes");
    let stats = host.socket.stats();
    assert_eq!(stats.unknown, 3);
    // The empty envelope, the DATA_REQ, the short ACK and the short HELLO.
    assert_eq!(stats.malformed, 4);
    assert_eq!((stats.acknowledged, stats.peers), (0, 2));
    let stranger = Identity::from_bytes([9; 16]);
    assert!(host.socket.peers().iter().all(|peer| peer.peer != stranger));
    host.still_serves().await;
    drop(peer);
}

#[actix::test]
async fn a_frame_of_our_own_that_is_malformed_is_skipped_and_counted() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    let peer = aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        // No version, half an id, a text that is no text, half a number, more than 4 KiB.
        peer.frame(0xC2, b"");
        peer.frame(0xC2, &[1; 9]);
        peer.frame(0xC2, &[&[1][..], &[7; 16], &[1, 1, 0xff]].concat());
        peer.frame(0xC5, &[1, 0, 0]);
        peer.frame(0xC5, &[1; 4096]);
        // Sound ones: of a message that was never sent, of a later version, of a type that is reserved.
        peer.frame(0xC2, &[&[1][..], &[7; 16], &[1, 0]].concat());
        peer.frame(0xC5, &[1, 0, 0, 0, 0, 0, 0, 0, 9]);
        peer.frame(0xC5, &[2]);
        peer.frame(0xC6, &[1; 100]);
        peer.data(b"and on it goes");
        peer
    })
    .await;
    assert_eq!(host.message().await, "and on it goes");
    let stats = host.socket.stats();
    assert_eq!((stats.malformed, stats.unknown), (5, 2));
    host.still_serves().await;
    drop(peer);
}

#[actix::test]
async fn an_acknowledgement_that_is_too_long_counts_by_its_first_sixteen_bytes() {
    let mut host = Host::alone(Socket::builder()).await;
    let address = host.address;
    let peer = aside(move || RawPeer::introduced(address, ME)).await;
    host.peers.up().await;
    let receipt = host.socket.send("precious").receipt().await.unwrap();
    let peer = aside(move || {
        let mut peer = peer;
        let (id, _) = peer.expect_data_req();
        // Nobody else's id ends the wait.
        peer.frame(ACK, &[0xee; 16]);
        peer.frame(ACK, &[&id[..], b"and more"].concat());
        peer.frame(ACK, &id);
        peer
    })
    .await;
    receipt.await.unwrap();
    let stats = host.socket.stats();
    assert_eq!((stats.acknowledged, stats.unacknowledged), (1, 0));
    drop(peer);
}

#[actix::test]
async fn a_frame_above_the_limit_ends_the_connection_and_costs_no_memory() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        let before = [frame(DATA, b"one"), frame(DATA, b"two")].concat();
        peer.say(&[&before[..], &[0xff; 4]].concat());
        peer.expect_end();
    })
    .await;
    assert_eq!(
        host.down_reason().await,
        DownReason::Oversize {
            announced: u32::MAX,
            limit: 64 * MIB
        }
    );
    assert_eq!(host.message().await, "one", "it was whole");
    assert_eq!(host.message().await, "two", "it was whole");
    host.still_serves().await;
    nothing_large_was_allocated();
}

#[actix::test]
async fn frames_that_are_announced_and_do_not_come_cost_no_memory() {
    let host = Host::start(Socket::builder()).await;
    let address = host.address;
    let peers = aside(move || {
        let announce = |number| {
            let mut peer = RawPeer::introduced(address, [number; 16]);
            peer.say(&(64 * MIB).to_be_bytes());
            peer.say(&[DATA, 1, 2, 3]);
            peer
        };
        (1..=32).map(announce).collect::<Vec<_>>()
    })
    .await;
    eventually("all to be peers", || host.socket.stats().peers == 33).await;
    host.still_serves().await;
    host.still_serves().await;
    nothing_large_was_allocated();
    drop(peers);
}

#[actix::test]
async fn a_stream_that_ends_inside_a_frame_delivers_nothing_of_it() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        peer.data(b"whole");
        let half = frame(DATA, b"never whole");
        peer.say(&half[..half.len() - 1]);
        peer.finish();
        peer.expect_end();
    })
    .await;
    assert_eq!(host.down_reason().await, DownReason::Truncated);
    assert_eq!(host.message().await, "whole");
    host.still_serves().await;
    assert!(host.messages.is_empty());
}

#[actix::test]
async fn a_stream_that_ends_between_frames_is_a_clean_close() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        peer.data(b"whole");
        peer.finish();
        peer.expect_end();
    })
    .await;
    assert_eq!(host.down_reason().await, DownReason::Closed);
    assert_eq!(host.message().await, "whole");
}

#[actix::test]
async fn a_connection_that_is_reset_ends_by_its_transport() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    aside(move || RawPeer::introduced(address, ME).reset()).await;
    let reason = host.down_reason().await;
    assert!(matches!(reason, DownReason::Transport(_)), "{reason}");
    host.still_serves().await;
}
