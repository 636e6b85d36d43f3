//! What acknowledges a message, and what becomes of one that is not handled. The
//! sender is scripted and never resends: what comes again was delivered again here.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use support::raw_peer::{ACK, RawPeer};
use support::{aside, eventually, within_patience};
use tokio::sync::Semaphore;

const ID: [u8; 16] = [0x1d; 16];
/// Long enough to notice what must not come, and never what a test waits for.
const WHILE: Duration = Duration::from_millis(40);

/// A bound socket without subscriptions, a scripted peer of it, and its dead letters.
async fn start() -> (Socket, RawPeer, Letters) {
    let (sender, letters) = tokio::sync::mpsc::unbounded_channel();
    let socket = Socket::builder()
        .on_dead_letter(Log(sender).start().recipient())
        .start()
        .unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address = ([127, 0, 0, 1], endpoint.port().unwrap());
    let peer = aside(move || RawPeer::introduced(address, [7; 16])).await;
    (socket, peer, letters)
}

type Letters = tokio::sync::mpsc::UnboundedReceiver<DeadLetter>;

struct Log(tokio::sync::mpsc::UnboundedSender<DeadLetter>);

impl Actor for Log {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Log {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Context<Self>) {
        let _ = self.0.send(letter);
    }
}

/// A handler made of a closure, which gets the number of the delivery, from 1.
struct Asynchronous<F> {
    socket: WeakSocket,
    deliveries: usize,
    handle: F,
}

impl<F> Actor for Asynchronous<F>
where
    F: FnMut(usize, Received) -> ResponseFuture<()> + Unpin + 'static,
{
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.clone().subscribe(ctx);
    }
}

impl<F> Handler<Received> for Asynchronous<F>
where
    F: FnMut(usize, Received) -> ResponseFuture<()> + Unpin + 'static,
{
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: Received, _: &mut Context<Self>) -> Self::Result {
        self.deliveries += 1;
        (self.handle)(self.deliveries, message)
    }
}

/// The same, done when the closure returns.
struct Synchronous<F> {
    socket: WeakSocket,
    deliveries: usize,
    handle: F,
}

impl<F: FnMut(usize, Received) + Unpin + 'static> Actor for Synchronous<F> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.clone().subscribe(ctx);
    }
}

impl<F: FnMut(usize, Received) + Unpin + 'static> Handler<Received> for Synchronous<F> {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        self.deliveries += 1;
        (self.handle)(self.deliveries, message);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl<F: FnMut(usize, Received) + Unpin + 'static> Handler<Leave> for Synchronous<F> {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl<F> Handler<Leave> for Asynchronous<F>
where
    F: FnMut(usize, Received) -> ResponseFuture<()> + Unpin + 'static,
{
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

fn synchronous<F>(socket: &Socket, handle: F) -> Addr<Synchronous<F>>
where
    F: FnMut(usize, Received) + Unpin + 'static,
{
    let socket = socket.downgrade();
    Synchronous {
        socket,
        deliveries: 0,
        handle,
    }
    .start()
}

fn asynchronous<F>(socket: &Socket, handle: F)
where
    F: FnMut(usize, Received) -> ResponseFuture<()> + Unpin + 'static,
{
    let socket = socket.downgrade();
    Asynchronous {
        socket,
        deliveries: 0,
        handle,
    }
    .start();
}

/// Runs the peer's part; its message has one id.
async fn peer_does<T: Send + 'static>(
    mut peer: RawPeer,
    part: impl FnOnce(&mut RawPeer) -> T + Send + 'static,
) -> (RawPeer, T) {
    aside(move || {
        let result = part(&mut peer);
        (peer, result)
    })
    .await
}

fn acknowledged(peer: &mut RawPeer) {
    let answer = peer.next();
    assert_eq!((answer.kind, &answer.body[..]), (ACK, &ID[..]));
}

async fn asks(peer: RawPeer) -> RawPeer {
    peer_does(peer, |peer| peer.data_req(ID, b"precious"))
        .await
        .0
}

async fn is_acknowledged(peer: RawPeer) -> RawPeer {
    peer_does(peer, acknowledged).await.0
}

async fn is_not_acknowledged(peer: RawPeer) -> RawPeer {
    let (peer, silent) = peer_does(peer, |peer| peer.is_silent_for(WHILE)).await;
    assert!(silent, "nothing is to be said yet");
    peer
}

