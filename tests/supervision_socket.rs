//! What a panic of one of a socket's own actors costs, and what it does not.

mod support;

use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::supervise::ChildState;
use actix_aiomsg::{
    SocketBuilder,
    error::{BindError, Closed, ConnectError, SendError},
    event::ConnectionStage,
    stats::SocketPhase,
    testing::{Part, Probe},
};
use support::actors::{Collected, collect, echo};
use support::panics::print_panics_briefly;
use support::raw_peer::RawPeer;
use support::{aside, eventually, within_patience};

/// Restarts within ten seconds that each actor of a socket is allowed.
const RESTARTS: usize = 5;

/// A socket and what it says of itself.
struct Told {
    socket: Socket,
    events: Probe<SocketEvent>,
}

fn told(builder: SocketBuilder) -> Told {
    print_panics_briefly();
    let (recipient, events) = Probe::recipient();
    let socket = builder
        .reconnect(Backoff::fixed(Duration::from_millis(5)))
        .on_socket_event(recipient)
        .start()
        .expect("a system runs");
    Told { socket, events }
}

impl Told {
    /// Makes a part panic, and waits until it is there again.
    async fn crash(&mut self, part: Part) {
        let name = name_of(part);
        self.socket.crash(part);
        let restarted = |event| match event {
            SocketEvent::Restarted { actor, reason, .. } => Some((actor, reason)),
            _ => None,
        };
        let (actor, reason) = self.events.find(restarted).await.expect("a restart");
        assert_eq!((actor.as_str(), reason.as_str()), (name, "on demand"));
    }

    /// Makes a part panic once more often than it is restarted.
    fn exhaust(&self, part: Part) {
        (0..=RESTARTS).for_each(|_| self.socket.crash(part));
    }

    async fn is_closed(&mut self) -> String {
        let closed = |event| match event {
            SocketEvent::Closed { reason, .. } => Some(reason),
            _ => None,
        };
        self.events.find(closed).await.expect("the end")
    }
}

fn name_of(part: Part) -> &'static str {
    match part {
        Part::Socket => "socket",
        Part::Router => "router",
        Part::Listener => "listener",
        Part::Dialer => "dialer",
        Part::Discovery => "discovery",
        Part::Connections => "connection",
    }
}

/// A server that echoes, and a client that is connected to it.
async fn pair() -> (Told, Told, Endpoint, Collected) {
    let (server, client) = (told(Socket::builder()), told(Socket::builder()));
    let echoed = echo(&server.socket);
    let endpoint = server.socket.bind("127.0.0.1:0").await.unwrap();
    client.socket.connect(endpoint.clone()).await.unwrap();
    within_patience("a peer", client.socket.wait_for_peers(1))
        .await
        .unwrap();
    (server, client, endpoint, echoed)
}

async fn is_answered(client: &Socket, answers: &mut Collected, count: usize) {
    let texts: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    for text in &texts {
        client.send(text.clone()).await.unwrap();
    }
    assert_eq!(answers.payloads(count).await, texts);
}

#[actix::test]
async fn links_carry_messages_both_ways_while_the_router_restarts() {
    let (mut server, mut client, _, _echoed) = pair().await;
    let mut answers = collect(&client.socket);
    let sender = client.socket.clone();
    let sending = actix::spawn(async move {
        for n in 0..20_000 {
            sender.send(n.to_string()).await.unwrap();
        }
    });
    for _ in 0..RESTARTS {
        server.crash(Part::Router).await;
        client.crash(Part::Router).await;
    }
    for n in 0..20_000 {
        assert_eq!(answers.next().await.1, n.to_string());
    }
    sending.await.unwrap();
    assert_eq!(
        (server.socket.stats().joins, client.socket.stats().joins),
        (1, 1)
    );
    assert_eq!(
        server.socket.inspect().await.children[0].restarts,
        RESTARTS as u64
    );
}

#[actix::test]
async fn a_peer_that_comes_while_the_router_restarts_is_admitted() {
    let (server, client, endpoint, _echoed) = pair().await;
    (0..3).for_each(|_| server.socket.crash(Part::Router));
    let late = told(Socket::builder());
    late.socket.connect(endpoint).await.unwrap();
    let mut answers = collect(&late.socket);
    is_answered(&late.socket, &mut answers, 10).await;
    assert_eq!(server.socket.stats().peers, 2);
    drop(client);
}

