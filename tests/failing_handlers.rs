//! Handlers that return an error: their message is delivered again, and is poison in the end.

mod support;

use std::cell::RefCell;
use std::fmt::Display;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use actix::dev::MessageResponse;
use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use support::each::each;
use support::{eventually, within_patience};

type Log = Rc<RefCell<Vec<String>>>;

/// How an actor returns what came of a message.
trait Respond: Sized + Unpin + 'static {
    type Result: MessageResponse<Fallible<Self>, Received> + 'static;

    fn respond(actor: &Fallible<Self>, result: Result<(), String>) -> Self::Result;
}

/// An actor that fails on some messages.
struct Fallible<R> {
    socket: WeakSocket,
    log: Log,
    kind: PhantomData<R>,
}

impl<R: Respond> Actor for Fallible<R> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl<R: Respond> Handler<Received> for Fallible<R> {
    type Result = R::Result;

    /// A "fickle" message fails twice, a "bad" one always.
    fn handle(&mut self, message: Received, _: &mut Self::Context) -> R::Result {
        let text = message.text().unwrap().to_owned();
        self.log.borrow_mut().push(text.clone());
        let tries = self.log.borrow().iter().filter(|t| **t == text).count();
        let result = match text.as_str() {
            "rejected" => {
                message.reject();
                Err("rejected in vain".to_owned())
            }
            "fickle" if tries <= 2 => Err("not yet".to_owned()),
            "bad" => Err(format!("bad at try {tries}")),
            _ => Ok(()),
        };
        R::respond(self, result)
    }
}

/// What a server with such an actor makes of the messages, of which all are acknowledged in the end.
async fn run<R: Respond>() {
    let (letters, mut dead) = Probe::recipient();
    let server = Socket::builder()
        .max_delivery_attempts(3)
        .on_dead_letter(letters)
        .start()
        .unwrap();
    let client = Socket::start().unwrap();
    let log = Log::default();
    let actor = Fallible::<R> {
        socket: server.downgrade(),
        log: Rc::clone(&log),
        kind: PhantomData,
    };
    let _actor = actor.start();
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    for text in ["good", "fickle", "bad", "rejected", "last"] {
        let receipt = client.send(text).receipt().await.unwrap();
        let _ = within_patience("the acknowledgement", receipt).await;
    }
    assert_eq!(
        *log.borrow(),
        [
            "good", "fickle", "fickle", "fickle", "bad", "bad", "bad", "rejected", "last"
        ]
    );
    let letter: DeadLetter = dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Poison);
    assert_eq!(letter.payload, "bad");
    assert_eq!(letter.detail.as_deref(), Some("bad at try 3"));
    let letter: DeadLetter = dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Rejected);
    assert_eq!(letter.payload, "rejected");

    // One that nobody is to acknowledge is not delivered again.
    client.send("bad").await.unwrap();
    let letter: DeadLetter = dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Poison);
    assert_eq!(letter.detail.as_deref(), Some("bad at try 4"));
    assert_eq!(server.stats().inbox_messages, 0);
}

struct AtOnce;

impl Respond for AtOnce {
    type Result = Handled;

    fn respond(_: &Fallible<Self>, result: Result<(), String>) -> Handled {
        result.into()
    }
}

/// Looks on, and fails on everything.
struct Onlooker(WeakSocket);

impl Actor for Onlooker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let options = SubscribeOptions::default().observe();
        self.0.subscribe_with::<bytes::Bytes>(ctx, options);
    }
}

impl Handler<Received> for Onlooker {
    type Result = Handled;

    fn handle(&mut self, _: Received, _: &mut Self::Context) -> Handled {
        Err("it looked away").into()
    }
}

#[actix::test]
async fn what_an_observer_fails_on_is_poison_here_and_handled_for_its_sender() {
    let (letters, mut dead) = Probe::recipient();
    let server = Socket::builder().on_dead_letter(letters).start().unwrap();
    let client = Socket::start().unwrap();
    each(&server, |_| Handled::ok());
    let _onlooker = Onlooker(server.downgrade()).start();
    let both = || server.subscriptions().len() == 2;
    eventually("both to subscribe", both).await;
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    let sent = client.send("news").acknowledged();
    within_patience("the acknowledgement", sent).await.unwrap();
    let letter: DeadLetter = dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Poison);
    assert_eq!(letter.detail.as_deref(), Some("it looked away"));
    assert_eq!(server.stats().losses.poison, 1);
}

