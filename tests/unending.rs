//! Times without an end: where a time is taken, `Duration::MAX` stands for as long as it takes.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::Dedupe;
use actix_aiomsg::authorize::{Admission, Candidate};
use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::Relay;
use actix_aiomsg::testing::Probe;
use support::actors::collect;
use support::each::each;
use support::shop::{By, Shop, customer, order, sold};
use support::{eventually, within_patience};

const FOREVER: Duration = Duration::MAX;

/// A socket that has all the time in the world.
fn patient() -> SocketBuilder {
    Socket::builder()
        .connect_timeout(FOREVER)
        .handshake_timeout(FOREVER)
        .authorize(async |_: Candidate| Admission::admit())
        .authorization_timeout(FOREVER)
        .absence_grace(FOREVER)
        .publish_patience(FOREVER)
        .close_deadline(FOREVER)
        .accept_rate(1000, FOREVER)
        .dedupe(Dedupe::within(100, FOREVER))
        .reconnect(Backoff::fixed(FOREVER))
        .heartbeat_interval(FOREVER)
        .heartbeat_timeout(FOREVER)
        .write_timeout(FOREVER)
        .standstill_timeout(FOREVER)
        .resend_timeout(FOREVER)
        .link_overflow(Overflow::WaitFor(FOREVER))
        .outbox_overflow(Overflow::WaitFor(FOREVER))
}

/// Answers each ask by its own text.
struct Echo(WeakSocket);

impl Actor for Echo {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.serve::<String>(ctx);
    }
}

impl Handler<Ask<String>> for Echo {
    type Result = Answer<String>;

    fn handle(&mut self, ask: Ask<String>, _: &mut Self::Context) -> Self::Result {
        Ok(ask.into_request())
    }
}

#[actix::test]
async fn a_socket_of_which_no_time_has_an_end_sends_receives_and_closes() {
    let [server, client] = [patient(), patient()].map(|builder| builder.start().unwrap());
    let mut messages = collect(&server);
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    within_patience("a peer", client.wait_for_peers(1))
        .await
        .unwrap();
    client
        .send("once")
        .time_to_live(FOREVER)
        .await
        .expect("there is room");
    client
        .send("for sure")
        .time_to_live(FOREVER)
        .acknowledged()
        .await
        .expect("it is handled");
    assert_eq!(messages.payloads(2).await, ["once", "for sure"]);
    // From here on the server knows that it was there.
    within_patience("the end", client.close_within(FOREVER)).await;
    eventually("the peer to be gone", || server.peers().is_empty()).await;
    within_patience("the end", server.close()).await;
}

#[actix::test]
async fn a_dialler_may_pause_without_an_end() {
    let (recipient, mut events) = Probe::recipient();
    let socket = patient().on_socket_event(recipient).start().unwrap();
    // Nobody listens at port 1.
    socket.connect("tcp://127.0.0.1:1").await.unwrap();
    let failed = events.find(|event| match event {
        SocketEvent::DialFailed { next_try, .. } => Some(next_try),
        _ => None,
    });
    assert_eq!(failed.await, Ok(FOREVER));
}

#[actix::test]
async fn an_ask_may_wait_without_an_end() {
    let server = Socket::start().unwrap();
    Echo(server.downgrade()).start();
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    let client = Socket::start().unwrap();
    client.connect(endpoint).await.unwrap();
    let question = "what?".to_owned();
    let asking = client.ask(Whom::Any, &question).timeout(FOREVER);
    assert_eq!(
        within_patience("an answer", asking).await,
        Ok("what?".to_owned())
    );
    let mut replies = client.ask_all(&question, FOREVER).unwrap();
    let (_, reply) = within_patience("an answer", replies.next()).await.unwrap();
    assert_eq!(reply, Ok("what?".to_owned()));
    assert!(within_patience("the end", replies.next()).await.is_none());
}

#[actix::test]
async fn an_ask_of_a_service_may_wait_without_an_end_and_so_may_a_tell() {
    let mut shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory").rehome(FOREVER);
    let by = || By("i0".to_owned());
    let asking = inventory.ask(&order("apples")).timeout(FOREVER).retry(3);
    let asking = asking.idempotent().try_timeout(FOREVER);
    assert_eq!(within_patience("an answer", asking).await, Ok(by()));
    let mut replies = inventory.ask_all(&order("apples"), FOREVER).unwrap();
    let (_, reply) = within_patience("an answer", replies.next()).await.unwrap();
    assert_eq!(reply, Ok(by()));
    let telling = inventory.tell(&sold(7)).time_to_live(FOREVER);
    within_patience("a handler", telling.acknowledged())
        .await
        .unwrap();
    for asked in ["apples", "apples"] {
        assert_eq!(shop.told().await, asked);
    }
    assert!(shop.told().await.starts_with("7 "));
}

#[actix::test]
async fn a_message_may_be_put_off_without_an_end() {
    let server = Socket::start().unwrap();
    let handled = Rc::new(Cell::new(0));
    let counted = Rc::clone(&handled);
    each(&server, move |message| {
        counted.set(counted.get() + 1);
        if message.payload() == "later" {
            message.nack(FOREVER);
        }
    });
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    let client = Socket::start().unwrap();
    client.connect(endpoint).await.unwrap();
    let receipt = client.send("later").receipt().await.unwrap();
    client.send("now").acknowledged().await.unwrap();
    assert_eq!(handled.get(), 2);
    drop(receipt);
}

#[actix::test]
async fn a_relay_may_wait_for_an_answer_without_an_end() {
    let [front, back] = [(); 2].map(|()| Socket::start().unwrap());
    let _relay = Relay::new(&front, &back)
        .default_patience(FOREVER)
        .max_patience(FOREVER)
        .start()
        .unwrap();
    let [at_front, at_back] = [(); 2].map(|()| Socket::start().unwrap());
    Echo(at_back.downgrade()).start();
    for (socket, relayed) in [(&at_back, &back), (&at_front, &front)] {
        let endpoint = relayed.bind("tcp://127.0.0.1:0").await.unwrap();
        socket.connect(endpoint).await.unwrap();
    }
    let asking = at_front.ask(Whom::Any, &"what?".to_owned());
    let answer = within_patience("an answer", asking.timeout(FOREVER)).await;
    assert_eq!(answer, Ok("what?".to_owned()));
}

#[actix::test]
async fn bounds_without_an_end_are_no_bounds() {
    const MOST: usize = usize::MAX;
    let unbounded = || {
        Socket::builder()
            .link_capacity(MOST, MOST)
            .unacknowledged_capacity(MOST, MOST)
            .outbox_capacity(MOST, MOST)
            .inbox_capacity(MOST, MOST)
            .memory_budget(MOST)
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
    };
    let (server, client) = (unbounded().start().unwrap(), unbounded().start().unwrap());
    let _echo = Echo(server.downgrade()).start();
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.send("before anybody is there").await.unwrap();
    client.connect(endpoint).await.unwrap();
    for number in 0..100 {
        client.send(format!("{number}")).await.unwrap();
    }
    let answer = client.ask(Whom::Any, &"asked".to_owned()).await;
    assert_eq!(answer.unwrap(), "asked");
    for _ in 0..101 {
        let message = within_patience("a message", server.recv()).await.unwrap();
        message.reply("a reply").unwrap();
    }
    for _ in 0..101 {
        within_patience("a reply", client.recv()).await.unwrap();
    }
    within_patience("a flush", client.flush()).await.unwrap();
}
