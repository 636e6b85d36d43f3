//! Connections on which nothing moves any more end by rule, and cost nobody else anything.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use support::each::each;
use support::events::PeerProbe;
use support::host::Host;
use support::raw_peer::{DATA_REQ, RawPeer, frame};
use support::slow_handler::each_takes;
use support::{aside, eventually};

const SOON: Duration = Duration::from_millis(300);

/// Asks until the other end has gone, and reads nothing.
async fn asks_without_reading(address: std::net::SocketAddr, id: u8, question: Vec<u8>) {
    aside(move || {
        let mut peer = RawPeer::introduced(address, [id; 16]);
        let questions = question.repeat(1000);
        while peer.try_say(&questions) {}
    })
    .await;
}

#[actix::test]
async fn a_peer_that_never_reads_its_acknowledgements_is_disconnected_at_the_write_timeout() {
    let mut host = Host::start(Socket::builder().write_timeout(SOON)).await;
    let question = frame(DATA_REQ, &[&[1; 16][..], b"?"].concat());
    let asking = actix::spawn(asks_without_reading(host.address, 1, question));
    let drained = async {
        let reason = loop {
            tokio::select! {
                event = host.peers.next() => {
                    if let PeerEvent::Down { reason, .. } = event.unwrap() {
                        break reason;
                    }
                }
                Some(_) = host.messages.recv() => {
                    let stats = host.socket.stats();
                    assert!(stats.inbox_bytes <= 512 << 10, "{stats:?}");
                }
            }
        };
        assert_eq!(reason, DownReason::Stalled);
    };
    support::within_patience("its end", drained).await;
    asking.await.unwrap();
    host.still_serves().await;
}

#[actix::test]
async fn a_peer_that_never_reads_its_replies_is_disconnected_at_the_write_timeout() {
    let mut host = Host::start(Socket::builder().write_timeout(SOON)).await;
    // The host answers this one, each time with as much.
    let question = frame(support::raw_peer::DATA, b"ping of the good peer");
    let asking = actix::spawn(asks_without_reading(host.address, 1, question));
    assert_eq!(host.down_reason().await, DownReason::Stalled);
    asking.await.unwrap();
    host.still_serves().await;
}

