//! What messages cost in allocations once everything is warm: none for each message on the
//! at-most-once path with a synchronous handler, only some for each read and each block of many.
//!
//! A profiler of the heap counts those of all threads, at both ends: two sockets over TCP in one
//! process. When a test fails, it leaves `dhat-heap.json`, which shows where they came from.

mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use parking_lot::Mutex;
use support::each::each;
use support::raw_peer::{DATA, RawPeer};
use support::{aside, eventually};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

/// The profiler counts for the whole process: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A sender connected to a receiver that counts.
struct Pair {
    sender: Socket,
    /// Dropping it would close it.
    _receiver: Socket,
    handled: Rc<Cell<u64>>,
}

impl Pair {
    async fn connect() -> Self {
        let receiver = Socket::start().expect("a system runs");
        let endpoint = receiver.bind("127.0.0.1:0").await.expect("a free port");
        let handled = Rc::new(Cell::new(0));
        let count = Rc::clone(&handled);
        each(&receiver, move |_| count.set(count.get() + 1));
        let sender = Socket::start().expect("a system runs");
        sender.connect(endpoint).await.expect("an endpoint");
        sender.wait_for_peers(1).await.expect("it comes");
        Self {
            sender,
            _receiver: receiver,
            handled,
        }
    }

    /// Sends so many messages and waits until they are handled.
    async fn pass(&self, messages: u64, payload: &Bytes, guarantee: DeliveryGuarantee) {
        let until = self.handled.get() + messages;
        for _ in 0..messages {
            let sending = self.sender.send(payload.clone()).guarantee(guarantee);
            sending.await.expect("it is accepted");
        }
        eventually("all to be handled", || self.handled.get() == until).await;
    }
}

/// Fails, and leaves a profile, if more than `most` allocations are made while so many messages
/// pass, after as many have warmed everything up.
fn assert_allocations(messages: u64, bytes: usize, guarantee: DeliveryGuarantee, most: u64) {
    let _alone = ONE_AT_A_TIME.lock();
    System::new().block_on(async {
        let pair = Pair::connect().await;
        let payload = Bytes::from(vec![7; bytes]);
        // The first clone makes it shared, which is an allocation; further ones are none.
        let _shared = payload.clone();
        pair.pass(messages, &payload, guarantee).await;
        let _profiler = dhat::Profiler::builder().testing().build();
        pair.pass(messages, &payload, guarantee).await;
        let blocks = dhat::HeapStats::get().total_blocks;
        dhat::assert!(
            blocks <= most,
            "{blocks} allocations for {messages} messages, and at most {most} are allowed"
        );
    });
}

/// What may be allocated for each mebibyte that passes: the buffers that are read into, a chunk for
/// each read, and the places of senders that wait for room. Four times what it is where the kernel takes
/// and gives as much as it is asked to.
const FOR_EACH_MIB: u64 = 128;

fn mib(messages: u64, bytes: usize) -> u64 {
    (messages * bytes as u64 / (1024 * 1024)).max(1)
}

#[test]
fn small_messages_are_not_allocated_for_one_by_one() {
    let (messages, bytes) = (200_000, 64);
    let most = mib(messages, bytes) * FOR_EACH_MIB;
    assert!(most < messages / 100, "the bound says what it should");
    assert_allocations(messages, bytes, DeliveryGuarantee::AtMostOnce, most);
}

#[test]
fn as_many_bytes_in_larger_messages_are_allocated_for_as_often() {
    let (messages, bytes) = (12_500, 1024);
    let most = mib(messages, bytes) * FOR_EACH_MIB;
    assert_allocations(messages, bytes, DeliveryGuarantee::AtMostOnce, most);
}

#[test]
fn acknowledged_messages_are_allocated_for_many_at_a_time() {
    let messages = 100_000;
    let most = messages / 8;
    assert_allocations(messages, 64, DeliveryGuarantee::AtLeastOnce, most);
}

/// An idle connection at the bind end keeps its task, its link, what the sweep looks at, its stream, and its registration with the
/// reactor.
#[test]
fn an_idle_connection_keeps_five_allocations() {
    const PEERS: u8 = 100;
    let _alone = ONE_AT_A_TIME.lock();
    System::new().block_on(async {
        let socket = Socket::start().expect("a system runs");
        let endpoint = socket.bind("127.0.0.1:0").await.expect("a free port");
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port().expect("of TCP")));
        let connect = |first: u8| {
            let identities = first..first + PEERS;
            let connect = move |number| RawPeer::introduced(address, [number; 16]);
            aside(move || identities.map(connect).collect::<Vec<_>>())
        };
        let _first = connect(1).await;
        socket
            .wait_for_peers(PEERS.into())
            .await
            .expect("they come");
        let profiler = dhat::Profiler::builder().testing().build();
        let _second = connect(1 + PEERS).await;
        let all = 2 * usize::from(PEERS);
        socket.wait_for_peers(all).await.expect("they come");
        // Tables that grow, and what the runtime does meanwhile, are some more.
        let most = 5 * usize::from(PEERS) + 40;
        let kept = || dhat::HeapStats::get().curr_blocks;
        eventually("what a handshake needs to go", || kept() <= most).await;
        drop(profiler);
    });
}

/// A message of 100 bytes that comes with hundreds of others in one read is passed on while nobody is there to take it.
#[test]
fn a_message_that_is_passed_on_and_waits_costs_what_it_counts() {
    const READS: u32 = 100;
    let _alone = ONE_AT_A_TIME.lock();
    System::new().block_on(async {
        let front = Socket::start().expect("a system runs");
        let back = Socket::start().expect("a system runs");
        let endpoint = front.bind("127.0.0.1:0").await.expect("a free port");
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port().expect("of TCP")));
        let (handled, outbox) = (Rc::new(Cell::new(0)), back.clone());
        let count = Rc::clone(&handled);
        each(&front, move |message| {
            if count.get() % 600 == 0 {
                let payload = message.payload().clone();
                outbox.try_send(payload).expect("there is room");
            }
            count.set(count.get() + 1);
        });
        let profiler = dhat::Profiler::builder().testing().build();
        aside(move || {
            let mut peer = RawPeer::introduced(address, [7; 16]);
            let frame = [&101_u32.to_be_bytes()[..], &[DATA], &[b'.'; 100]].concat();
            for _ in 0..READS {
                peer.say(&frame.repeat(600));
            }
            peer
        })
        .await;
        eventually("all to be handled", || handled.get() == READS * 600).await;
        let kept = dhat::HeapStats::get().curr_bytes;
        assert_eq!(back.stats().outbox_messages, READS as usize);
        // The buffers of reads alone would be 6 MiB.
        dhat::assert!(kept < 2 * 1024 * 1024, "{kept} bytes");
        drop(profiler);
    });
}
