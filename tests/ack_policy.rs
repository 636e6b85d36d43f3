//! Acknowledged on receipt, and the cases of an acknowledgement that `redelivery` has not.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::{AckPolicy, Dedupe, SocketBuilder};
use support::each::each;
use support::raw_peer::{ACK, DATA_REQ, RawPeer, frame};
use support::{aside, eventually, within_patience};

const ID: [u8; 16] = [0x1d; 16];
/// Long enough to notice what must not come, and never what a test waits for.
const WHILE: Duration = Duration::from_millis(40);

fn on_receipt() -> SocketBuilder {
    Socket::builder().ack_policy(AckPolicy::OnReceipt)
}

async fn bound(builder: SocketBuilder) -> (Socket, SocketAddr) {
    let socket = builder.start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    (socket, address)
}

async fn connected(address: SocketAddr) -> RawPeer {
    aside(move || RawPeer::introduced(address, [7; 16])).await
}

async fn asks(mut peer: RawPeer) -> RawPeer {
    aside(move || {
        peer.data_req(ID, b"precious");
        peer
    })
    .await
}

async fn is_acknowledged(mut peer: RawPeer) -> RawPeer {
    aside(move || {
        let answer = peer.next();
        assert_eq!((answer.kind, &answer.body[..]), (ACK, &ID[..]));
        peer
    })
    .await
}

async fn is_not_acknowledged(mut peer: RawPeer) -> RawPeer {
    aside(move || {
        assert!(peer.is_silent_for(WHILE), "nothing is to be said");
        peer
    })
    .await
}

async fn message(socket: &Socket) -> Received {
    within_patience("a message", socket.recv()).await.unwrap()
}

#[actix::test]
async fn on_receipt_a_message_is_acknowledged_when_it_enters_the_inbox_and_never_again() {
    let (socket, address) = bound(on_receipt()).await;
    let peer = is_acknowledged(asks(connected(address).await).await).await;
    assert_eq!(socket.stats().inbox_messages, 1);
    message(&socket).await.ack();
    is_not_acknowledged(peer).await;
    assert_eq!(socket.stats().inbox_messages, 0);
}

#[actix::test]
async fn on_receipt_what_nobody_had_handled_when_the_socket_closed_is_a_dead_letter() {
    let (socket, address) = bound(on_receipt()).await;
    let _peer = is_acknowledged(asks(connected(address).await).await).await;
    let report = socket.close_within(Duration::ZERO).await;
    assert_eq!((report.unhandled, report.returned), (1, 0), "{report:?}");
    let stats = socket.stats();
    assert_eq!((stats.dead_letters, stats.losses.closed), (1, 1));
}

#[actix::test]
async fn a_message_that_is_put_off_for_long_stops_none_of_those_that_come_later() {
    let (server, address) = bound(Socket::builder()).await;
    each(&server, |message: Received| {
        if message.payload() == "not now" {
            message.nack(Duration::from_secs(3_600));
        }
    });
    let client = Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
    let client = client.start().unwrap();
    client.connect(format!("tcp://{address}")).await.unwrap();
    client.send("not now").await.unwrap();
    let all = async {
        for _ in 0..20_000 {
            client.send("job").await.unwrap();
        }
    };
    within_patience("all later ones", all).await;
    eventually("their acknowledgements", || {
        client.stats().unacknowledged == 1
    })
    .await;
}

#[actix::test]
async fn on_receipt_what_a_handler_fails_on_is_delivered_again_all_the_same() {
    let (socket, address) = bound(on_receipt()).await;
    let peer = is_acknowledged(asks(connected(address).await).await).await;
    let careless = socket.clone();
    let task = actix::spawn(async move {
        let _message = careless.recv().await.unwrap();
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    message(&socket).await.nack(Duration::ZERO);
    message(&socket).await.reject();
    is_not_acknowledged(peer).await;
    assert_eq!(socket.stats().dead_letters, 1);
}

#[actix::test]
async fn on_receipt_what_has_no_room_is_not_acknowledged_until_it_has() {
    let (socket, address) = bound(on_receipt().inbox_capacity(1, 1 << 20)).await;
    let peer = is_acknowledged(asks(connected(address).await).await).await;
    let peer = is_not_acknowledged(asks(peer).await).await;
    drop(message(&socket).await);
    is_acknowledged(peer).await;
}

#[actix::test]
async fn on_receipt_a_duplicate_is_acknowledged_again_also_while_it_is_handled() {
    let dedupe = Dedupe::within(10, Duration::from_secs(3600));
    let (socket, address) = bound(on_receipt().dedupe(dedupe)).await;
    let peer = is_acknowledged(asks(connected(address).await).await).await;
    let in_hand = message(&socket).await;
    let peer = is_acknowledged(asks(peer).await).await;
    drop(in_hand);
    is_acknowledged(asks(peer).await).await;
    let stats = socket.stats();
    assert_eq!((stats.duplicates, stats.inbox_messages), (2, 0));
}

/// Gets a message, and has not handled it when it stops.
struct Leaver {
    socket: WeakSocket,
    deliveries: Arc<AtomicUsize>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

impl Actor for Leaver {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Leaver {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Received, _: &mut Context<Self>) -> Self::Result {
        self.deliveries.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending().into_actor(self))
    }
}

impl Handler<Leave> for Leaver {
    type Result = ();

    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

#[actix::test]
async fn what_a_dropped_future_had_not_handled_is_delivered_again() {
    let (socket, address) = bound(Socket::builder()).await;
    let deliveries = Arc::new(AtomicUsize::new(0));
    let leaver = Leaver {
        socket: socket.downgrade(),
        deliveries: Arc::clone(&deliveries),
    }
    .start();
    let peer = asks(connected(address).await).await;
    eventually("it", || deliveries.load(Ordering::SeqCst) == 1).await;
    leaver.send(Leave).await.unwrap();
    let peer = is_not_acknowledged(peer).await;
    message(&socket).await.ack();
    is_acknowledged(peer).await;
}

#[actix::test]
async fn what_comes_when_the_last_subscriber_has_left_waits_unacknowledged() {
    let (socket, address) = bound(Socket::builder()).await;
    let leaver = Leaver {
        socket: socket.downgrade(),
        deliveries: Arc::default(),
    }
    .start();
    leaver.send(Leave).await.unwrap();
    eventually("it to be gone", || !leaver.connected()).await;
    let peer = asks(connected(address).await).await;
    eventually("it to wait", || socket.stats().inbox_messages == 1).await;
    let peer = is_not_acknowledged(peer).await;
    message(&socket).await.ack();
    is_acknowledged(peer).await;
}

#[actix::test]
async fn what_came_together_is_acknowledged_together() {
    const MESSAGES: usize = 200;
    let (socket, address) = bound(Socket::builder()).await;
    each(&socket, |_| ());
    let mut peer = connected(address).await;
    let reads = aside(move || {
        let ids = (0..MESSAGES).map(|n| [n as u8; 16]);
        let requests = ids.map(|id| frame(DATA_REQ, &[&id[..], b"x"].concat()));
        peer.say(&requests.collect::<Vec<_>>().concat());
        let expected = (0..MESSAGES).map(|n| frame(ACK, &[n as u8; 16]));
        let expected = expected.collect::<Vec<_>>().concat();
        let (mut heard, mut reads) = (Vec::new(), 0);
        while heard.len() < expected.len() {
            heard.extend(peer.arrived());
            reads += 1;
        }
        assert_eq!(heard, expected);
        reads
    })
    .await;
    // One, unless the machine takes its time in the middle of it.
    assert!(reads < MESSAGES / 10, "{reads} writes");
}
