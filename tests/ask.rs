//! Asks and their answers: every outcome, deadlines and cancellation, thousands at a time.
#![cfg(feature = "json")]

mod support;

use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::testing::{Probe, ScriptedPeer, TestKit};
use actix_aiomsg::{payload::TraceContext, prelude::*};
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use support::panics::print_panics_briefly;
use support::{eventually, within_patience};
use tokio::sync::mpsc;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct GetUser {
    id: u64,
    how: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

payload!(GetUser = "get-user " => User, User);

fn get(how: &str) -> GetUser {
    let how = how.to_owned();
    GetUser { id: 7, how }
}

fn user(name: &str) -> User {
    let name = name.to_owned();
    User { name }
}

/// Answers as it is asked to.
struct Users {
    socket: WeakSocket,
    told: mpsc::UnboundedSender<String>,
    options: SubscribeOptions,
}

impl Actor for Users {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let options = self.options.clone();
        self.socket.serve_with::<GetUser>(ctx, options);
    }
}

impl Handler<Ask<GetUser>> for Users {
    type Result = ResponseFuture<Answer<GetUser>>;

    fn handle(&mut self, ask: Ask<GetUser>, _: &mut Context<Self>) -> Self::Result {
        // A test that has ended listens no more.
        let _ = self.told.send(ask.how.clone());
        assert_ne!(ask.how, "panic", "on demand");
        let told = self.told.clone();
        Box::pin(async move {
            match &ask.how[..] {
                "refuse" => Err(AskFailure::new("no such user")),
                "fail" => Ok(user(&"seven".parse::<u64>()?.to_string())),
                "panic later" => panic!("on demand"),
                "wait" => {
                    ask.cancelled().await;
                    assert!(ask.is_cancelled());
                    let _ = told.send("cancelled".to_owned());
                    // By the same clock, the asker has given up by then.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(user("late"))
                }
                "long" => Ok(user(&"x".repeat(100_000))),
                "trace" => Ok(user(&format!("{:?}", ask.trace().map(|trace| trace.flags)))),
                "left" => Ok(user(&format!("{:?}", ask.remaining().map(|d| d.as_secs())))),
                _ => Ok(user(&format!("{} of {}", ask.how, ask.id))),
            }
        })
    }
}

struct Service {
    socket: Socket,
    told: mpsc::UnboundedReceiver<String>,
}

impl Service {
    fn start() -> Self {
        Self::with(SubscribeOptions::default())
    }

    fn with(options: SubscribeOptions) -> Self {
        let socket = Socket::start().unwrap();
        let (told, telling) = mpsc::unbounded_channel();
        let weak = socket.downgrade();
        let factory = move || Users {
            socket: weak.clone(),
            told: told.clone(),
            options: options.clone(),
        };
        let every = Backoff::fixed(Duration::from_millis(1));
        supervise(factory).backoff(every).start();
        Self {
            socket,
            told: telling,
        }
    }

    async fn told(&mut self) -> String {
        within_patience("the service to be asked", self.told.recv())
            .await
            .unwrap()
    }
}

async fn connect(client: &Socket, server: &Socket) {
    TestKit::new().connect(client, server).await;
}

async fn pair() -> (Socket, Service) {
    let (client, service) = (Socket::start().unwrap(), Service::start());
    connect(&client, &service.socket).await;
    (client, service)
}

const SHORT: Duration = Duration::from_millis(50);

#[actix::test]
async fn an_answer_is_no_message_that_a_handler_has_handled() {
    let (client, service) = pair().await;
    for _ in 0..3 {
        let answer = client.ask(Whom::Any, &get("name")).await;
        assert_eq!(answer, Ok(user("name of 7")));
    }
    assert_eq!(client.stats().received, 3);
    assert_eq!(client.close().await.handled, 0);
    assert_eq!(service.socket.close().await.handled, 3, "the asks");
}