#[actix::test]
async fn a_peer_that_does_not_read_but_lives_is_waited_for() {
    let builder = Socket::builder()
        .write_timeout(Duration::from_millis(50))
        .heartbeat_interval(Duration::from_millis(50));
    let host = Host::start(builder).await;
    let address = host.address;
    let mut peer = aside(move || RawPeer::introduced(address, [1; 16])).await;
    let identity = Identity::from_bytes([1; 16]);
    let (mut sent, mut in_vain) = (0, 0);
    while in_vain < 20 {
        match host.socket.try_send_to(identity, vec![0; 64 << 10]) {
            Ok(()) => (sent, in_vain) = (sent + 1, 0),
            Err(_) => in_vain += 1,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..10 {
        peer = aside(move || {
            peer.frame(support::raw_peer::HEARTBEAT, b"");
            std::thread::sleep(Duration::from_millis(20));
            peer
        })
        .await;
    }
    assert_eq!(host.socket.stats().peers, 2);
    aside(move || (0..sent).for_each(|_| assert_eq!(peer.expect_data().len(), 64 << 10))).await;
    host.still_serves().await;
}

/// Answers each question by a send that waits, and counts answers.
fn answer_and_count(socket: &Socket) -> Arc<AtomicUsize> {
    let (weak, answers) = (socket.downgrade(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&answers);
    each(socket, move |message| -> ResponseFuture<()> {
        let (socket, answers) = (weak.clone(), Arc::clone(&count));
        Box::pin(async move {
            if message.payload().starts_with(b"answer") {
                answers.fetch_add(1, Ordering::SeqCst);
            } else if let Some(socket) = socket.upgrade() {
                let answer = [b"answer", &message.payload()[..]].concat();
                socket.send(answer).await.expect("the socket is open");
            }
        })
    });
    answers
}

fn flooding() -> SocketBuilder {
    Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .link_capacity(64, 64 << 10)
        .unacknowledged_capacity(16, 64 << 10)
        .inbox_capacity(16, 16 << 10)
        .write_timeout(SOON)
        .resend_timeout(Duration::from_secs(1))
}

#[actix::test]
async fn a_peer_that_floods_and_never_acknowledges_is_disconnected_while_a_send_waits_for_it() {
    let socket = flooding().standstill_timeout(SOON).start().unwrap();
    let mut peers = support::events::peer_events(&socket);
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    answer_and_count(&socket);
    let flood = frame(support::raw_peer::DATA, &[b'?'; 1000]);
    let flooding = actix::spawn(asks_without_reading(address, 1, flood));
    assert_eq!(peers.end().await, (DownReason::Stalled, Party::Us));
    flooding.await.unwrap();
    // What the handler waited to send is in the outbox, and it goes on.
    eventually("the inbox to be handled", || {
        socket.stats().inbox_messages == 0
    })
    .await;
}

const FLOODER: Identity = Identity::from_bytes([1; 16]);

/// Messages of a peer that floods the socket and never reads, so many of which are read at once that handlers take
/// long to get through.
async fn flood(socket: &Socket) -> tokio::task::JoinHandle<()> {
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    let flood = frame(support::raw_peer::DATA, &[b'?'; 100]);
    actix::spawn(asks_without_reading(address, 1, flood))
}

#[actix::test]
async fn handlers_that_are_slow_and_go_on_keep_the_connection_of_a_peer_that_owes_acknowledgements()
{
    let builder = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .unacknowledged_capacity(4, 64 << 10)
        .inbox_capacity(16, 16 << 10)
        .write_timeout(Duration::from_millis(50))
        .standstill_timeout(Duration::from_secs(600))
        .heartbeat_interval(Duration::from_millis(160));
    let socket = builder.start().unwrap();
    let handled = each_takes(&socket, Duration::from_millis(20));
    let flooding = flood(&socket).await;
    let sender = socket.clone();
    let sending = actix::spawn(async move { while sender.send("a command").await.is_ok() {} });
    eventually("a sender that waits", || socket.stats().unacknowledged == 4).await;
    let before = handled.load(Ordering::SeqCst);
    // Many times the write timeout.
    eventually("handlers that go on", || {
        handled.load(Ordering::SeqCst) > before + 50
    })
    .await;
    let stats = socket.stats();
    assert_eq!((stats.joins, stats.peers), (1, 1), "{stats:?}");
    sending.abort();
    socket.disconnect(FLOODER).await.unwrap();
    flooding.await.unwrap();
}

#[actix::test]
async fn an_offer_makes_no_peer_owe_an_answer_so_that_handlers_may_take_as_long_as_they_like() {
    let builder = Socket::builder()
        .inbox_capacity(16, 16 << 10)
        .standstill_timeout(Duration::from_millis(50))
        .heartbeat_interval(Duration::from_millis(160));
    let socket = builder.start().unwrap();
    let _offer = socket.offer("inventory").unwrap();
    each(&socket, |_| -> ResponseFuture<()> {
        Box::pin(std::future::pending())
    });
    let flooding = flood(&socket).await;
    eventually("what is read for asks", || {
        socket.stats().read_ahead_bytes > 0
    })
    .await;
    tokio::time::sleep(10 * Duration::from_millis(50)).await;
    let stats = socket.stats();
    assert_eq!((stats.joins, stats.peers), (1, 1), "{stats:?}");
    socket.disconnect(FLOODER).await.unwrap();
    flooding.await.unwrap();
}

#[actix::test]
async fn two_ends_that_flood_each_other_from_handlers_that_wait_come_to_an_end() {
    const QUESTIONS: usize = 1000;
    let (a, b) = (flooding().start().unwrap(), flooding().start().unwrap());
    b.connect(a.bind("127.0.0.1:0").await.unwrap())
        .await
        .unwrap();
    let mut tallies = Vec::new();
    for socket in [&a, &b] {
        tallies.push(answer_and_count(socket));
    }
    let ask = |socket: Socket| async move {
        for _ in 0..QUESTIONS {
            socket.send(vec![b'?'; 1000]).await.expect("it is open");
        }
    };
    tokio::join!(ask(a.clone()), ask(b.clone()));
    eventually("all answers", || {
        tallies
            .iter()
            .all(|tally| tally.load(Ordering::SeqCst) >= QUESTIONS)
    })
    .await;
    println!("reconnects: {}", a.stats().joins - 1);
}

/// Handles each message by one of its own, whose acknowledgement it awaits.
fn answer_and_await(socket: &Socket) {
    let weak = socket.downgrade();
    each(socket, move |_| -> ResponseFuture<()> {
        let weak = weak.clone();
        Box::pin(async move {
            if let Some(socket) = weak.upgrade()
                && let Ok(receipt) = socket.send("and you?").receipt().await
            {
                // It fails when the connection ends.
                let _ = receipt.await;
            }
        })
    });
}

#[actix::test]
async fn two_handlers_that_await_each_others_acknowledgements_come_to_an_end() {
    let start = || {
        Socket::builder()
            .standstill_timeout(2 * SOON)
            .start()
            .unwrap()
    };
    let (one, other) = (start(), start());
    answer_and_await(&one);
    answer_and_await(&other);
    let mut peers = support::events::peer_events(&one);
    let endpoint = one.bind("127.0.0.1:0").await.unwrap();
    other.connect(endpoint).await.unwrap();
    other.wait_for_peers(1).await.unwrap();
    let _first = other.send("hello").receipt().await.unwrap();
    let stalled = peers.find(|event| match event {
        PeerEvent::Down { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(
        stalled.await.expect("the end"),
        DownReason::Stalled | DownReason::Closed
    ));
}

#[actix::test]
async fn a_relay_waits_for_a_job_that_takes_longer_than_its_patience_and_has_it_done_once() {
    let worker = Socket::start().unwrap();
    let starts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&starts);
    each(&worker, move |_| -> ResponseFuture<()> {
        counter.fetch_add(1, Ordering::SeqCst);
        // Far longer than the patience of the relay.
        Box::pin(tokio::time::sleep(20 * SOON))
    });
    let relay = Socket::builder().standstill_timeout(SOON).start().unwrap();
    let source = Socket::start().unwrap();
    let to = worker.identity();
    let weak = relay.downgrade();
    each(&relay, move |job: Received| -> Handled {
        let weak = weak.clone();
        Handled::future(async move {
            let socket = weak.upgrade().ok_or("the relay is closed")?;
            let sending = socket.send_to(to, job.detach()).acknowledged().await;
            sending.map_err(|_| "the worker did not do it")
        })
    });
    let endpoint = worker.bind("127.0.0.1:0").await.unwrap();
    relay.connect(endpoint).await.unwrap();
    relay.wait_for_peers(1).await.unwrap();
    let endpoint = relay.bind("127.0.0.1:0").await.unwrap();
    source.connect(endpoint).await.unwrap();
    let done = source.send("a job").acknowledged();
    support::within_patience("the job", done).await.unwrap();
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    assert_eq!(relay.stats().joins, 2);
}

/// Three sockets, each of which handles a message by one to the next, whose acknowledgement it awaits for so long.
async fn circle_of_handlers(lives: Option<Duration>) -> Vec<Socket> {
    let start = || Socket::builder().standstill_timeout(2 * SOON).start();
    let sockets: Vec<Socket> = (0..3).map(|_| start().unwrap()).collect();
    for (place, socket) in sockets.iter().enumerate() {
        let next = &sockets[(place + 1) % 3];
        let to = next.identity();
        let weak = socket.downgrade();
        each(socket, move |_| -> ResponseFuture<()> {
            let weak = weak.clone();
            Box::pin(async move {
                if let Some(socket) = weak.upgrade() {
                    let mut sending = socket.send_to(to, "and you?");
                    if let Some(lives) = lives {
                        sending = sending.time_to_live(lives);
                    }
                    let _ = sending.acknowledged().await;
                }
            })
        });
        let endpoint = next.bind("127.0.0.1:0").await.unwrap();
        socket.connect(endpoint).await.unwrap();
    }
    for socket in &sockets {
        socket.wait_for_peers(2).await.unwrap();
    }
    sockets
}

#[actix::test]
async fn a_circle_of_handlers_that_await_each_other_is_taken_for_a_relay_and_keeps_its_connections()
{
    let sockets = circle_of_handlers(None).await;
    let to = sockets[0].identity();
    let first = sockets[2].send_to(to, "hello").receipt().await.unwrap();
    // Far longer than the patience of each.
    tokio::time::sleep(10 * SOON).await;
    for socket in &sockets {
        let stats = socket.stats();
        assert_eq!((stats.joins, stats.peers), (2, 2), "{stats:?}");
        assert_eq!(
            stats.unacknowledged,
            1 + usize::from(socket.identity() == sockets[2].identity())
        );
    }
    drop(first);
}

#[actix::test]
async fn a_time_to_live_ends_a_circle_of_handlers_that_await_each_other() {
    let sockets = circle_of_handlers(Some(3 * SOON)).await;
    let to = sockets[0].identity();
    let first = sockets[2].send_to(to, "hello").acknowledged();
    support::within_patience("its end", first).await.unwrap();
    for socket in &sockets {
        assert_eq!(socket.stats().joins, 2);
    }
}