#[actix::test]
async fn the_outbox_outlives_the_router_the_dialer_and_the_socket_s_own_actor() {
    let mut client = told(Socket::builder());
    let nobody = told(Socket::builder());
    let endpoint = nobody.socket.bind("127.0.0.1:0").await.unwrap();
    nobody.socket.close().await;
    client.socket.connect(endpoint.clone()).await.unwrap();
    for n in 0..1_000 {
        client.socket.send(n.to_string()).await.unwrap();
    }
    for part in [Part::Router, Part::Dialer, Part::Socket] {
        client.crash(part).await;
    }
    assert_eq!(client.socket.stats().outbox_messages, 1_000);
    let server = told(Socket::builder());
    let mut got = collect(&server.socket);
    server.socket.bind(endpoint).await.unwrap();
    for n in 0..1_000 {
        assert_eq!(got.next().await.1, n.to_string());
    }
    assert!(got.is_empty());
}

#[actix::test]
async fn a_port_stays_open_while_its_listener_restarts() {
    let (mut server, client, endpoint, mut echoed) = pair().await;
    server.crash(Part::Listener).await;
    let late = told(Socket::builder());
    late.socket.connect(endpoint.clone()).await.unwrap();
    late.socket.send("on the same port").await.unwrap();
    assert_eq!(echoed.next().await.1, "on the same port");

    // Each of them panics as soon as it is there again, with pauses in between.
    (0..3).for_each(|_| server.socket.crash(Part::Listener));
    let address = ([127, 0, 0, 1], endpoint.port().unwrap());
    let raw = aside(move || RawPeer::introduced(address, [7; 16])).await;
    server.crash(Part::Listener).await;
    assert_eq!(server.socket.stats().peers, 3);
    assert_eq!(client.socket.stats().joins, 1);
    drop(raw);
}

#[actix::test]
async fn a_dialer_that_restarts_keeps_its_connection_and_renews_it_when_it_ends() {
    let (server, mut client, _, _echoed) = pair().await;
    client.crash(Part::Dialer).await;
    client.crash(Part::Dialer).await;
    let mut answers = collect(&client.socket);
    is_answered(&client.socket, &mut answers, 10).await;
    let dials = |events: &[SocketEvent]| {
        let dialling = |event: &&SocketEvent| matches!(event, SocketEvent::Dialling { .. });
        events.iter().filter(dialling).count()
    };
    // Whoever is connected is not dialled.
    assert_eq!(dials(&client.events.rest()), 0);
    assert_eq!(
        (client.socket.stats().refused, server.socket.stats().joins),
        (0, 1)
    );

    server.socket.crash(Part::Connections);
    eventually("a second connection", || client.socket.stats().joins == 2).await;
    is_answered(&client.socket, &mut answers, 10).await;
    assert!(dials(&client.events.rest()) > 0);
}

/// The text of the panic that ended a connection while it carried messages.
fn crash_of(reason: &DownReason) -> &str {
    match reason {
        DownReason::Crashed {
            stage: ConnectionStage::Session,
            message,
            ..
        } => message,
        other => panic!("{other}"),
    }
}

#[actix::test]
async fn a_connection_that_panics_is_a_peer_that_is_down_and_comes_back() {
    let (recipient, mut peers) = Probe::recipient();
    let (server, mut client, _, mut echoed) = pair().await;
    client.socket.peer_events(recipient);
    let watch = client.socket.watch(server.socket.identity());
    client.socket.crash(Part::Connections);
    let down = within_patience("the watch", watch).await;
    assert_eq!((crash_of(&down.reason), down.by), ("on demand", Party::Us));
    let down = |event| match event {
        PeerEvent::Down {
            peer, reason, by, ..
        } => Some((peer, reason, by)),
        _ => None,
    };
    let (peer, reason, by) = peers.find(down).await.expect("a peer that is down");
    let told = (peer, crash_of(&reason), by);
    assert_eq!(told, (server.socket.identity(), "on demand", Party::Us));
    let failed = |event| match event {
        SocketEvent::ConnectionFailed {
            peer,
            role,
            stage,
            reason,
            ..
        } => Some((peer, role, stage, reason)),
        _ => None,
    };
    let failed = client.events.find(failed).await.expect("the failure");
    let expected = (Some(peer), Role::ConnectEnd, ConnectionStage::Session);
    assert_eq!((failed.0, failed.1, failed.2), expected);
    assert_eq!(failed.3, "on demand");
    assert_eq!(client.socket.inspect().await.crashed_connections, 1);
    let up = |event| matches!(event, PeerEvent::Up { .. }).then_some(());
    peers.find(up).await.expect("a peer that is up again");
    client.socket.send("again").await.unwrap();
    assert_eq!(echoed.next().await.1, "again");
}