#[actix::test]
async fn the_result_of_a_handler_is_the_answer_and_each_error_is_told_apart() {
    print_panics_briefly();
    let (client, mut service) = pair().await;
    let peer = service.socket.identity();
    assert_eq!(
        client.ask(Whom::Any, &get("name")).await,
        Ok(user("name of 7"))
    );
    assert_eq!(client.ask(peer, &get("name")).await, Ok(user("name of 7")));
    assert_eq!(
        client.ask(peer, &get("long")).await.unwrap().name.len(),
        100_000
    );

    let remote = |text: &str| Err(AskError::Remote(text.to_owned()));
    assert_eq!(
        client.ask(peer, &get("refuse")).await,
        remote("no such user")
    );
    for (how, part) in [
        ("fail", "digit"),
        ("panic later", "failed"),
        ("panic", "failed"),
    ] {
        let failure = client.ask(peer, &get(how)).await;
        assert!(
            matches!(&failure, Err(AskError::Remote(text)) if text.contains(part)),
            "{failure:?}"
        );
    }
    // The actor was restarted, and its subscription with it.
    assert_eq!(
        client.ask(peer, &get("again")).await,
        Ok(user("again of 7"))
    );

    let late = client.ask(peer, &get("wait")).timeout(SHORT).await;
    assert_eq!(late, Err(AskError::Timeout));
    while service.told().await != "cancelled" {}
    eventually("the late answer", || client.stats().late_answers == 1).await;

    let nobody = client
        .ask(Identity::random(), &get("name"))
        .timeout(SHORT)
        .await;
    assert_eq!(nobody, Err(AskError::NoPeer));
    let nobody = client
        .ask(Identity::random(), &get("name"))
        .fail_fast()
        .await;
    assert_eq!(nobody, Err(AskError::NoPeer));
    assert_eq!(client.stats().asks, 0);

    let mut asking = Box::pin(client.ask(peer, &get("wait")).into_future());
    assert!(tokio::time::timeout(SHORT, &mut asking).await.is_err());
    service.socket.close_within(Duration::ZERO).await;
    assert_eq!(asking.await, Err(AskError::PeerGone));
    client.close().await;
    assert_eq!(client.ask(peer, &get("name")).await, Err(AskError::Closed));
}

#[actix::test]
async fn an_ask_waits_for_a_peer_to_come_and_travels_with_its_deadline_and_trace() {
    let (client, service) = (Socket::start().unwrap(), Service::start());
    let asking = client
        .ask(Whom::Any, &get("left"))
        .timeout(Duration::from_secs(30));
    let asking = actix_rt::spawn(asking.into_future());
    connect(&client, &service.socket).await;
    let left = asking.await.unwrap().unwrap().name;
    assert!(["Some(29)", "Some(30)"].contains(&&left[..]), "{left}");
    let trace = TraceContext {
        trace_id: [1; 16],
        span_id: [2; 8],
        flags: 3,
    };
    let traced = client.ask(Whom::Any, &get("trace")).trace(trace).await;
    assert_eq!(traced, Ok(user("Some(3)")));
    assert_eq!(client.ask(Whom::Any, &get("trace")).await, Ok(user("None")));
}

#[actix::test]
async fn an_ask_that_is_dropped_is_cancelled_at_the_peer() {
    let (client, mut service) = pair().await;
    let asking = client
        .ask(Whom::Any, &get("wait"))
        .timeout(Duration::from_secs(60));
    assert!(
        tokio::time::timeout(SHORT, asking.into_future())
            .await
            .is_err()
    );
    assert_eq!(service.told().await, "wait");
    assert_eq!(service.told().await, "cancelled");
    assert_eq!(client.stats().asks, 0);
}

#[actix::test]
async fn an_ask_that_is_cancelled_before_its_turn_is_not_handled() {
    let service = Service::with(SubscribeOptions::default().max_in_flight(1));
    let mut service = service;
    let client = Socket::start().unwrap();
    connect(&client, &service.socket).await;
    let first = client
        .ask(Whom::Any, &get("wait"))
        .timeout(Duration::from_secs(60));
    let first = actix_rt::spawn(first.into_future());
    assert_eq!(service.told().await, "wait");
    let second = client.ask(Whom::Any, &get("second")).timeout(SHORT).await;
    assert_eq!(second, Err(AskError::Timeout));
    let third = actix_rt::spawn(client.ask(Whom::Any, &get("third")).into_future());
    tokio::time::sleep(SHORT).await;
    first.abort();
    assert_eq!(third.await.unwrap(), Ok(user("third of 7")));
    assert_eq!(service.told().await, "cancelled");
    assert_eq!(service.told().await, "third");
}

#[actix::test]
async fn everyone_is_asked_and_answers_once() {
    let client = Socket::start().unwrap();
    let nobody = client.ask_all(&get("name"), SHORT);
    assert!(matches!(nobody, Err(AskError::NoPeer)));
    let mut services = Vec::new();
    for _ in 0..3 {
        let service = Service::start();
        connect(&client, &service.socket).await;
        services.push(service);
    }
    let mut replies = client
        .ask_all(&get("name"), Duration::from_secs(30))
        .unwrap();
    let mut peers = Vec::new();
    while let Some((peer, reply)) = replies.next().await {
        assert_eq!(reply, Ok(user("name of 7")));
        peers.push(peer);
    }
    let mut expected: Vec<_> = services.iter().map(|s| s.socket.identity()).collect();
    peers.sort_unstable_by_key(|peer| *peer.as_bytes());
    expected.sort_unstable_by_key(|peer| *peer.as_bytes());
    assert_eq!(peers, expected);

    // The stream ends at the timeout, and those who did not answer are told.
    let mut replies = client.ask_all(&get("wait"), SHORT).unwrap();
    assert!(within_patience("the end", replies.next()).await.is_none());
    // One that leaves is told apart.
    let mut replies = client
        .ask_all(&get("wait"), Duration::from_secs(60))
        .unwrap();
    let gone = services.pop().unwrap();
    let peer = gone.socket.identity();
    gone.socket.close_within(Duration::ZERO).await;
    let next = within_patience("the one that left", replies.next()).await;
    assert_eq!(next, Some((peer, Err(AskError::PeerGone))));
    drop(replies);
    assert_eq!(client.stats().asks, 0);
}

