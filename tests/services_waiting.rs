//! Services whose handlers are gone or fail: what waits for them goes on by itself.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::service::InstanceStatus;
use actix_aiomsg::testing::Probe;
use futures_util::future::join_all;
use support::shop::{By, Order, Shop, Sold, customer, order, sold};
use support::{eventually, within_patience};
use tokio::sync::Notify;

fn by(instance: &str) -> By {
    By(instance.to_owned())
}

/// Answers by its name, once it is told to go on if it is told to wait.
struct Clerk {
    socket: WeakSocket,
    name: &'static str,
    waits: bool,
}

/// Ends the clerk, as a panic or a stop does whose actor nobody starts again.
#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl Actor for Clerk {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let offer = self.socket.offer("inventory").expect("the socket is open");
        offer.serve_with::<Order>(ctx, SubscribeOptions::default().max_in_flight(1));
    }
}

impl Handler<Leave> for Clerk {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<Ask<Order>> for Clerk {
    type Result = ResponseActFuture<Self, Answer<Order>>;

    fn handle(&mut self, _: Ask<Order>, _: &mut Context<Self>) -> Self::Result {
        let (name, waits) = (self.name, self.waits);
        let answers = async move {
            if waits {
                std::future::pending::<()>().await;
            }
            Ok(by(name))
        };
        Box::pin(answers.into_actor(self))
    }
}

#[actix::test]
async fn what_waits_for_a_handler_that_is_gone_goes_to_another_of_the_service() {
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let clerk = |name, waits| Clerk {
        socket: socket.downgrade(),
        name,
        waits,
    };
    let first = clerk("first", true).start();
    let customer = Socket::start().unwrap();
    customer.connect(endpoint).await.unwrap();
    let inventory = customer.service("inventory");
    inventory.wait_for(1).await.unwrap();
    // The first has one in hand, and the others wait for it.
    let asks = join_all((0..4).map(|_| inventory.ask(&order("apples"))));
    let asks = actix::spawn(asks);
    eventually("all asks wait", || {
        let offers = socket.offers();
        offers.first().is_some_and(|offer| offer.waiting == 3)
    })
    .await;
    let _second = clerk("second", false).start();
    first.send(Leave).await.unwrap();
    let answers = within_patience("the answers", asks).await.unwrap();
    let by_second = answers.iter().filter(|answer| **answer == Ok(by("second")));
    assert_eq!(by_second.count(), 3, "{answers:?}");
    assert!(
        matches!(answers[0], Err(AskError::Remote(_))),
        "{answers:?}"
    );
    // It does not count as waiting any more, and who comes later is answered by the second, too.
    assert_eq!(socket.offers()[0].waiting, 0);
    assert_eq!(inventory.ask(&order("pears")).await, Ok(by("second")));
}

/// Puts its first message off when it is told to, and keeps the next.
struct Putter {
    socket: WeakSocket,
    handled: Rc<Cell<usize>>,
    go_on: Rc<Notify>,
}

impl Actor for Putter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let offer = self.socket.offer("inventory").expect("the socket is open");
        offer.handle::<Sold>(ctx);
    }
}

impl Handler<Received<Sold>> for Putter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, sold: Received<Sold>, _: &mut Context<Self>) -> Self::Result {
        self.handled.set(self.handled.get() + 1);
        let (is_first, go_on) = (self.handled.get() == 1, Rc::clone(&self.go_on));
        Box::pin(async move {
            go_on.notified().await;
            if is_first {
                sold.nack(Duration::ZERO);
            }
        })
    }
}

#[actix::test]
async fn what_is_put_off_and_taken_again_counts_as_taken_once() {
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let (handled, go_on) = (Rc::default(), Rc::default());
    let putter = Putter {
        socket: socket.downgrade(),
        handled: Rc::clone(&handled),
        go_on: Rc::clone(&go_on),
    };
    putter.start();
    let customer = Socket::start().unwrap();
    customer.connect(endpoint).await.unwrap();
    let inventory = customer.service("inventory");
    inventory.wait_for(1).await.unwrap();
    let mut receipts = Vec::new();
    for number in 0..3 {
        receipts.push(inventory.tell(&sold(number)).receipt().await.unwrap());
    }
    let waiting = || socket.offers()[0].waiting;
    eventually("the others to wait", || waiting() == 2).await;
    go_on.notify_one();
    eventually("the first to come again", || handled.get() == 2).await;
    assert_eq!(waiting(), 2);
}

#[actix::test]
async fn a_handler_of_a_service_that_is_gone_is_reported_and_the_service_is_withdrawn() {
    let (recipient, mut events) = Probe::recipient();
    let socket = Socket::builder().on_socket_event(recipient);
    let socket = socket.start().unwrap();
    let clerk = Clerk {
        socket: socket.downgrade(),
        name: "first",
        waits: false,
    };
    let clerk = clerk.start();
    eventually("the offer", || socket.offers().len() == 1).await;
    clerk.send(Leave).await.unwrap();
    drop(clerk);
    let gone = events.find(|event| match event {
        SocketEvent::SubscriberGone {
            actor,
            subscription,
            ..
        } => Some((actor, subscription)),
        _ => None,
    });
    let (actor, subscription) = gone.await.unwrap();
    assert!(actor.contains("Clerk"), "{actor}");
    assert!(subscription.contains("inventory"), "{subscription}");
    eventually("the withdrawal", || socket.offers().is_empty()).await;
}

#[actix::test]
async fn who_waits_for_an_instance_that_has_failed_is_the_one_that_tries_it() {
    let shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    inventory.wait_for(1).await.unwrap();
    // It speaks all the while, so that its silence about the asks is a failure.
    let speaker = shop.socket.clone();
    let speaking = actix::spawn(async move {
        while speaker.send("still here").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let timeout = Duration::from_millis(300);
    let asks = join_all((0..5).map(|_| inventory.ask(&order("wait")).timeout(timeout))).await;
    assert_eq!(asks, vec![Err(AskError::Timeout); 5]);
    assert_eq!(inventory.instances()[0].status, InstanceStatus::LeftOut);
    // Tells go there, for want of another instance, and leave the trial to who asks.
    for _ in 0..20 {
        inventory.tell(&sold(1)).await.unwrap();
    }
    // Nobody else asks meanwhile.
    let waiting = inventory
        .ask(&order("apples"))
        .timeout(Duration::from_secs(60));
    let answer = within_patience("its answer", waiting).await;
    assert_eq!(answer, Ok(by("i0")));
    assert_eq!(inventory.instances()[0].status, InstanceStatus::Ready);
    speaking.abort();
}
