//! What a peer sends again on the same connection, because its message is not handled yet, is not handled again.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use support::each::each;
use support::raw_peer::{ACK, DATA_REQ, RawPeer};
use support::{aside, eventually, within_patience};

const ME: [u8; 16] = [5; 16];

async fn bound(builder: SocketBuilder) -> (Socket, Endpoint) {
    let socket = builder.start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    (socket, endpoint)
}

/// Twenty jobs, each of which takes longer than the resend timeout, one after the other or four at a time.
async fn slow_jobs(in_flight: usize) {
    const JOBS: usize = 20;
    let (server, endpoint) = bound(Socket::builder()).await;
    let starts = Rc::new(Cell::new(0));
    let counted = Rc::clone(&starts);
    Worker::create(|ctx| {
        let options = SubscribeOptions::default().max_in_flight(in_flight);
        server.downgrade().subscribe_with(ctx, options);
        Worker(counted)
    });
    let client = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .resend_timeout(Duration::from_millis(100))
        .start()
        .unwrap();
    client.connect(endpoint).await.unwrap();
    let jobs = (0..JOBS).map(|job| client.send(job.to_string()).acknowledged());
    let done = futures_util::future::try_join_all(jobs);
    within_patience("the jobs", done).await.unwrap();
    assert!(client.stats().resent > 0, "the handler was too fast");
    let repeated = || server.stats().duplicates == client.stats().resent;
    eventually("all repetitions", repeated).await;
    assert_eq!(starts.get(), JOBS);
}

struct Worker(Rc<Cell<usize>>);

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Received> for Worker {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Received, _: &mut Self::Context) -> Self::Result {
        self.0.set(self.0.get() + 1);
        Box::pin(tokio::time::sleep(Duration::from_millis(250)))
    }
}

#[actix::test]
async fn a_slow_handlers_jobs_run_once_each() {
    slow_jobs(1).await;
}

#[actix::test]
async fn so_do_they_where_several_are_handled_at_a_time() {
    slow_jobs(4).await;
}

fn ask(peer: &mut RawPeer, id: u8) {
    peer.frame(DATA_REQ, &[&[id; 16][..], &[id]].concat());
}

fn hears(peer: &mut RawPeer, id: u8) {
    let ack = peer.next();
    assert_eq!((ack.kind, &ack.body[..]), (ACK, &[id; 16][..]));
}

#[actix::test]
async fn what_is_finished_is_acknowledged_again_and_what_is_in_hand_is_absorbed() {
    let (server, endpoint) = bound(Socket::builder()).await;
    let address = ([127, 0, 0, 1], endpoint.port().unwrap());
    let peer = aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        ask(&mut peer, 1);
        ask(&mut peer, 1);
        ask(&mut peer, 2);
        peer
    })
    .await;
    let first = within_patience("a message", server.recv()).await.unwrap();
    let second = within_patience("a message", server.recv()).await.unwrap();
    assert_eq!(
        (&first.payload()[..], &second.payload()[..]),
        (&[1][..], &[2][..])
    );
    first.ack();
    let peer = aside(move || {
        let mut peer = peer;
        hears(&mut peer, 1);
        ask(&mut peer, 2);
        ask(&mut peer, 1);
        hears(&mut peer, 1);
        peer
    })
    .await;
    second.ack();
    let peer = aside(move || {
        let mut peer = peer;
        hears(&mut peer, 2);
        peer
    })
    .await;
    let stats = server.stats();
    assert_eq!((stats.duplicates, stats.inbox_messages), (3, 0));
    assert!(stats.remembered_bytes > 0);
    drop(peer);
    eventually("the end of the connection", || {
        server.stats().remembered_bytes == 0
    })
    .await;
}

#[actix::test]
async fn a_message_that_was_put_off_is_in_hand_until_it_is_acknowledged() {
    let (server, endpoint) = bound(Socket::builder()).await;
    let tries = Rc::new(Cell::new(0));
    let counted = Rc::clone(&tries);
    each(&server, move |message: Received| {
        counted.set(counted.get() + 1);
        if counted.get() == 1 {
            message.nack(Duration::from_millis(300));
        }
    });
    let address = ([127, 0, 0, 1], endpoint.port().unwrap());
    aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        ask(&mut peer, 1);
        ask(&mut peer, 1);
        hears(&mut peer, 1);
        ask(&mut peer, 1);
        hears(&mut peer, 1);
    })
    .await;
    assert_eq!((tries.get(), server.stats().duplicates), (2, 2));
}

#[actix::test]
async fn another_connection_of_the_same_peer_may_bring_it_again() {
    let (server, endpoint) = bound(Socket::builder()).await;
    let address = ([127, 0, 0, 1], endpoint.port().unwrap());
    for _ in 0..2 {
        let peer = aside(move || {
            let mut peer = RawPeer::introduced(address, ME);
            ask(&mut peer, 1);
            peer
        });
        let peer = peer.await;
        let message = within_patience("a message", server.recv()).await.unwrap();
        assert_eq!(message.payload()[..], [1]);
        message.ack();
        drop(peer);
        eventually("it to leave", || server.stats().peers == 0).await;
    }
    assert_eq!(server.stats().duplicates, 0);
}