#[actix::test]
async fn envelopes_are_payloads_where_nobody_asks_or_answers() {
    let (client, server) = (Socket::start().unwrap(), Socket::start().unwrap());
    connect(&client, &server).await;
    let asking = client.ask(Whom::Any, &get("name"));
    let asking = actix_rt::spawn(asking.into_future());
    let ask = server.recv().await.unwrap();
    assert!(ask.starts_with(b"\xa1ASK\x01"));
    // A relay's answer: the ask of another socket passes by.
    let mut foreign = ask.to_vec();
    (foreign[4], foreign[6]) = (2, foreign[6] ^ 1);
    ask.reply(foreign.clone()).unwrap();
    assert_eq!(client.recv().await.unwrap().payload(), &foreign);
    let mut answer = ask[..26].to_vec();
    answer[4] = 2;
    answer.extend_from_slice(b"nonsense");
    ask.reply(answer).unwrap();
    assert!(matches!(asking.await.unwrap(), Err(AskError::Decode(_))));
}

#[actix::test]
async fn an_answer_counts_only_from_the_peer_that_was_asked() {
    let client = Socket::start().unwrap();
    let (asked, other) = (Socket::start().unwrap(), Socket::start().unwrap());
    connect(&client, &asked).await;
    connect(&client, &other).await;
    let asking = actix_rt::spawn(client.ask(asked.identity(), &get("name")).into_future());
    let ask = asked.recv().await.unwrap();
    let mut answer = ask[..26].to_vec();
    answer[4] = 2;
    let say = |name: &str| {
        let body = format!("{{\"name\":\"{name}\"}}");
        [&answer[..], body.as_bytes()].concat()
    };
    other
        .send_to(client.identity(), say("forged"))
        .await
        .unwrap();
    eventually("the forged answer", || client.stats().late_answers == 1).await;
    ask.reply(say("true")).unwrap();
    assert_eq!(asking.await.unwrap(), Ok(user("true")));
}

#[actix::test]
async fn a_request_that_cannot_be_read_is_answered_and_a_dead_letter() {
    let (recipient, mut letters) = Probe::<DeadLetter>::recipient();
    let service = Service::start();
    service.socket.dead_letters(recipient);
    let endpoint = TestKit::new().endpoint();
    service.socket.bind(endpoint.clone()).await.unwrap();
    let peer = ScriptedPeer::introduced(&endpoint, Identity::random());
    let (mut peer, _) = peer.await.unwrap();
    let question = [
        b"\xa1ASK\x01\x000123456789abcdef\0\0\0\0",
        &b"get-user {}"[..],
    ]
    .concat();
    peer.send(question).await.unwrap();
    let answer = peer.receive().await.unwrap();
    assert_eq!(answer[..26], *b"\xa1ASK\x03\x000123456789abcdef\0\0\0\0");
    assert!(String::from_utf8_lossy(&answer[26..]).contains("missing field"));
    let letter = letters.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Undecodable);
}

#[actix::test]
async fn a_handler_that_asks_the_peer_that_floods_it_gets_its_answer() {
    /// Asks whoever sends it something, before it takes the next message.
    struct Curious(Socket, mpsc::UnboundedSender<()>);

    impl Actor for Curious {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Context<Self>) {
            self.0.subscribe(ctx);
        }
    }

    impl Handler<Received> for Curious {
        type Result = ResponseFuture<()>;

        fn handle(&mut self, message: Received, _: &mut Context<Self>) -> Self::Result {
            let asking = self.0.ask(message.peer(), &get("name"));
            let told = self.1.clone();
            Box::pin(async move {
                assert_eq!(asking.await, Ok(user("name of 7")));
                told.send(()).unwrap();
            })
        }
    }

    let curious = Socket::builder().inbox_capacity(16, 4096).start().unwrap();
    let service = Service::start();
    connect(&curious, &service.socket).await;
    let (told, mut telling) = mpsc::unbounded_channel();
    Curious(curious.clone(), told).start();
    for _ in 0..200 {
        service.socket.send(vec![b'x'; 500]).await.unwrap();
    }
    for _ in 0..200 {
        within_patience("an answer", telling.recv()).await.unwrap();
    }
}