#[actix::test]
async fn an_error_is_a_failed_delivery() {
    run::<AtOnce>().await;
}

struct Later;

impl Respond for Later {
    type Result = Handled;

    fn respond(_: &Fallible<Self>, result: Result<(), String>) -> Handled {
        Handled::future(async {
            tokio::task::yield_now().await;
            result
        })
    }
}

#[actix::test]
async fn an_error_of_a_future_is_a_failed_delivery() {
    run::<Later>().await;
}

struct WithActor;

impl Respond for WithActor {
    type Result = ActorHandled<Fallible<Self>>;

    fn respond(actor: &Fallible<Self>, result: Result<(), String>) -> Self::Result {
        let waiting = tokio::task::yield_now().into_actor(actor);
        ActorHandled::new(waiting.map(|(), actor, _| {
            assert!(!actor.log.borrow().is_empty());
            result
        }))
    }
}

#[actix::test]
async fn an_error_of_a_future_of_the_actor_is_a_failed_delivery() {
    run::<WithActor>().await;
}

/// Any error that can be displayed.
fn fails(error: impl Display) -> Handled {
    Err(error).into()
}

#[test]
fn errors_of_every_kind_convert() {
    let shown = |handled: Handled| format!("{handled:?}");
    let error = Box::<dyn std::error::Error>::from("boxed");
    assert_eq!(shown(fails(error)), "Handled(Err(Failure(\"boxed\")))");
    assert_eq!(shown(fails("a word")), "Handled(Err(Failure(\"a word\")))");
    assert_eq!(shown(Ok::<(), String>(()).into()), "Handled(Ok(()))");
}

/// An actor that the socket knows only by its address, and that fails on what is "bad".
struct ByAddress;

impl Actor for ByAddress {
    type Context = Context<Self>;
}

impl Handler<Received> for ByAddress {
    type Result = Handled;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Handled {
        match message.text() {
            Ok("bad") => fails("it is bad"),
            _ => Ok::<(), String>(()).into(),
        }
    }
}

#[actix::test]
async fn an_error_of_an_actor_that_is_known_by_its_address_is_a_failed_delivery() {
    let (letters, mut dead) = Probe::recipient();
    let server = Socket::builder()
        .max_delivery_attempts(3)
        .on_dead_letter(letters)
        .start()
        .unwrap();
    let client = Socket::start().unwrap();
    server.subscribe_recipient(ByAddress.start().recipient());
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    let refused = within_patience("the refusal", client.send("bad").acknowledged()).await;
    assert!(refused.unwrap_err().to_string().contains("handler"));
    client.send("bad").await.unwrap();
    for _ in 0..2 {
        let letter: DeadLetter = dead.next().await.unwrap();
        assert_eq!(letter.reason, DeadLetterReason::Poison);
        assert_eq!(letter.payload, "bad");
        let detail = letter.detail.as_deref();
        assert_eq!(detail, Some("the actor has not handled it"));
    }
    within_patience("the good one", client.send("good").acknowledged())
        .await
        .unwrap();
}

/// An actor on threads for work that blocks, whose result is a future all the same.
struct Blocking;

impl Actor for Blocking {
    type Context = SyncContext<Self>;
}

impl Handler<Received> for Blocking {
    type Result = Handled;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Handled {
        Handled::future(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            match message.text() {
                Ok("bad") => Err("it is bad"),
                _ => Ok(()),
            }
        })
    }
}

#[actix::test]
async fn a_future_of_an_actor_of_a_sync_arbiter_runs_to_its_end() {
    let (letters, mut dead) = Probe::recipient();
    let server = Socket::builder().on_dead_letter(letters).start().unwrap();
    let client = Socket::start().unwrap();
    let blocking = SyncArbiter::start(1, || Blocking);
    server.subscribe_recipient(blocking.recipient());
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    client.send("bad").await.unwrap();
    let good = within_patience("the good one", client.send("good").acknowledged());
    good.await.unwrap();
    let letter: DeadLetter = dead.next().await.unwrap();
    assert_eq!(
        (letter.reason, &letter.payload[..]),
        (DeadLetterReason::Poison, &b"bad"[..])
    );
}
