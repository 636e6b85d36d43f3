//! What a socket tells, refuses and loses: each kind is produced here or in the tests of what causes it.

mod support;

use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{
    error::{BindError, ConnectError, ReceiptError, SendError, StartError},
    event::Limit,
    stats::SocketPhase,
    transport::TransportKind,
};
use support::raw_peer::{ACK, RawPeer};
use support::{aside, eventually, within_patience};
use tokio::sync::{Semaphore, mpsc};

/// Events that wait for a recipient, at most.
const CREDIT: u64 = 1024;

async fn bound(socket: &Socket) -> Endpoint {
    socket.bind("127.0.0.1:0").await.unwrap()
}

async fn pair() -> (Socket, Socket) {
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    client.connect(bound(&server).await).await.unwrap();
    for socket in [&server, &client] {
        let peer = within_patience("a peer", socket.wait_for_peers(1));
        peer.await.unwrap();
    }
    (server, client)
}

/// An endpoint where nobody listens.
async fn nobody() -> Endpoint {
    let socket = Socket::start().unwrap();
    let endpoint = bound(&socket).await;
    socket.close().await;
    endpoint
}

#[actix::test]
async fn a_socket_tells_where_it_listens_whom_it_dials_and_that_it_is_closed() {
    let (recipient, mut events) = Probe::recipient();
    let (peer_recipient, mut peers) = Probe::recipient();
    let builder = Socket::builder().reconnect(Backoff::fixed(Duration::from_millis(1)));
    let builder = builder.on_socket_event(recipient);
    let socket = builder.on_peer_event(peer_recipient).start().unwrap();
    let ours = bound(&socket).await;
    let listening = events.next().await.unwrap();
    assert!(matches!(&listening, SocketEvent::Listening { endpoint, .. } if *endpoint == ours));

    let theirs = nobody().await;
    socket.connect(theirs.clone()).await.unwrap();
    for expected in 1..=3 {
        match events.next().await.unwrap() {
            SocketEvent::Dialling {
                endpoint, attempt, ..
            } => {
                assert_eq!((endpoint, attempt), (theirs.clone(), expected));
            }
            other => panic!("{other:?}"),
        }
        match events.next().await.unwrap() {
            SocketEvent::DialFailed {
                endpoint,
                attempt,
                next_try,
                reason,
                ..
            } => {
                assert_eq!((endpoint, attempt), (theirs.clone(), expected));
                assert_eq!(next_try, Duration::from_millis(1));
                assert!(
                    matches!(&reason, RefusalReason::Unreachable(why) if why.contains("refused"))
                );
            }
            other => panic!("{other:?}"),
        }
    }
    let server = Socket::start().unwrap();
    server.bind(theirs).await.unwrap();
    match peers.next().await.unwrap() {
        PeerEvent::Up {
            peer,
            transport,
            role,
            ..
        } => {
            assert_eq!(peer, server.identity());
            assert_eq!((transport, role), (TransportKind::Tcp, Role::ConnectEnd));
        }
        other => panic!("{other:?}"),
    }
    server.close().await;
    match peers.next().await.unwrap() {
        PeerEvent::Down {
            peer, reason, by, ..
        } => {
            assert_eq!(peer, server.identity());
            assert_eq!((reason, by), (DownReason::Closed, Party::Peer));
        }
        other => panic!("{other:?}"),
    }
    socket.close().await;
    let closed = |event| match event {
        SocketEvent::Closed { reason, .. } => Some(reason),
        _ => None,
    };
    assert_eq!(
        events.find(closed).await.expect("the end"),
        "close was called"
    );
}

#[actix::test]
async fn a_socket_tells_whom_it_refused_and_which_limit_was_reached() {
    let (recipient, mut events) = Probe::recipient();
    let builder = Socket::builder().max_connections(2);
    let socket = builder.on_socket_event(recipient).start().unwrap();
    let endpoint = bound(&socket).await;
    socket.connect(endpoint.clone()).await.unwrap();
    let refused = |event| match event {
        SocketEvent::HandshakeRefused { peer, role, .. } => Some((peer, role)),
        _ => None,
    };
    let (peer, role) = events.find(refused).await.expect("the refusal of itself");
    assert_eq!((peer, role), (Some(socket.identity()), Role::BindEnd));

    let port = endpoint.port().unwrap();
    let crowd = aside(move || {
        let connect = |_| RawPeer::connect(([127, 0, 0, 1], port));
        (0..4).map(connect).collect::<Vec<_>>()
    });
    let crowd = crowd.await;
    let overloaded = |event| match event {
        SocketEvent::Overloaded { limit, .. } => Some(limit),
        _ => None,
    };
    let limit = events.find(overloaded).await.expect("the limit");
    assert_eq!(limit, Limit::Connections);
    drop(crowd);
}