#[actix::test]
async fn connections_that_panic_lose_nothing_that_they_had_not_handed_to_the_kernel() {
    const MESSAGES: u32 = 20_000;
    const CRASHES: u64 = 10;
    let (server, client) = (told(Socket::builder()), told(Socket::builder()));
    let mut got = collect(&server.socket);
    let endpoint = server.socket.bind("127.0.0.1:0").await.unwrap();
    client.socket.connect(endpoint).await.unwrap();
    let sender = client.socket.clone();
    let sending = actix::spawn(async move {
        for n in 0..MESSAGES {
            sender.send(n.to_string()).await.unwrap();
        }
        sender.send("end").await.unwrap();
    });
    for crash in 1..=CRASHES {
        eventually("a connection", || client.socket.stats().joins == crash).await;
        client.socket.crash(Part::Connections);
    }
    let mut numbers = Vec::new();
    loop {
        match got.next().await.1.as_str() {
            "end" => break,
            number => numbers.push(number.parse::<u32>().unwrap()),
        }
    }
    sending.await.unwrap();
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, each once");
    // A frame of which the kernel had a part counts as sent; there is one per connection at most.
    let lost = MESSAGES as usize - numbers.len();
    assert!(lost <= CRASHES as usize, "{lost} lost");
}

#[actix::test]
async fn a_socket_whose_router_or_own_actor_cannot_be_kept_alive_is_closed_with_the_reason() {
    for part in [Part::Router, Part::Socket] {
        let (mut server, client, _, _echoed) = pair().await;
        let other_handle = server.socket.clone();
        let waiting = actix::spawn({
            let socket = server.socket.clone();
            async move { socket.wait_for_peers(100).await }
        });
        assert_eq!(server.socket.close_reason(), None);
        server.exhaust(part);
        let reason = server.is_closed().await;
        assert!(reason.contains(name_of(part)), "{reason}");
        assert!(reason.contains("on demand"), "{reason}");

        assert_eq!(other_handle.close_reason(), Some(reason.as_str()));
        assert_eq!(other_handle.state().borrow().phase, SocketPhase::Closed);
        assert_eq!(waiting.await.unwrap(), Err(Closed));
        let received = within_patience("the end", other_handle.recv()).await;
        assert_eq!(received.unwrap_err(), Closed);
        let refused = other_handle.send("late").await.unwrap_err();
        assert_eq!(refused, SendError::Closed("late".into()));
        let bound = other_handle.bind("127.0.0.1:0").await;
        assert!(matches!(bound, Err(BindError::Closed(Closed))));
        let connected = other_handle.connect("127.0.0.1:1").await;
        assert!(matches!(connected, Err(ConnectError::Closed(Closed))));
        within_patience("the report", other_handle.close()).await;
        eventually("the peer to notice", || client.socket.stats().peers == 0).await;
        assert_eq!(client.socket.close_reason(), None);
    }
}

#[actix::test]
async fn a_listener_that_cannot_be_kept_alive_is_an_event_and_the_rest_goes_on() {
    let (mut server, client, bound, _echoed) = pair().await;
    server.exhaust(Part::Listener);
    let failed = |event| match event {
        SocketEvent::ListenerFailed {
            endpoint, reason, ..
        } => Some((endpoint, reason)),
        _ => None,
    };
    let (endpoint, reason) = server.events.find(failed).await.expect("the failure");
    assert_eq!(endpoint, bound);
    assert!(reason.contains("on demand"), "{reason}");
    let mut answers = collect(&client.socket);
    is_answered(&client.socket, &mut answers, 10).await;

    let elsewhere = server.socket.bind("127.0.0.1:0").await.unwrap();
    let late = told(Socket::builder());
    late.socket.connect(elsewhere).await.unwrap();
    let mut answers = collect(&late.socket);
    is_answered(&late.socket, &mut answers, 10).await;
}

