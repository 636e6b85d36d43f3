//! The Python package and this crate understand each other: both roles, every send mode.

mod support;

use std::cell::Cell;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use support::actors::{Collected, collect, echo};
use support::each::each;
use support::events::{PeerProbe, peer_events};
use support::python::{PythonOptions, PythonPeer, numbered};
use support::{eventually, within_patience};
use tokio::sync::{mpsc, watch};

/// Which end Python is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PythonIs {
    BindEnd,
    ConnectEnd,
}

const BOTH_ENDS: [PythonIs; 2] = [PythonIs::BindEnd, PythonIs::ConnectEnd];

/// Connects one of our sockets with `count` Python peers.
async fn join(
    socket: &Socket,
    python: PythonIs,
    count: usize,
    options: impl Fn(PythonOptions) -> PythonOptions,
) -> Vec<PythonPeer> {
    let mut peers = Vec::new();
    let port = match python {
        PythonIs::BindEnd => 0,
        PythonIs::ConnectEnd => bind(socket).await,
    };
    for _ in 0..count {
        let peer = match python {
            PythonIs::BindEnd => {
                let peer = PythonPeer::start(&options(PythonOptions::bind(0))).await;
                connect(socket, peer.port).await;
                peer
            }
            PythonIs::ConnectEnd => PythonPeer::start(&options(PythonOptions::connect(port))).await,
        };
        peers.push(peer);
    }
    within_patience("the peers", socket.wait_for_peers(count))
        .await
        .expect("the socket is open");
    peers
}

async fn bind(socket: &Socket) -> u16 {
    let endpoint = socket
        .bind(("127.0.0.1", 0))
        .await
        .expect("a free port exists");
    endpoint.port().expect("a TCP endpoint has a port")
}

async fn connect(socket: &Socket, port: u16) {
    socket
        .connect(("127.0.0.1", port))
        .await
        .expect("the socket is open");
}

fn start(mode: SendMode) -> Socket {
    Socket::builder()
        .send_mode(mode)
        .start()
        .expect("a default configuration is valid")
}

async fn send_all(socket: &Socket, payloads: Vec<String>) {
    for payload in payloads {
        socket.send(payload).await.expect("the socket is open");
    }
}

async fn ten_thousand_each_way(end: PythonIs) {
    const MESSAGES: u64 = 10_000;
    let socket = start(SendMode::RoundRobin);
    let mut collected = collect(&socket);
    let mut python = join(&socket, end, 1, |options| options).await.remove(0);

    python.send_many("theirs", MESSAGES);
    let ours = numbered("ours", 0..MESSAGES);
    let ((), at_python, at_ours) = tokio::join!(
        send_all(&socket, ours.clone()),
        python.receive(ours.len()),
        collected.payloads(ours.len()),
    );
    assert_eq!(at_python, ours);
    assert_eq!(at_ours, numbered("theirs", 0..MESSAGES));
}

#[actix::test]
async fn ten_thousand_messages_each_way_with_python_at_the_bind_end() {
    ten_thousand_each_way(PythonIs::BindEnd).await;
}

#[actix::test]
async fn ten_thousand_messages_each_way_with_python_at_the_connect_end() {
    ten_thousand_each_way(PythonIs::ConnectEnd).await;
}

#[actix::test]
async fn what_we_publish_reaches_every_python_peer() {
    for end in BOTH_ENDS {
        let socket = start(SendMode::Publish);
        let mut peers = join(&socket, end, 2, |options| options).await;
        let news = numbered("news", 0..100);
        send_all(&socket, news.clone()).await;
        for python in &mut peers {
            assert_eq!(python.receive(news.len()).await, news);
        }
    }
}

#[actix::test]
async fn what_python_publishes_reaches_every_one_of_us() {
    let sockets = [start(SendMode::RoundRobin), start(SendMode::RoundRobin)];
    let mut python =
        PythonPeer::start(&PythonOptions::bind(0).with("--send-mode", "publish")).await;
    let mut collected: Vec<Collected> = sockets.iter().map(collect).collect();
    for socket in &sockets {
        connect(socket, python.port).await;
        socket.wait_for_peers(1).await.expect("the socket is open");
        // Our end is up one step before Python's is: an answer shows that both are.
        prove_both_ends_are_up(socket, &mut python).await;
    }
    python.send_many("news", 100);
    for collected in &mut collected {
        assert_eq!(collected.payloads(100).await, numbered("news", 0..100));
    }
}