#[actix::test]
async fn a_synchronous_handler_acknowledges_when_it_returns() {
    let (socket, mut peer, _letters) = start().await;
    let (begun, has_begun) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let _handler = synchronous(&socket, move |_, _| {
        begun.send(()).unwrap();
        gate.recv().unwrap();
    });
    aside(move || {
        peer.data_req(ID, b"precious");
        has_begun.recv().unwrap();
        assert!(peer.is_silent_for(WHILE));
        open.send(()).unwrap();
        acknowledged(&mut peer);
    })
    .await;
}

#[actix::test]
async fn an_asynchronous_handler_acknowledges_when_its_future_ends() {
    let (socket, peer, _letters) = start().await;
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opened, count) = (Arc::clone(&gate), Arc::clone(&begun));
    asynchronous(&socket, move |_, _| {
        let (gate, begun) = (Arc::clone(&opened), Arc::clone(&count));
        Box::pin(async move {
            begun.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
        })
    });
    let peer = asks(peer).await;
    eventually("it to begin", || begun.load(Ordering::SeqCst) == 1).await;
    let peer = is_not_acknowledged(peer).await;
    gate.add_permits(1);
    is_acknowledged(peer).await;
}

#[actix::test]
async fn what_nobody_subscribed_to_waits_without_an_acknowledgement() {
    let (socket, peer, _letters) = start().await;
    let peer = asks(peer).await;
    eventually("it to arrive", || socket.stats().inbox_messages == 1).await;
    let peer = is_not_acknowledged(peer).await;
    socket.recv().await.unwrap().ack();
    is_acknowledged(peer).await;
    assert_eq!(socket.stats().inbox_messages, 0);
}

#[actix::test]
async fn a_received_message_that_a_panic_drops_is_delivered_again() {
    let (socket, peer, _letters) = start().await;
    let peer = asks(peer).await;
    let careless = socket.clone();
    let task = actix::spawn(async move {
        let _message = careless.recv().await.unwrap();
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    let peer = is_not_acknowledged(peer).await;
    let message = socket.recv().await.unwrap();
    assert_eq!(message.text(), Ok("precious"));
    drop(message);
    is_acknowledged(peer).await;
}

#[actix::test]
async fn a_future_that_panics_is_given_its_message_again_until_that_is_poison() {
    let (socket, peer, mut letters) = start().await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&attempts);
    asynchronous(&socket, move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { panic!("on purpose") })
    });
    let peer = asks(peer).await;
    is_acknowledged(peer).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
    let letter = within_patience("a dead letter", letters.recv())
        .await
        .unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Poison);
    assert_eq!(letter.payload, "precious");
}

#[actix::test]
async fn what_a_handler_puts_off_comes_again_and_then_counts() {
    let (socket, peer, _letters) = start().await;
    let _handler = synchronous(&socket, |delivery, message| match delivery {
        1 => message.nack(Duration::from_millis(20)),
        2 => message.nack(Duration::ZERO),
        _ => message.ack(),
    });
    let peer = asks(peer).await;
    is_acknowledged(peer).await;
    assert_eq!(socket.stats().inbox_messages, 0);
}

#[actix::test]
async fn what_a_caller_puts_off_comes_again_and_then_counts() {
    let (socket, peer, _letters) = start().await;
    let peer = asks(peer).await;
    let first = within_patience("it", socket.recv()).await.unwrap();
    first.nack(Duration::from_millis(20));
    let second = within_patience("it again", socket.recv()).await.unwrap();
    second.nack(Duration::ZERO);
    let peer = is_not_acknowledged(peer).await;
    within_patience("it again", socket.recv())
        .await
        .unwrap()
        .ack();
    is_acknowledged(peer).await;
    assert_eq!(socket.stats().inbox_messages, 0);
}

#[actix::test]
async fn what_is_rejected_is_a_dead_letter_and_is_acknowledged() {
    let (socket, peer, mut letters) = start().await;
    let _handler = synchronous(&socket, |_, message| message.reject());
    let peer = asks(peer).await;
    is_acknowledged(peer).await;
    let letter = within_patience("a dead letter", letters.recv())
        .await
        .unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Rejected);
    assert_eq!(letter.peer, Some(Identity::from_bytes([7; 16])));
}

