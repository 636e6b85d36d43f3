//! The deadline of an ask counts from its arrival: time in the inbox is time that the asker waits.
#![cfg(feature = "json")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::payload;
use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::Relay;
use actix_aiomsg::testing::{Probe, ScriptedPeer};
use serde::{Deserialize, Serialize};
use support::{eventually, within_patience};
use tokio::sync::{Notify, mpsc};

/// How long an ask waits in the inbox.
const WAIT: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize, Deserialize)]
struct Question(String);

#[derive(Debug, Serialize, Deserialize)]
struct Reply(String);

payload!(Question = "question " => Reply, Reply);

/// Answers one ask at a time, and the first of them when it is told to.
struct Slow {
    socket: WeakSocket,
    go_on: Arc<Notify>,
    handled: mpsc::UnboundedSender<Begun>,
}

/// An ask that is about to be answered, and how long its asker still waits.
type Begun = (String, Option<Duration>);

impl Slow {
    /// Starts it for this socket. Returns what lets it go on, and what tells of each ask.
    fn start_at(socket: &Socket) -> (Arc<Notify>, mpsc::UnboundedReceiver<Begun>) {
        let go_on = Arc::new(Notify::new());
        let (handled, told) = mpsc::unbounded_channel();
        let slow = Self {
            socket: socket.downgrade(),
            go_on: Arc::clone(&go_on),
            handled,
        };
        slow.start();
        (go_on, told)
    }
}

impl Actor for Slow {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let one = SubscribeOptions::default().max_in_flight(1);
        self.socket.serve_with::<Question>(ctx, one);
        let offer = self.socket.offer("slow").expect("the socket is open");
        offer.serve::<Question>(ctx);
    }
}

impl Handler<Ask<Question>> for Slow {
    type Result = ResponseFuture<Answer<Question>>;

    fn handle(&mut self, ask: Ask<Question>, _: &mut Self::Context) -> Self::Result {
        let handled = (ask.0.clone(), ask.remaining());
        self.handled.send(handled).expect("the test listens");
        let go_on = Arc::clone(&self.go_on);
        Box::pin(async move {
            if ask.0 == "first" {
                go_on.notified().await;
            }
            Ok(Reply(ask.into_request().0))
        })
    }
}

/// An ask of a peer that waits so long and never cancels; zero is for ever.
fn ask(id: u8, patience: Duration, how: &str) -> Vec<u8> {
    let patience = u32::try_from(patience.as_millis()).unwrap();
    let mut ask = b"\xa1ASK\x01\x00".to_vec();
    ask.extend([id; 16]);
    ask.extend(patience.to_be_bytes());
    ask.extend(format!("question \"{how}\"").into_bytes());
    ask
}

#[actix::test]
async fn time_in_the_inbox_counts_and_an_ask_whose_time_is_over_is_not_handled() {
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("mem://ask-deadlines").await.unwrap();
    let (go_on, mut told) = Slow::start_at(&socket);
    let peer = ScriptedPeer::introduced(&endpoint, Identity::random());
    let (mut peer, _) = peer.await.unwrap();
    let minute = Duration::from_secs(60);
    for ask in [
        ask(1, Duration::ZERO, "first"),
        ask(2, WAIT / 2, "over"),
        ask(3, minute, "patient"),
    ] {
        peer.send(ask).await.unwrap();
    }
    let first = within_patience("the first", told.recv()).await.unwrap();
    assert_eq!(first, ("first".to_owned(), None));
    eventually("the others to arrive", || socket.stats().received == 3).await;
    tokio::time::sleep(WAIT).await;
    go_on.notify_one();

    let (which, left) = within_patience("the patient one", told.recv())
        .await
        .unwrap();
    assert_eq!(which, "patient");
    let left = left.expect("it has a deadline");
    assert!(left <= minute - WAIT, "{left:?}");
    for expected in ["first", "patient"] {
        let answer = peer.receive().await.unwrap();
        let answer = String::from_utf8_lossy(&answer[26..]).into_owned();
        assert!(answer.contains(expected), "{answer}");
    }
    assert!(told.try_recv().is_err());
}