/// Takes its first event, and no other before the gate opens.
struct Sluggish<M> {
    gate: Rc<Semaphore>,
    told: mpsc::UnboundedSender<M>,
}

impl<M: Unpin + 'static> Actor for Sluggish<M> {
    type Context = Context<Self>;
}

impl<M> Handler<M> for Sluggish<M>
where
    M: Message<Result = ()> + Unpin + 'static,
{
    type Result = ResponseFuture<()>;

    fn handle(&mut self, event: M, _: &mut Self::Context) -> Self::Result {
        let gate = Rc::clone(&self.gate);
        // A test that has ended listens no more.
        let _ = self.told.send(event);
        Box::pin(async move { drop(gate.acquire().await) })
    }
}

fn sluggish<M>() -> (Addr<Sluggish<M>>, Rc<Semaphore>, mpsc::UnboundedReceiver<M>)
where
    M: Unpin + 'static,
{
    let (sender, told) = mpsc::unbounded_channel();
    let gate = Rc::new(Semaphore::new(0));
    let actor = Sluggish {
        gate: Rc::clone(&gate),
        told: sender,
    };
    (actor.start(), gate, told)
}

async fn take<M>(told: &mut mpsc::UnboundedReceiver<M>) -> M {
    within_patience("an event", told.recv()).await.unwrap()
}

#[actix::test]
async fn a_recipient_that_takes_no_events_is_told_how_many_it_missed_even_if_nothing_follows() {
    let (addr, gate, mut told) = sluggish();
    let (recipient, mut all) = Probe::recipient();
    let socket = Socket::builder()
        .reconnect(Backoff::fixed(Duration::from_millis(1)))
        .on_socket_event(addr.recipient())
        .on_socket_event(recipient)
        .start()
        .unwrap();
    socket.connect(nobody().await).await.unwrap();
    let mut count = 0;
    while count < 2 * CREDIT {
        all.next().await.unwrap();
        count += 1;
    }
    socket.close().await;
    let closed = |event| {
        count += 1;
        matches!(event, SocketEvent::Closed { .. }).then_some(())
    };
    all.find(closed).await.expect("the end");
    gate.add_permits(1);
    // One is in hand; those that follow are in order, and the gap is at the end.
    for _ in 0..=CREDIT {
        assert!(!matches!(take(&mut told).await, SocketEvent::Lagged(_)));
    }
    let missed = count - CREDIT - 1;
    assert_eq!(take(&mut told).await, SocketEvent::Lagged(missed));
}

#[actix::test]
async fn a_recipient_that_takes_no_peer_events_is_told_how_many_it_missed() {
    const PEERS: u64 = 600;
    let (addr, gate, mut told) = sluggish();
    let builder = Socket::builder().on_peer_event(addr.recipient());
    let socket = builder.start().unwrap();
    let port = bound(&socket).await.port().unwrap();
    aside(move || {
        for n in 0..PEERS as u128 {
            drop(RawPeer::introduced(([127, 0, 0, 1], port), n.to_be_bytes()));
        }
    })
    .await;
    let stats = || socket.stats();
    eventually("all to be gone", || {
        (stats().joins, stats().peers) == (PEERS, 0)
    })
    .await;
    gate.add_permits(1);
    for _ in 0..=CREDIT {
        assert!(!matches!(take(&mut told).await, PeerEvent::Lagged(_)));
    }
    assert_eq!(
        take(&mut told).await,
        PeerEvent::Lagged(2 * PEERS - CREDIT - 1)
    );
}

#[actix::test]
async fn a_recipient_that_takes_no_dead_letters_is_told_with_the_next_how_many_it_missed() {
    const LETTERS: u64 = 1_500;
    let (addr, gate, mut told) = sluggish();
    let (server, client) = pair().await;
    server.dead_letters(addr.recipient());
    for n in 0..=LETTERS {
        client.send(n.to_string()).await.unwrap();
        let message = within_patience("a message", server.recv()).await.unwrap();
        if n == LETTERS {
            // There is room again before the last one.
            gate.add_permits(1);
            for _ in 0..CREDIT {
                assert_eq!(take(&mut told).await.lagged, 0);
            }
        }
        message.reject();
        if n == 0 {
            let letter: DeadLetter = take(&mut told).await;
            assert_eq!(letter.reason, DeadLetterReason::Rejected);
        }
    }
    let last = take(&mut told).await;
    assert_eq!(last.lagged, LETTERS - CREDIT - 1);
    assert_eq!(last.payload, LETTERS.to_string());
}