#[actix::test]
async fn of_ten_thousand_asks_each_ends_once_with_the_right_error_though_a_peer_is_killed() {
    const ASKS: usize = 10_000;
    const TIMEOUT: Duration = Duration::from_secs(3);
    /// Of an ask that ends before, on any machine.
    const AMPLE: Duration = Duration::from_secs(600);
    let client = Socket::start().unwrap();
    let mut services = Vec::new();
    for _ in 0..10 {
        let service = Service::with(SubscribeOptions::default().max_in_flight(ASKS));
        connect(&client, &service.socket).await;
        services.push(service);
    }
    let peers: Vec<_> = services.iter().map(|s| s.socket.identity()).collect();
    let killed = peers[3];
    // A quarter is never answered, and the killed peer is asked nothing else.
    let how = |index: usize| match index % 4 {
        0 => "wait",
        _ if peers[index % 10] == killed => "wait",
        _ => "name",
    };
    let ask = |index: usize| {
        let (client, peer, request) = (&client, peers[index % 10], get(how(index)));
        let timeout = match index % 4 {
            0 => TIMEOUT,
            _ => AMPLE,
        };
        async move {
            let begun = Instant::now();
            let outcome = client.ask(peer, &request).timeout(timeout).await;
            (peer, request.how, outcome, begun.elapsed())
        }
    };
    let asks = join_all((0..ASKS).map(ask));
    let kill = async {
        eventually("the peer to be asked all", || {
            services[3].socket.stats().received >= (ASKS / 10) as u64
        })
        .await;
        services[3].socket.close_within(Duration::ZERO).await;
    };
    let (outcomes, _) = tokio::join!(asks, kill);
    assert_eq!(outcomes.len(), ASKS);
    let (mut answered, mut gone, mut late) = (0, 0, 0);
    let mut longest = Duration::ZERO;
    for (peer, how, outcome, lasted) in outcomes {
        match outcome {
            Ok(_) => {
                assert!(how == "name" && peer != killed);
                answered += 1;
            }
            Err(AskError::PeerGone) => {
                assert!(peer == killed);
                gone += 1;
            }
            Err(AskError::Timeout) => {
                assert!(how == "wait" && peer != killed);
                longest = longest.max(lasted);
                late += 1;
            }
            other => panic!("{peer} {how}: {other:?}"),
        }
    }
    assert_eq!((answered, gone), (6_500, 1_000));
    assert_eq!(late, 2_500);
    println!(
        "the longest wait was {:?} over its timeout",
        longest.saturating_sub(TIMEOUT)
    );
    assert_eq!(client.stats().asks, 0);
}

/// JSON has no way to write a map with such keys.
#[derive(Serialize, Deserialize)]
struct Unwritable(std::collections::BTreeMap<(u8, u8), u8>);

payload!(Unwritable = "unwritable " => User);

#[actix::test]
async fn a_request_that_cannot_be_sent_fails_at_once_and_says_why() {
    let client = Socket::builder().max_frame_bytes(1_000).start().unwrap();
    let service = Service::start();
    connect(&client, &service.socket).await;
    let unwritable = Unwritable([((1, 2), 3)].into());
    let failed = client.ask(Whom::Any, &unwritable).await;
    assert!(matches!(failed, Err(AskError::Encode(_))), "{failed:?}");
    let failed = client.ask_all(&unwritable, SHORT).map(drop);
    assert!(matches!(failed, Err(AskError::Encode(_))), "{failed:?}");
    let failed = client.ask(Whom::Any, &get(&"x".repeat(1_000))).await;
    assert!(
        matches!(&failed, Err(AskError::Send(error)) if error.to_string().contains("limit")),
        "{failed:?}"
    );
    assert_eq!(client.stats().asks, 0);
}

#[actix::test]
async fn whoever_has_enough_answers_gives_the_others_up() {
    let client = Socket::start().unwrap();
    let mut services = [Service::start(), Service::start(), Service::start()];
    for service in &services {
        connect(&client, &service.socket).await;
    }
    let replies = client
        .ask_all(&get("name"), Duration::from_secs(30))
        .unwrap();
    assert_eq!(replies.take(2).count().await, 2);
    assert_eq!(client.stats().asks, 0);

    let replies = client
        .ask_all(&get("wait"), Duration::from_secs(30))
        .unwrap();
    for service in &mut services {
        while service.told().await != "wait" {}
    }
    drop(replies);
    for service in &mut services {
        while service.told().await != "cancelled" {}
    }
}