#[actix::test]
async fn our_round_robin_deals_evenly_to_python_peers() {
    for end in BOTH_ENDS {
        let socket = start(SendMode::RoundRobin);
        let mut peers = join(&socket, end, 2, |options| options).await;
        send_all(&socket, numbered("", 0..100)).await;
        let first = numbers(peers[0].receive(50).await);
        let second = numbers(peers[1].receive(50).await);
        let alternate = |start: u64| (start..100).step_by(2).collect::<Vec<_>>();
        let start = first[0].min(1);
        assert_eq!(first, alternate(start));
        assert_eq!(second, alternate(1 - start));
    }
}

#[actix::test]
async fn pythons_round_robin_deals_evenly_to_us() {
    let sockets = [start(SendMode::RoundRobin), start(SendMode::RoundRobin)];
    let mut python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let mut collected: Vec<Collected> = sockets.iter().map(collect).collect();
    for socket in &sockets {
        connect(socket, python.port).await;
        prove_both_ends_are_up(socket, &mut python).await;
    }
    python.send_many("", 100);
    let mut all = Vec::new();
    for collected in &mut collected {
        let share = numbers(collected.payloads(50).await);
        assert!(share.is_sorted(), "{share:?}");
        all.extend(share);
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100));
}

#[actix::test]
async fn our_handler_replies_to_python_by_identity() {
    for end in BOTH_ENDS {
        let socket = start(SendMode::Publish);
        let mut collected = echo(&socket);
        let mut peers = join(&socket, end, 2, |options| options).await;
        for (number, python) in peers.iter_mut().enumerate() {
            let question = format!("question {number}");
            python.send(&question);
            // Had the reply been published, the other peer would be the first to have it.
            assert_eq!(python.received().await, (socket.identity(), question));
        }
        assert_ne!(collected.next().await.0, collected.next().await.0);
    }
}

#[actix::test]
async fn python_replies_to_us_by_identity() {
    for end in BOTH_ENDS {
        let identity = Identity::random();
        let socket = start(SendMode::RoundRobin);
        let mut collected = collect(&socket);
        let named = |options: PythonOptions| options.with("--identity", identity).echo();
        let _python = join(&socket, end, 1, named).await;
        socket
            .send_to(identity, "question")
            .await
            .expect("the peer is connected");
        assert_eq!(collected.next().await, (identity, "question".to_owned()));
    }
}

#[actix::test]
async fn either_side_sends_by_identity_unasked() {
    for end in BOTH_ENDS {
        let socket = start(SendMode::Publish);
        let mut collected = collect(&socket);
        let mut events = peer_events(&socket);
        let mut peers = join(&socket, end, 2, |options| options).await;
        let (first, second) = (events.up().await, events.up().await);
        for (identity, payload) in [(first, "one"), (second, "two")] {
            socket
                .send_to(identity, payload)
                .await
                .expect("the peer is connected");
        }
        let mut payloads = Vec::new();
        for python in &mut peers {
            payloads.extend(python.receive(1).await);
            python.send_to(socket.identity(), "unasked");
        }
        payloads.sort_unstable();
        assert_eq!(payloads, ["one", "two"]);
        assert_eq!(collected.payloads(2).await, ["unasked", "unasked"]);
    }
}

#[actix::test]
async fn what_we_send_before_python_comes_waits_for_it_in_order() {
    for mode in [SendMode::RoundRobin, SendMode::Publish] {
        for end in BOTH_ENDS {
            let socket = start(mode);
            let early = numbered("early", 0..1_000);
            send_all(&socket, early.clone()).await;
            let mut python = join(&socket, end, 1, |options| options).await.remove(0);
            assert_eq!(python.receive(early.len()).await, early);
        }
    }
}