#[actix::test]
async fn a_watch_tells_why_a_peer_went_and_at_once_that_it_was_never_there() {
    let (server, client) = pair().await;
    let stranger = client.watch(Identity::random()).await;
    assert_eq!(
        (stranger.reason, stranger.by),
        (DownReason::NotConnected, Party::Us)
    );
    let (at_client, at_server) = (
        client.watch(server.identity()),
        server.watch(client.identity()),
    );
    server.close().await;
    let down = within_patience("the end", at_client).await;
    assert_eq!(down.peer, server.identity());
    assert_eq!((down.reason, down.by), (DownReason::Closed, Party::Peer));
    let down = within_patience("the end", at_server).await;
    assert_eq!(
        (down.reason, down.by),
        (DownReason::SocketClosed, Party::Us)
    );
}

#[actix::test]
async fn the_state_of_a_socket_can_be_awaited() {
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let mut state = client.state();
    assert_eq!(state.borrow_and_update().peers, 0);
    client.connect(bound(&server).await).await.unwrap();
    within_patience("a change", state.changed()).await.unwrap();
    assert_eq!(state.borrow_and_update().peers, 1);
    client.close().await;
    let closed = state.wait_for(|state| state.phase == SocketPhase::Closed);
    assert_eq!(within_patience("the end", closed).await.unwrap().peers, 0);
}

#[actix::test]
async fn who_waits_for_peers_goes_on_when_so_many_are_connected() {
    let server = Socket::start().unwrap();
    let endpoint = bound(&server).await;
    let clients: [Socket; 2] = std::array::from_fn(|_| Socket::start().unwrap());
    clients[0].connect(endpoint.clone()).await.unwrap();
    within_patience("the first", server.wait_for_peers(1))
        .await
        .unwrap();
    let mut waiting = Box::pin(server.wait_for_peers(2));
    let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err(), "one is not enough");
    clients[1].connect(endpoint).await.unwrap();
    within_patience("both", waiting).await.unwrap();
    assert_eq!(server.stats().peers, 2);
}

#[actix::test]
async fn a_socket_that_closes_says_so_before_it_is_closed() {
    let socket = Socket::start().unwrap();
    socket.send("to nobody").await.unwrap();
    let mut state = socket.state();
    let closing = actix::spawn({
        let socket = socket.clone();
        async move { socket.close_within(Duration::from_secs(3_600)).await }
    });
    let begun = state.wait_for(|state| state.phase == SocketPhase::Closing);
    within_patience("the beginning", begun).await.unwrap();
    assert!(socket.try_send("late").unwrap_err().is_closed());
    assert!(!closing.is_finished());
    // What it waits for comes.
    let server = Socket::start().unwrap();
    assert_eq!(socket.stats().outbox_messages, 1);
    drop((server, closing));
}

#[actix::test]
async fn closing_reports_what_was_sent_acknowledged_and_neither() {
    let identity = |byte| Identity::from_bytes([byte; 16]);
    let socket = Socket::start().unwrap();
    let address = ([127, 0, 0, 1], bound(&socket).await.port().unwrap());
    let absent = aside(move || RawPeer::introduced(address, [8; 16])).await;
    eventually("a peer", || socket.stats().peers == 1).await;
    let gone = socket.watch(identity(8));
    drop(absent);
    within_patience("its end", gone).await;
    let peer = aside(move || RawPeer::introduced(address, [9; 16])).await;
    eventually("another", || socket.stats().peers == 1).await;
    for n in 0..3 {
        let sending = socket.send(format!("precious {n}"));
        let sending = sending.guarantee(DeliveryGuarantee::AtLeastOnce);
        sending.await.unwrap();
    }
    for n in 0..2 {
        socket.send(format!("cheap {n}")).await.unwrap();
    }
    for n in 0..4 {
        let held = socket.send_to(identity(8), format!("held {n}"));
        held.await.unwrap();
    }
    let peer = aside(move || {
        let mut peer = peer;
        let (id, _) = peer.expect_data_req();
        peer.frame(ACK, &id);
        peer
    })
    .await;
    let settled = || (socket.stats().acknowledged, socket.stats().sent) == (1, 5);
    eventually("the acknowledgement", settled).await;
    let report = socket.close_within(Duration::ZERO).await;
    assert_eq!((report.sent, report.acknowledged), (5, 1));
    assert_eq!((report.unsent, report.unacknowledged), (4, 2));
    drop(peer);
}

#[actix::test]
async fn a_message_that_is_not_accepted_comes_back_with_the_reason() {
    let builder = Socket::builder().outbox_capacity(1, 1 << 20);
    let socket = builder.max_frame_bytes(64).start().unwrap();
    let large = socket.try_send(vec![0; 64]).unwrap_err();
    assert!(matches!(&large, SendError::TooLarge { limit: 63, payload } if payload.len() == 64));
    socket.try_send("one").unwrap();
    let full = socket.try_send("two").unwrap_err();
    assert!(matches!(full, SendError::Full(_)) && full.is_full());
    assert_eq!(full.into_payload(), "two");
    let report = socket.close_within(Duration::ZERO).await;
    assert_eq!((report.sent, report.acknowledged, report.unsent), (0, 0, 1));
    let closed = socket.try_send("three").unwrap_err();
    assert_eq!(closed, SendError::Closed("three".into()));

    let (server, _client) = pair().await;
    let stranger = Identity::random();
    let unknown = server.try_send_to(stranger, "hello?").unwrap_err();
    let expected = SendError::UnknownPeer {
        peer: stranger,
        payload: "hello?".into(),
    };
    assert_eq!(unknown, expected);
    let builder = Socket::builder().send_mode(SendMode::Publish);
    let publisher = builder.start().unwrap();
    let precious = publisher.send("precious").receipt().await.unwrap_err();
    assert_eq!(precious, SendError::PublishAtLeastOnce("precious".into()));
}

