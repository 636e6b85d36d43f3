//! Order, and nothing lost that was never handed to the kernel, while peers come and go.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use support::each::each;
use support::proxy::FaultProxy;
use support::raw_peer::RawPeer;
use support::{aside, eventually};

/// What one receiver, or several that take turns, got: whom it was sent by, and its number.
#[derive(Default)]
struct Seen {
    /// The last number of each sender.
    last: BTreeMap<u32, u64>,
    /// How often each number of each sender came.
    times: BTreeMap<u32, Vec<u8>>,
    /// Messages in all.
    count: u64,
    /// The first message that came behind a later one of its sender.
    misplaced: Option<(u32, u64)>,
}

impl Seen {
    fn note(&mut self, payload: &[u8]) {
        let sender = u32::from_be_bytes(payload[..4].try_into().unwrap());
        let number = u64::from_be_bytes(payload[4..12].try_into().unwrap());
        if self.last.get(&sender).is_some_and(|last| *last >= number) {
            self.misplaced.get_or_insert((sender, number));
        }
        self.last.insert(sender, number);
        let times = self.times.entry(sender).or_default();
        let index = usize::try_from(number).unwrap();
        if times.len() <= index {
            times.resize(index + 1, 0);
        }
        times[index] = times[index].saturating_add(1);
        self.count += 1;
    }

    fn is_in_order(&self) {
        assert_eq!(self.misplaced, None, "(sender, number)");
    }

    /// Different messages of all senders.
    fn different(&self) -> usize {
        self.times
            .values()
            .flatten()
            .filter(|times| **times > 0)
            .count()
    }
}

type Shared = Arc<Mutex<Seen>>;

/// Sockets that tell what they get.
fn receiver(builder: SocketBuilder, seen: &Shared) -> Socket {
    let socket = builder.start().expect("a system runs");
    let seen = Arc::clone(seen);
    each(&socket, move |message| {
        seen.lock().unwrap().note(message.payload());
    });
    socket
}

/// Sends `count` numbered messages without pause, on a thread of its own.
fn send_all(socket: &Socket, sender: u32, count: u64) -> thread::JoinHandle<()> {
    let socket = socket.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for number in 0..count {
                let payload = [&sender.to_be_bytes()[..], &number.to_be_bytes()].concat();
                socket.send(payload).await.expect("it is accepted");
            }
        });
    })
}

async fn bound(builder: SocketBuilder) -> (Socket, Endpoint) {
    let socket = builder.start().expect("a system runs");
    let endpoint = socket.bind("127.0.0.1:0").await.expect("a free port");
    (socket, endpoint)
}

fn count(seen: &Shared) -> u64 {
    seen.lock().unwrap().count
}

/// Lets the only peer of `sender` come, take a share, leave without a word, and return, until all
/// of `total` messages are accounted for.
async fn with_a_peer_that_returns(
    endpoint: &Endpoint,
    seen: &Shared,
    share: u64,
    done: impl Fn() -> bool,
) {
    while !done() {
        let peer = receiver(Socket::builder(), seen);
        let so_far = count(seen);
        peer.connect(endpoint.clone()).await.expect("an endpoint");
        eventually("a share", || count(seen) >= so_far + share || done()).await;
        peer.close_within(Duration::ZERO).await;
    }
}

/// Messages that were handed to the kernel, those included that an end of their connection has cut off.
fn written(sender: &Socket) -> u64 {
    let stats = sender.stats();
    stats.sent + stats.losses.half_written
}

/// No message is lost but those that an end of their connection has cut off.
fn none_is_lost_unwritten(sender: &Socket) {
    let stats = sender.stats();
    assert_eq!(stats.dead_letters, stats.losses.half_written);
}

/// To a peer that returned.
fn all_went_once_and_in_order(sender: &Socket, total: u64, seen: &Shared) {
    let stats = sender.stats();
    assert_eq!(written(sender), total, "each is handed to the kernel once");
    none_is_lost_unwritten(sender);
    assert_eq!(stats.outbox_messages, 0);
    assert!(stats.joins > 1, "the peer returned");
    seen.lock().unwrap().is_in_order();
}

#[actix::test]
async fn a_million_messages_to_a_peer_that_leaves_and_returns_stay_in_order() {
    const TOTAL: u64 = 1_000_000;
    let (sender, endpoint) = bound(Socket::builder()).await;
    let sending = send_all(&sender, 0, TOTAL);
    let seen = Shared::default();
    with_a_peer_that_returns(&endpoint, &seen, TOTAL / 10, || written(&sender) >= TOTAL).await;
    sending.join().expect("all is accepted");
    all_went_once_and_in_order(&sender, TOTAL, &seen);
}