#[actix::test]
async fn two_subscriptions_both_finish_before_the_acknowledgement() {
    let (socket, peer, _letters) = start().await;
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    asynchronous(&socket, move |_, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move { gate.acquire().await.unwrap().forget() })
    });
    let finished = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&finished);
    let _second = synchronous(&socket, move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    // Both have subscribed when each has had something.
    let peer = peer_does(peer, |peer| peer.data(b"warm up")).await.0;
    gate.add_permits(1);
    eventually("the second", || finished.load(Ordering::SeqCst) == 1).await;
    eventually("the first", || gate.available_permits() == 0).await;
    let peer = asks(peer).await;
    eventually("the second", || finished.load(Ordering::SeqCst) == 2).await;
    let peer = is_not_acknowledged(peer).await;
    gate.add_permits(1);
    is_acknowledged(peer).await;
}

#[actix::test]
async fn a_subscriber_that_leaves_owes_nothing_for_what_it_had_put_off() {
    let (socket, peer, _letters) = start().await;
    let (put_off, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, count) = (Arc::clone(&put_off), Arc::clone(&finished));
    let leaver = synchronous(&socket, move |_, message| {
        counted.fetch_add(1, Ordering::SeqCst);
        message.nack(Duration::from_secs(3600));
    });
    let _stays = synchronous(&socket, move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let peer = peer_does(peer, |peer| peer.data(b"warm up")).await.0;
    eventually("both", || {
        put_off.load(Ordering::SeqCst) + finished.load(Ordering::SeqCst) == 2
    })
    .await;
    let peer = asks(peer).await;
    eventually("both", || {
        put_off.load(Ordering::SeqCst) + finished.load(Ordering::SeqCst) == 4
    })
    .await;
    let peer = is_not_acknowledged(peer).await;
    leaver.do_send(Leave);
    is_acknowledged(peer).await;
}

#[actix::test]
async fn what_a_handler_panics_on_goes_to_its_successor() {
    let (socket, peer, _letters) = start().await;
    let _dies = synchronous(&socket, |_, _| panic!("on purpose"));
    let peer = asks(peer).await;
    let peer = is_not_acknowledged(peer).await;
    let (seen, see) = tokio::sync::oneshot::channel();
    let mut seen = Some(seen);
    let _lives = synchronous(&socket, move |_, message| {
        let text = message.text().unwrap().to_owned();
        seen.take().expect("once").send(text).unwrap();
    });
    let text = within_patience("it again", see).await.unwrap();
    assert_eq!(text, "precious");
    is_acknowledged(peer).await;
}

/// An actor on another thread has a message in a future that does not end, and stops; then its thread ends.
async fn outlive(
    socket: &Socket,
    peer: RawPeer,
    says: impl FnOnce(&mut RawPeer) + Send + 'static,
) -> RawPeer {
    let arbiter = Arbiter::new();
    let weak = socket.downgrade();
    let has_it = Arc::new(AtomicUsize::new(0));
    let takes = Arc::clone(&has_it);
    let handle = move |_, _| -> ResponseFuture<()> {
        takes.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    };
    let stops = Asynchronous::start_in_arbiter(&arbiter.handle(), move |_| Asynchronous {
        socket: weak,
        deliveries: 0,
        handle,
    });
    let (peer, ()) = peer_does(peer, says).await;
    eventually("it to be in hand", || has_it.load(Ordering::SeqCst) == 1).await;
    stops.do_send(Leave);
    eventually("the actor to be gone", || socket.subscriptions().is_empty()).await;
    arbiter.stop();
    aside(move || arbiter.join()).await.unwrap();
    peer
}

#[actix::test]
async fn a_message_whose_future_outlives_its_actor_and_ends_with_the_thread_was_not_handled() {
    let (socket, peer, mut letters) = start().await;
    let peer = outlive(&socket, peer, |peer| peer.data(b"once")).await;
    let letter = within_patience("a dead letter", letters.recv())
        .await
        .unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Poison);
    assert_eq!(letter.payload, "once");

    let peer = outlive(&socket, peer, |peer| peer.data_req(ID, b"precious")).await;
    let (seen, mut see) = tokio::sync::mpsc::unbounded_channel();
    let _successor = synchronous(&socket, move |_, message| {
        seen.send(message.text().unwrap().to_owned()).unwrap();
    });
    let text = within_patience("it again", see.recv()).await.unwrap();
    assert_eq!(text, "precious");
    is_acknowledged(peer).await;
    eventually("its room to be free", || socket.stats().inbox_messages == 0).await;
}