#[actix::test]
async fn an_answer_waits_for_an_asker_that_went_no_longer_than_that_waited_for_it() {
    let hour = Duration::from_secs(60 * 60);
    let socket = Socket::builder().absent_peer(AbsentPeer::HoldFor(hour));
    let socket = socket.start().unwrap();
    let endpoint = socket.bind("mem://ask-of-one-that-went").await.unwrap();
    let (go_on, mut told) = Slow::start_at(&socket);
    let (letters, mut dead) = Probe::recipient();
    socket.dead_letters(letters);
    let peer = ScriptedPeer::introduced(&endpoint, Identity::random());
    let (mut peer, _) = peer.await.unwrap();
    peer.send(ask(1, 4 * WAIT, "first")).await.unwrap();
    within_patience("the first", told.recv()).await.unwrap();
    drop(peer);
    eventually("the asker to be gone", || socket.stats().peers == 0).await;
    go_on.notify_one();
    let letter: DeadLetter = dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Expired);
    eventually("nothing to wait", || socket.stats().outbox_messages == 0).await;
}

/// For how long the asker of an ask waits, as it says.
fn patience_in(ask: &[u8]) -> Duration {
    let millis = ask[22..26].try_into().unwrap();
    Duration::from_millis(u32::from_be_bytes(millis).into())
}

#[actix::test]
async fn an_ask_that_waited_at_a_relay_says_what_is_left_of_its_time() {
    let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
    let relay = Relay::new(&front, &back).start().unwrap();
    let endpoint = front.bind("mem://asks-before-a-relay").await.unwrap();
    let peer = ScriptedPeer::introduced(&endpoint, Identity::random());
    let (mut asker, _) = peer.await.unwrap();
    let minute = Duration::from_secs(60);
    let asks = [
        ask(1, minute, "patient"),
        ask(2, Duration::ZERO, "for ever"),
    ];
    for ask in asks.clone() {
        asker.send(ask).await.unwrap();
    }
    eventually("the asks", || relay.stats().waiting_asks == 2).await;
    tokio::time::sleep(WAIT).await;
    let endpoint = back.bind("mem://asks-behind-a-relay").await.unwrap();
    let peer = ScriptedPeer::introduced(&endpoint, Identity::random());
    let (mut worker, _) = peer.await.unwrap();
    for _ in &asks {
        let passed_on = worker.receive().await.unwrap();
        if passed_on[6] == 2 {
            assert_eq!(passed_on[..], asks[1][..]);
            continue;
        }
        let left = patience_in(&passed_on);
        assert!(left <= minute - WAIT && left > WAIT, "{left:?}");
        assert_eq!(passed_on[..22], asks[0][..22]);
        assert_eq!(passed_on[26..], asks[0][26..]);
    }
}

#[actix::test]
async fn an_ask_that_waited_for_room_says_what_is_left_of_its_time() {
    let provider = Socket::start().unwrap();
    let endpoint = provider.bind("mem://asks-wait-for-room").await.unwrap();
    let (_go_on, mut told) = Slow::start_at(&provider);
    let asker = Socket::start().unwrap();
    asker.connect(endpoint).await.unwrap();
    let service = asker.service("slow");
    let offered = service.wait_for(1);
    within_patience("the service", offered).await.unwrap();
    // The provider takes no more than it has room for, for now.
    let mut messages = provider.messages();
    let mut refused = 0;
    while refused < 5 {
        refused += 1;
        for bytes in [64 * 1024, 1] {
            while asker.try_send(vec![0; bytes]).is_ok() {
                refused = 0;
            }
        }
        tokio::time::sleep(WAIT / 20).await;
    }
    let minute = Duration::from_secs(60);
    let question = |text: &str| Question(text.to_owned());
    let (plain, of_service) = (question("plain"), question("of a service"));
    let plain = asker.ask(Whom::Any, &plain).timeout(minute);
    let of_service = service.ask(&of_service).timeout(minute);
    let asking = actix::spawn(async move { tokio::join!(plain, of_service) });
    eventually("the asks", || asker.stats().asks == 2).await;
    tokio::time::sleep(WAIT).await;
    let drain = actix::spawn(async move { while messages.next().await.is_some() {} });
    for _ in 0..2 {
        let asked = within_patience("an ask", told.recv()).await;
        let (which, left) = asked.unwrap();
        let left = left.expect("it has a deadline");
        assert!(left <= minute - WAIT && left > WAIT, "{which}: {left:?}");
    }
    let (plain, of_service) = asking.await.unwrap();
    plain.unwrap();
    of_service.unwrap();
    drain.abort();
}