#[actix::test]
async fn a_task_on_the_thread_of_the_connection_keeps_its_order_too() {
    const TOTAL: u64 = 500_000;
    let (sender, endpoint) = bound(Socket::builder()).await;
    let socket = sender.clone();
    let sending = actix::spawn(async move {
        for number in 0..TOTAL {
            let payload = [&0_u32.to_be_bytes()[..], &number.to_be_bytes()].concat();
            socket.send(payload).await.expect("it is accepted");
        }
    });
    let seen = Shared::default();
    with_a_peer_that_returns(&endpoint, &seen, TOTAL / 10, || written(&sender) >= TOTAL).await;
    sending.await.expect("all is accepted");
    all_went_once_and_in_order(&sender, TOTAL, &seen);
}

#[actix::test]
async fn threads_that_take_turns_keep_their_common_order() {
    const BURST: u64 = 40;
    const TURNS: u64 = 2_000;
    let (sender, endpoint) = bound(Socket::builder()).await;
    let seen = Shared::default();
    let peer = receiver(Socket::builder(), &seen);
    peer.connect(endpoint).await.expect("an endpoint");
    sender.wait_for_peers(1).await.expect("it comes");
    // This thread, which is that of the connection, and two others.
    let others: Vec<Arbiter> = (0..2).map(|_| Arbiter::new()).collect();
    for turn in 0..TURNS {
        let socket = sender.clone();
        let burst = async move {
            for number in turn * BURST..(turn + 1) * BURST {
                let payload = [&0_u32.to_be_bytes()[..], &number.to_be_bytes()].concat();
                socket.send(payload).await.expect("it is accepted");
            }
        };
        match turn % 7 {
            0 => {
                let (done, when_done) = tokio::sync::oneshot::channel();
                others[(turn % 2) as usize].spawn(async move {
                    burst.await;
                    done.send(()).expect("it is waited for");
                });
                when_done.await.expect("it is done");
            }
            _ => burst.await,
        }
    }
    eventually("all of them", || count(&seen) >= TURNS * BURST).await;
    seen.lock().unwrap().is_in_order();
    assert_eq!(count(&seen), TURNS * BURST);
    others.iter().for_each(|arbiter| {
        arbiter.stop();
    });
}

#[actix::test]
async fn several_threads_keep_their_orders_through_a_peer_that_returns() {
    const EACH: u64 = 50_000;
    let (sender, endpoint) = bound(Socket::builder()).await;
    let sending: Vec<_> = (0..4).map(|n| send_all(&sender, n, EACH)).collect();
    let seen = Shared::default();
    with_a_peer_that_returns(&endpoint, &seen, EACH / 2, || written(&sender) >= 4 * EACH).await;
    for thread in sending {
        thread.join().expect("all is accepted");
    }
    assert_eq!(written(&sender), 4 * EACH);
    seen.lock().unwrap().is_in_order();
}

#[actix::test]
async fn at_least_once_a_peer_that_leaves_and_returns_loses_nothing() {
    const TOTAL: u64 = 100_000;
    let builder = Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
    let (sender, endpoint) = bound(builder).await;
    let sending = send_all(&sender, 0, TOTAL);
    let seen = Shared::default();
    with_a_peer_that_returns(&endpoint, &seen, TOTAL / 10, || {
        sender.stats().acknowledged >= TOTAL
    })
    .await;
    sending.join().expect("all is accepted");
    let stats = sender.stats();
    assert_eq!((stats.acknowledged, stats.unacknowledged), (TOTAL, 0));
    assert_eq!(seen.lock().unwrap().different() as u64, TOTAL);
    assert!(stats.joins > 1, "the peer returned");
}

#[actix::test]
async fn each_of_many_peers_gets_its_share_in_order_from_several_threads() {
    const EACH: u64 = 25_000;
    let (sender, endpoint) = bound(Socket::builder()).await;
    let mut peers = Vec::new();
    for _ in 0..5 {
        let seen = Shared::default();
        let peer = receiver(Socket::builder(), &seen);
        peer.connect(endpoint.clone()).await.expect("an endpoint");
        peers.push((peer, seen));
    }
    sender.wait_for_peers(5).await.unwrap();
    let sending: Vec<_> = (0..4).map(|n| send_all(&sender, n, EACH)).collect();
    eventually("all to arrive", || {
        peers.iter().map(|(_, seen)| count(seen)).sum::<u64>() == 4 * EACH
    })
    .await;
    for thread in sending {
        thread.join().expect("all is accepted");
    }
    let mut different = 0;
    for (_, seen) in &peers {
        let seen = seen.lock().unwrap();
        seen.is_in_order();
        assert!(seen.count > 0, "everyone gets a share");
        different += seen.different() as u64;
    }
    assert_eq!(different, 4 * EACH, "and no message goes to two");
}