#[actix::test]
async fn what_cannot_be_bound_connected_or_started_says_why() {
    let socket = Socket::start().unwrap();
    let wrong = "what://ever";
    assert!(matches!(
        socket.bind(wrong).await,
        Err(BindError::Endpoint(_))
    ));
    assert!(matches!(
        socket.connect(wrong).await,
        Err(ConnectError::Endpoint(_))
    ));
    let endpoint = bound(&socket).await;
    let taken = socket.bind(endpoint.clone()).await;
    assert!(matches!(taken, Err(BindError::Io { endpoint: at, .. }) if at == endpoint));
    let contradiction = Socket::builder()
        .send_mode(SendMode::Publish)
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
    assert!(matches!(
        contradiction.start(),
        Err(StartError::Configuration(_))
    ));
    socket.close().await;
    assert!(matches!(
        socket.bind("127.0.0.1:0").await,
        Err(BindError::Closed(_))
    ));
    assert!(matches!(
        socket.connect("127.0.0.1:1").await,
        Err(ConnectError::Closed(_))
    ));
}

#[actix::test]
async fn a_message_that_will_not_arrive_is_a_dead_letter_and_its_receipt_says_why() {
    let (recipient, mut letters) = Probe::recipient();
    let socket = Socket::builder()
        .resend_timeout(Duration::from_millis(20))
        .resend_limit(2)
        .absence_grace(Duration::from_millis(50))
        .on_dead_letter(recipient)
        .start()
        .unwrap();
    let mut dead = async |payload: &str, reason| {
        let letter: DeadLetter = letters.next().await.unwrap();
        assert_eq!(
            (&*letter.payload, letter.reason),
            (payload.as_bytes(), reason)
        );
    };
    let port = bound(&socket).await.port().unwrap();
    let stale = socket.send("stale").time_to_live(Duration::ZERO);
    let stale = stale.receipt().await.unwrap();
    let identity = [9; 16];
    // A peer that acknowledges nothing.
    let peer = aside(move || RawPeer::introduced(([127, 0, 0, 1], port), identity)).await;
    dead("stale", DeadLetterReason::Expired).await;
    assert_eq!(stale.await, Err(ReceiptError::Expired));
    let ignored = socket.send("ignored").receipt().await.unwrap();
    dead("ignored", DeadLetterReason::ResendLimit).await;
    assert_eq!(ignored.await, Err(ReceiptError::Expired));

    let name = socket.peers()[0].peer;
    let down = socket.watch(name);
    drop(peer);
    within_patience("the end of the peer", down).await;
    let missed = socket.send_to(name, "missed").receipt().await.unwrap();
    // Others are there, so that nobody waits for it longer than the grace period.
    let other = aside(move || RawPeer::introduced(([127, 0, 0, 1], port), [8; 16])).await;
    dead("missed", DeadLetterReason::PeerGone).await;
    assert_eq!(missed.await, Err(ReceiptError::PeerGone));
    drop(other);
    eventually("nobody", || socket.stats().peers == 0).await;
    let late = socket.send("late").receipt().await.unwrap();
    socket.close_within(Duration::ZERO).await;
    dead("late", DeadLetterReason::Closed).await;
    assert_eq!(late.await, Err(ReceiptError::Closed));
}

#[actix::test]
async fn sockets_messages_and_errors_show_no_more_than_a_line() {
    let (server, client) = pair().await;
    client.send("hello").await.unwrap();
    let message = server.recv().await.unwrap();
    let shown = format!("{message:?}");
    assert!(
        shown.contains("hello") && shown.contains(&client.identity().to_string()),
        "{shown}"
    );
    let large = vec![b'x'; 100 << 20];
    let refused = client.try_send(large).unwrap_err();
    let all = [
        shown,
        format!("{server:?}"),
        format!("{:?}", server.downgrade()),
        format!("{:?}", server.messages()),
        format!("{:?}", client.send("x".repeat(10_000))),
        format!("{refused:?}"),
    ];
    for shown in all {
        assert!(
            shown.len() < 250,
            "{} bytes: {}",
            shown.len(),
            &shown[..250]
        );
    }
}