#[actix::test]
async fn a_socket_that_is_given_up_has_told_each_restart_and_tells_its_end_last() {
    let (mut server, _client, _, _echoed) = pair().await;
    server.exhaust(Part::Router);
    let mut told = vec![server.events.next().await.unwrap()];
    while !matches!(told.last(), Some(SocketEvent::Closed { .. })) {
        told.push(server.events.next().await.unwrap());
    }
    let restarts = |event: &&SocketEvent| matches!(event, SocketEvent::Restarted { actor, .. } if actor == "router");
    assert_eq!(told.iter().filter(restarts).count(), RESTARTS);
    within_patience("the report", server.socket.close()).await;
    assert_eq!(server.events.rest(), []);
}

#[actix::test]
async fn a_listener_that_is_given_up_leaves_a_healthy_one_alone() {
    let (mut server, _client, weak, _echoed) = pair().await;
    for _ in 0..RESTARTS {
        server.crash(Part::Listener).await;
    }
    let healthy = server.socket.bind("127.0.0.1:0").await.unwrap();
    // Both panic; for one of them it is once too often.
    server.socket.crash(Part::Listener);
    let failed = |event| match event {
        SocketEvent::ListenerFailed { endpoint, .. } => Some(endpoint),
        _ => None,
    };
    assert_eq!(server.events.find(failed).await.expect("the failure"), weak);
    let late = told(Socket::builder());
    late.socket.connect(healthy).await.unwrap();
    let mut answers = collect(&late.socket);
    is_answered(&late.socket, &mut answers, 10).await;
    let shown = server.socket.inspect().await.children;
    let listeners = shown.iter().filter(|report| &*report.name == "listener");
    let states: Vec<_> = listeners.map(|report| report.state).collect();
    assert_eq!(states, [ChildState::Ended, ChildState::Running]);
}

#[actix::test]
async fn a_dialer_that_cannot_be_kept_alive_is_an_event_and_the_rest_goes_on() {
    let (server, mut client, dialled, _echoed) = pair().await;
    client.exhaust(Part::Dialer);
    let failed = |event| match event {
        SocketEvent::DialerFailed {
            endpoint, reason, ..
        } => Some((endpoint, reason)),
        _ => None,
    };
    let (endpoint, reason) = client.events.find(failed).await.expect("the failure");
    assert_eq!(endpoint, dialled);
    assert!(reason.contains("on demand"), "{reason}");
    let mut answers = collect(&client.socket);
    is_answered(&client.socket, &mut answers, 10).await;
    assert_eq!(server.socket.stats().joins, 1);
}

#[actix::test]
async fn an_inspection_shows_the_router_listeners_and_dialers() {
    let (mut server, _client, endpoint, _echoed) = pair().await;
    server.socket.connect(endpoint).await.unwrap();
    server.crash(Part::Listener).await;
    let running = async {
        loop {
            let reports = server.socket.inspect().await.children;
            if reports.iter().all(|r| r.state == ChildState::Running) {
                return reports;
            }
            tokio::task::yield_now().await;
        }
    };
    let reports = within_patience("three that run", running).await;
    let shown: Vec<_> = reports.iter().map(|r| (&*r.name, r.restarts)).collect();
    assert_eq!(shown, [("router", 0), ("listener", 1), ("dialer", 0)]);
    let panic = reports[1].last_panic.as_ref().unwrap();
    assert_eq!(panic.message(), "on demand");
    assert!(reports.iter().all(|report| report.uptime.is_some()));
}

#[actix::test]
async fn a_socket_s_own_actor_that_panics_while_it_closes_goes_on_closing() {
    let builder = Socket::builder().close_deadline(Duration::from_millis(100));
    let socket = told(builder).socket;
    socket.send("to nobody").await.unwrap();
    let closing = actix::spawn({
        let socket = socket.clone();
        async move { socket.close().await }
    });
    eventually("it closes", || {
        socket.state().borrow().phase != SocketPhase::Open
    })
    .await;
    socket.crash(Part::Socket);
    within_patience("the report", closing).await.unwrap();
    assert_eq!(socket.close_reason(), Some("close was called"));
    assert_eq!(socket.stats().dead_letters, 1);
}