/// Kills Python in the middle of a stream and restarts it, five times.
///
/// What the kernel had taken for the peer that was killed may be lost, and nothing else: what reaches
/// the next Python is the rest of the stream without a gap, all that was sent while it was gone
/// included, and nothing that the one before had received.
async fn five_kills(end: PythonIs) {
    const SEEN_BEFORE_THE_KILL: usize = 200;
    const SENT_WHILE_GONE: u64 = 300;
    let socket = start(SendMode::RoundRobin);
    let mut events = peer_events(&socket);
    let mut python = join(&socket, end, 1, |options| options).await.remove(0);
    let restart = match end {
        PythonIs::BindEnd => PythonOptions::bind(python.port),
        PythonIs::ConnectEnd => {
            // The second endpoint of our socket; the first stays where it is.
            PythonOptions::connect(bind(&socket).await)
        }
    };
    let accepted = Cell::new(0_u64);
    let stream_on = async || {
        let number = accepted.get();
        let sent = socket.send(number.to_string()).await;
        sent.expect("the socket is open");
        accepted.set(number + 1);
    };

    events.up().await;
    for _ in 0..5 {
        let mut seen = Vec::new();
        let killed_in_the_middle = async {
            seen = numbers(python.receive(SEEN_BEFORE_THE_KILL).await);
            python.kill();
            events.down().await;
        };
        let streaming = async {
            loop {
                stream_on().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = killed_in_the_middle => {}
            () = streaming => {}
        }
        seen.extend(numbers(python.receive_rest().await));
        assert!(
            seen.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{seen:?}"
        );

        let gone_at = accepted.get();
        for _ in 0..SENT_WHILE_GONE {
            stream_on().await;
        }
        python = PythonPeer::start(&restart).await;
        events.up().await;
        let first = numbers(python.receive(1).await)[0];
        assert!(
            seen.last().is_none_or(|last| *last < first),
            "{first} came twice"
        );
        assert!(
            first <= gone_at,
            "{gone_at} was sent to nobody, but {first} came first"
        );
        let rest = usize::try_from(accepted.get() - first - 1).expect("a count");
        let rest = numbers(python.receive(rest).await);
        assert!(rest.into_iter().eq(first + 1..accepted.get()));
    }
}

#[actix::test]
async fn a_python_bind_end_is_killed_five_times_and_the_stream_goes_on() {
    five_kills(PythonIs::BindEnd).await;
}

#[actix::test]
async fn a_python_connect_end_is_killed_five_times_and_the_stream_goes_on() {
    five_kills(PythonIs::ConnectEnd).await;
}

#[actix::test]
async fn pythons_at_least_once_messages_are_acknowledged_when_their_handler_is_done() {
    for end in BOTH_ENDS {
        let socket = start(SendMode::RoundRobin);
        let (open, gate) = watch::channel(false);
        let (begun, mut handling) = mpsc::unbounded_channel();
        each(&socket, move |message| -> ResponseFuture<()> {
            let text = String::from_utf8_lossy(message.payload()).into_owned();
            // A test that has ended needs no more messages.
            let _ = begun.send(text);
            let mut gate = gate.clone();
            Box::pin(async move {
                // The gate lives as long as the test.
                let _ = gate.wait_for(|open| *open).await;
            })
        });
        let careful = |options: PythonOptions| options.with("--delivery", "at-least-once");
        let mut python = join(&socket, end, 1, careful).await.remove(0);

        python.send("first");
        let first = within_patience("the handler to begin", handling.recv()).await;
        assert_eq!(first.as_deref(), Some("first"));
        assert_eq!(python.unacknowledged().await, 1);

        python.send_many("m", 500);
        open.send_replace(true);
        for expected in numbered("m", 0..500) {
            let begun = within_patience("the handler to begin", handling.recv()).await;
            assert_eq!(begun, Some(expected));
        }
        let mut unacknowledged = u64::MAX;
        while unacknowledged > 0 {
            unacknowledged = within_patience("an answer", python.unacknowledged()).await;
        }
        assert!(handling.is_empty(), "a message came twice");
    }
}

#[actix::test]
async fn a_python_peer_takes_a_refused_message_for_acknowledged_and_is_served_on() {
    let socket = start(SendMode::RoundRobin);
    each(&socket, |message: Received| {
        if message.payload() == "last" {
            let reply = message.reply("after all refusals");
            reply.expect("there is room");
        } else {
            message.reject();
        }
    });
    let careful = |options: PythonOptions| options.with("--delivery", "at-least-once");
    let mut python = join(&socket, PythonIs::ConnectEnd, 1, careful)
        .await
        .remove(0);
    python.send_many("m", 50);
    python.send("last");
    assert_eq!(python.received().await.1, "after all refusals");
    let mut unacknowledged = u64::MAX;
    while unacknowledged > 0 {
        unacknowledged = within_patience("an answer", python.unacknowledged()).await;
    }
    assert_eq!(socket.stats().losses.rejected, 50);
}

#[actix::test]
async fn a_python_peer_that_closes_is_gone_and_the_next_one_is_served() {
    let socket = start(SendMode::RoundRobin);
    let mut events = peer_events(&socket);
    let port = bind(&socket).await;
    for round in 0..3 {
        let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
        let peer = events.up().await;
        let payload = format!("round {round}");
        socket.send(payload.clone()).await.expect("it is open");
        assert_eq!(python.received().await, (socket.identity(), payload));
        python.close().await;
        assert_eq!(events.down().await, peer);
    }
    eventually("the last peer to be gone", || socket.peers().is_empty()).await;
}

/// Sends one message and waits until Python has it.
async fn prove_both_ends_are_up(socket: &Socket, python: &mut PythonPeer) {
    socket.send("hello").await.expect("the socket is open");
    assert_eq!(python.receive(1).await, ["hello"]);
}

fn numbers(payloads: Vec<String>) -> Vec<u64> {
    payloads
        .iter()
        .map(|payload| payload.parse().expect("a number"))
        .collect()
}