#[actix::test]
async fn cuts_between_two_sockets_neither_reorder_nor_repeat_what_is_sent_at_most_once() {
    const TOTAL: u64 = 200_000;
    let seen = Shared::default();
    let receiving = receiver(Socket::builder(), &seen);
    let endpoint = receiving.bind("127.0.0.1:0").await.expect("a free port");
    let port = endpoint.port().expect("a TCP endpoint");
    let proxy = FaultProxy::start(([127, 0, 0, 1], port).into());
    let quickly = Backoff::exponential(Duration::from_millis(1), Duration::from_millis(5));
    let sender = Socket::builder().reconnect(quickly).start().unwrap();
    let through = format!("tcp://{}", proxy.address());
    sender.connect(through).await.expect("an endpoint");
    let sending = send_all(&sender, 0, TOTAL);
    let mut cuts = 0;
    while written(&sender) < TOTAL {
        let so_far = written(&sender);
        eventually("progress", || {
            written(&sender) >= (so_far + TOTAL / 30).min(TOTAL)
        })
        .await;
        proxy.cut();
        cuts += 1;
    }
    sending.join().expect("all is accepted");
    assert_eq!(written(&sender), TOTAL);
    none_is_lost_unwritten(&sender);
    assert!(cuts > 1, "{cuts} cuts");
    seen.lock().unwrap().is_in_order();
}

#[actix::test]
async fn what_a_dead_peer_was_not_sent_reaches_the_other_in_order_and_before_what_is_sent_later() {
    const FIRST: u64 = 6_000;
    const LATER: u64 = 2_000;
    let (sender, endpoint) = bound(Socket::builder()).await;
    let port = endpoint.port().expect("a TCP endpoint");
    let got = Arc::new(Mutex::new(Vec::new()));
    let living = Socket::start().expect("a system runs");
    let note = Arc::clone(&got);
    each(&living, move |message| {
        let number = message.payload()[..8].try_into().unwrap();
        note.lock().unwrap().push(u64::from_be_bytes(number));
    });
    living.connect(endpoint).await.expect("an endpoint");
    // It never reads, so that its link fills.
    let silent = aside(move || RawPeer::introduced(([127, 0, 0, 1], port), [7; 16])).await;
    sender.wait_for_peers(2).await.expect("both come");
    let send = async |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let mut payload = [0; 1_000];
            payload[..8].copy_from_slice(&number.to_be_bytes());
            sender.send(payload.to_vec()).await.expect("it is accepted");
        }
    };
    send(0..FIRST).await;
    silent.reset();
    eventually("one peer", || sender.stats().peers == 1).await;
    send(FIRST..FIRST + LATER).await;
    let last = FIRST + LATER - 1;
    eventually("the last", || got.lock().unwrap().last() == Some(&last)).await;
    let got = got.lock().unwrap();
    let mut highest = 0;
    let (mut own, mut moved) = (Vec::new(), Vec::new());
    for &number in &*got {
        if number < highest {
            moved.push(number);
        } else {
            highest = number;
            own.push(number);
        }
    }
    assert!(!moved.is_empty(), "the link of the dead peer was not empty");
    assert!(moved.is_sorted() && moved.iter().all(|number| *number < FIRST));
    let first_later = got.iter().position(|number| *number >= FIRST);
    let last_moved = got.iter().rposition(|number| moved.contains(number));
    assert!(last_moved < first_later, "{last_moved:?} {first_later:?}");
    none_is_lost_unwritten(&sender);
}

/// A subscriber that stops after so many messages.
struct Turn {
    socket: WeakSocket,
    seen: Shared,
    left: u64,
    is_over: Arc<AtomicBool>,
}

impl Actor for Turn {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

impl Handler<Received> for Turn {
    type Result = ();

    fn handle(&mut self, message: Received, ctx: &mut Self::Context) {
        self.seen.lock().unwrap().note(message.payload());
        self.left -= 1;
        if self.left == 0 {
            ctx.stop();
        }
    }
}

#[actix::test]
async fn subscribers_on_other_threads_that_take_over_from_each_other_get_all_in_order() {
    const TURNS: u64 = 10;
    const SHARE: u64 = 3_000;
    let seen = Shared::default();
    let (server, endpoint) = bound(Socket::builder()).await;
    let client = Socket::start().expect("a system runs");
    client.connect(endpoint).await.expect("an endpoint");
    let sending = send_all(&client, 1, TURNS * SHARE);
    for _ in 0..TURNS {
        eventually("messages that wait", || server.stats().inbox_messages > 0).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let turn = Turn {
            socket: server.downgrade(),
            seen: Arc::clone(&seen),
            left: SHARE,
            is_over: Arc::clone(&is_over),
        };
        let arbiter = Arbiter::new();
        arbiter.spawn_fn(move || drop(turn.start()));
        eventually("the end of the turn", || is_over.load(Ordering::SeqCst)).await;
        // Who subscribes beside another gets newer messages before what that one leaves.
        eventually("nobody to be subscribed", || {
            server.subscriptions().is_empty()
        })
        .await;
        arbiter.stop();
    }
    aside(move || sending.join().expect("all were sent")).await;
    let seen = seen.lock().unwrap();
    seen.is_in_order();
    assert_eq!(seen.different() as u64, TURNS * SHARE);
}
