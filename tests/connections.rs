//! The connections of a socket are its children: it lists them, and ends one, a listener or a dialer.

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_aiomsg::error::{Closed, DisconnectError, StopConnectingError, UnbindError};
use actix_aiomsg::event::{DownReason, Party};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::transport::{PeerAddress, TransportKind};
use support::actors::{collect, echo};
use support::agent;
use support::events::{PeerProbe, peer_events};
use support::full_line::send_until_full;
use support::raw_peer::{DATA, RawPeer, frame};
use support::slow_handler::each_takes;
use support::{aside, eventually, within_patience};

/// A socket and what it tells.
struct End {
    socket: Socket,
    peers: Probe<PeerEvent>,
    events: Probe<SocketEvent>,
}

fn end() -> End {
    let (recipient, events) = Probe::recipient();
    let socket = Socket::builder()
        .reconnect(Backoff::fixed(Duration::from_millis(5)))
        .on_socket_event(recipient)
        .start()
        .expect("a system runs");
    let peers = peer_events(&socket);
    End {
        socket,
        peers,
        events,
    }
}

/// A server and a client that is connected to it.
async fn pair() -> (End, End, Endpoint) {
    let (mut server, mut client) = (end(), end());
    let endpoint = server.socket.bind("127.0.0.1:0").await.unwrap();
    client.socket.connect(endpoint.clone()).await.unwrap();
    server.peers.up().await;
    client.peers.up().await;
    (server, client, endpoint)
}

fn address_of(endpoint: &Endpoint) -> SocketAddr {
    ([127, 0, 0, 1], endpoint.port().expect("a port")).into()
}

#[actix::test]
async fn peers_are_listed_with_where_they_are_and_how_their_connections_fare() {
    let (server, client, endpoint) = pair().await;
    let [seen] = &client.socket.peers()[..] else {
        panic!("one peer")
    };
    assert_eq!(seen.peer, server.socket.identity());
    assert_eq!(seen.address, PeerAddress::Socket(address_of(&endpoint)));
    assert_eq!(
        (seen.transport, seen.role),
        (TransportKind::Tcp, Role::ConnectEnd)
    );
    let [seen] = &server.socket.peers()[..] else {
        panic!("one peer")
    };
    assert_eq!(seen.peer, client.socket.identity());
    assert_eq!(seen.role, Role::BindEnd);
    assert_eq!((seen.queued_messages, seen.queued_bytes), (0, 0));
    assert!(seen.last_heard <= seen.uptime + Duration::from_secs(1));

    let text = server.socket.inspect().await.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains(&server.socket.identity().to_string()));
    assert!(lines[1].contains("router [running]"), "{text}");
    assert!(lines[2].contains("listener [running]"), "{text}");
    let name = client.socket.identity().to_string();
    assert!(lines[3].contains(&name), "{text}");
    assert!(lines[3].contains("accepted from 127.0.0.1:"), "{text}");
    assert_eq!(lines.len(), 4, "{text}");
}

#[actix::test]
async fn what_waits_for_a_peer_that_does_not_read_and_does_not_acknowledge_is_listed() {
    let server = end();
    let endpoint = server.socket.bind("127.0.0.1:0").await.unwrap();
    let address = address_of(&endpoint);
    let peer = aside(move || RawPeer::introduced(address, [9; 16])).await;
    server.socket.wait_for_peers(1).await.unwrap();
    let receipt = server.socket.send("kept").receipt().await.unwrap();
    while server.socket.try_send(vec![0; 64 * 1024]).is_ok() {
        tokio::task::yield_now().await;
    }
    let [seen] = &server.socket.peers()[..] else {
        panic!("one peer")
    };
    assert_eq!(seen.peer, Identity::from_bytes([9; 16]));
    assert_eq!((seen.unacknowledged, seen.unacknowledged_bytes), (1, 4));
    let stats = server.socket.stats();
    assert!(seen.queued_messages > 0);
    assert_eq!(seen.queued_messages, stats.queued_messages);
    drop((peer, receipt));
}

#[cfg(feature = "test-util")]
#[actix::test]
async fn a_peer_was_last_heard_when_it_sent_its_last_heartbeat() {
    use actix_aiomsg::testing::{advance_time, pause_time};
    let (server, client) = (end(), end());
    server.socket.bind("mem://heard").await.unwrap();
    client.socket.connect("mem://heard").await.unwrap();
    server.socket.wait_for_peers(1).await.unwrap();
    pause_time();
    for _ in 0..600 {
        advance_time(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    let seen = &server.socket.peers()[0];
    assert!(seen.uptime >= Duration::from_secs(59), "{seen}");
    // A heartbeat every 5 s, and two sweeps.
    assert!(seen.last_heard <= Duration::from_secs(6), "{seen}");
}

#[actix::test]
async fn a_peer_that_is_disconnected_is_down_because_of_us_and_dials_again() {
    let (mut server, mut client, _) = pair().await;
    let mut got = collect(&client.socket);
    let name = client.socket.identity();
    let watch = server.socket.watch(name);
    server.socket.disconnect(name).await.unwrap();
    let down = within_patience("the watch", watch).await;
    assert_eq!(
        (down.reason, down.by),
        (DownReason::Disconnected, Party::Us)
    );
    let told = server.peers.end().await;
    assert_eq!(told, (DownReason::Disconnected, Party::Us));
    client.peers.down().await;
    // As for a peer that died: it is waited for.
    server.socket.send_to(name, "again").await.unwrap();
    assert_eq!(got.next().await.1, "again");
    assert_eq!(server.socket.stats().joins, 2);
}

/// The numbers of the messages that come until the connection ends, or until this one has come.
fn numbers(peer: &mut RawPeer, last: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    // A reset, with a part of a message before it, is an end as well.
    while let Ok(Some(frame)) = peer.read() {
        if frame.kind == DATA {
            let text = frame.body.split(|&byte| byte == b' ').next();
            let number = text.and_then(|text| std::str::from_utf8(text).ok());
            numbers.push(number.expect("a number").parse().expect("a number"));
            if numbers.last() == Some(&last) {
                break;
            }
        }
    }
    numbers
}

#[actix::test]
async fn what_is_queued_for_a_peer_that_is_disconnected_waits_for_it_and_comes_in_order() {
    let mut server = end();
    let endpoint = server.socket.bind("127.0.0.1:0").await.unwrap();
    let (address, name) = (address_of(&endpoint), [9; 16]);
    let mut peer = aside(move || RawPeer::introduced(address, name)).await;
    let identity = server.peers.up().await;
    let sent = send_until_full(&server.socket, identity).await;
    server.socket.disconnect(identity).await.unwrap();
    let (before, after) = aside(move || {
        let before = numbers(&mut peer, sent);
        let mut peer = RawPeer::introduced(address, name);
        (before, numbers(&mut peer, sent - 1))
    })
    .await;
    assert!(!after.is_empty());
    let came: Vec<_> = before.iter().chain(&after).copied().collect();
    assert!(came.is_sorted(), "{came:?}");
    // One may have been written in part.
    let lost = usize::try_from(server.socket.stats().dead_letters).unwrap();
    assert!(lost <= 1, "{lost}");
    assert_eq!(came.len() + lost, sent, "{came:?}");
}

#[actix::test]
async fn another_process_that_is_disconnected_sees_its_connection_end_and_comes_back() {
    let mut server = end();
    let endpoint = server.socket.bind("127.0.0.1:0").await.unwrap();
    let port = address_of(&endpoint).port();
    let identity = Identity::from_bytes([5; 16]);
    let options = format!("--role connect --port {port} --identity {identity} --events true");
    let mut other = agent::start(&options);
    assert_eq!(server.peers.up().await, identity);
    for text in ["first", "second"] {
        server.socket.disconnect(identity).await.unwrap();
        let told = server.peers.end().await;
        assert_eq!(told, (DownReason::Disconnected, Party::Us));
        assert_eq!(server.peers.up().await, identity);
        server.socket.send_to(identity, text).await.unwrap();
        assert_eq!(other.line().await, text);
    }
}

#[actix::test]
async fn a_connect_end_that_disconnects_dials_again_itself() {
    let (server, mut client, _) = pair().await;
    let mut got = collect(&server.socket);
    let name = server.socket.identity();
    client.socket.disconnect(name).await.unwrap();
    let told = client.peers.end().await;
    assert_eq!(told, (DownReason::Disconnected, Party::Us));
    client.peers.up().await;
    client.socket.send("again").await.unwrap();
    assert_eq!(got.next().await.1, "again");
}

#[actix::test]
async fn whoever_is_not_connected_cannot_be_disconnected() {
    let socket = end().socket;
    let nobody = Identity::from_bytes([7; 16]);
    let unknown = socket.disconnect(nobody).await;
    assert_eq!(unknown, Err(DisconnectError::NotConnected(nobody)));
    socket.close().await;
    let closed = socket.disconnect(nobody).await;
    assert_eq!(closed, Err(DisconnectError::Closed(Closed)));
}

#[actix::test]
async fn an_endpoint_that_is_unbound_is_free_and_who_came_there_stays() {
    let (mut server, mut client, endpoint) = pair().await;
    let _echoed = echo(&server.socket);
    let mut answers = collect(&client.socket);
    server.socket.unbind(endpoint.clone()).await.unwrap();
    assert!(TcpStream::connect(address_of(&endpoint)).is_err());
    let stopped = |event| match event {
        SocketEvent::ListenerStopped { endpoint, .. } => Some(endpoint),
        _ => None,
    };
    assert_eq!(
        server.events.find(stopped).await.expect("the end"),
        endpoint
    );
    client.socket.send("still here").await.unwrap();
    assert_eq!(answers.next().await.1, "still here");
    let again = server.socket.unbind(endpoint.clone()).await.unwrap_err();
    assert!(matches!(&again, UnbindError::NotBound(e) if *e == endpoint));
    assert_eq!(server.socket.inspect().await.children.len(), 1);

    // Another socket may have it now, and the same one, too.
    let other = end().socket;
    other.bind(endpoint.clone()).await.unwrap();
    other.unbind(endpoint.clone()).await.unwrap();
    server.socket.bind(endpoint.clone()).await.unwrap();
    server
        .socket
        .disconnect(client.socket.identity())
        .await
        .unwrap();
    client.peers.down().await;
    client.peers.up().await;
    server.socket.close().await;
    let closed = server.socket.unbind(endpoint).await.unwrap_err();
    assert!(matches!(closed, UnbindError::Closed(Closed)));
    let wrong = server.socket.unbind("no://endpoint").await.unwrap_err();
    assert!(matches!(wrong, UnbindError::Endpoint(_)));
}

#[actix::test]
async fn a_dialer_that_is_stopped_ends_its_connection_in_order_and_dials_no_more() {
    const MESSAGES: usize = 1_000;
    let (mut server, mut client, endpoint) = pair().await;
    let mut got = collect(&server.socket);
    for n in 0..MESSAGES {
        client.socket.send(n.to_string()).await.unwrap();
    }
    client.events.rest();
    client
        .socket
        .stop_connecting(endpoint.clone())
        .await
        .unwrap();
    let told = client.peers.end().await;
    assert_eq!(told, (DownReason::Disconnected, Party::Us));
    let expected: Vec<_> = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(got.payloads(MESSAGES).await, expected);
    assert_eq!(server.peers.end().await, (DownReason::Closed, Party::Peer));
    let unknown = client.socket.stop_connecting(endpoint.clone()).await;
    let unknown = unknown.unwrap_err();
    assert!(matches!(&unknown, StopConnectingError::NotConnecting(e) if *e == endpoint));
    let told = client.events.rest();
    let stopped = |event: &SocketEvent| matches!(event, SocketEvent::DialerStopped { endpoint: e, .. } if *e == endpoint);
    assert!(told.iter().any(stopped), "{told:?}");
    let dialled = |event: &SocketEvent| matches!(event, SocketEvent::Dialling { .. });
    assert!(!told.iter().any(dialled), "{told:?}");
    assert_eq!(client.socket.inspect().await.children.len(), 1);

    // The socket goes on, and may connect anew.
    client.socket.connect(endpoint.clone()).await.unwrap();
    client.peers.up().await;
    client.socket.close().await;
    let closed = client.socket.stop_connecting(endpoint).await.unwrap_err();
    assert!(matches!(closed, StopConnectingError::Closed(Closed)));
    let wrong = client.socket.stop_connecting("no://endpoint").await;
    assert!(matches!(wrong, Err(StopConnectingError::Endpoint(_))));
}

#[actix::test]
async fn what_comes_before_the_end_of_a_dialer_that_is_stopped_is_handled() {
    const MESSAGES: usize = 300;
    let client = Socket::builder().inbox_capacity(4, 1024).start().unwrap();
    let handled = each_takes(&client, Duration::from_millis(1));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    client.connect(address.clone()).await.unwrap();
    let saying = aside(move || {
        let mut peer = RawPeer::accept(&listener);
        peer.expect_hello();
        peer.hello([1; 16]);
        peer.say(&frame(DATA, &[b'x'; 1000]).repeat(MESSAGES));
        // It gets no acknowledgement any more, and is sent again elsewhere.
        peer.data_req([1; 16], b"a job");
        peer
    });
    let mut peer = within_patience("what the peer says", saying).await;
    eventually("the first", || handled.load(Ordering::SeqCst) > 0).await;
    client.stop_connecting(address).await.unwrap();
    aside(move || {
        peer.expect_end();
        peer.finish();
    })
    .await;
    eventually("its end", || client.stats().peers == 0).await;
    eventually("all of them", || handled.load(Ordering::SeqCst) == MESSAGES).await;
    let report = client.close().await;
    assert_eq!((report.unhandled, report.returned), (0, 1), "{report:?}");
    assert_eq!(handled.load(Ordering::SeqCst), MESSAGES);
    assert_eq!(client.stats().dead_letters, 0);
}

#[actix::test]
async fn what_waits_in_the_outbox_stays_there_when_a_dialer_is_stopped() {
    let (server, client) = (end().socket, end().socket);
    let nobody = "tcp://127.0.0.1:1";
    client.connect(nobody).await.unwrap();
    client.send("held").await.unwrap();
    client.stop_connecting(nobody).await.unwrap();
    let mut got = collect(&server);
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    assert_eq!(got.payloads(1).await, ["held"]);
}

#[actix::test]
async fn a_dialer_that_is_stopped_gives_up_the_handshake_that_is_underway() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = end().socket;
    client.connect(address.to_string()).await.unwrap();
    let mut silent = aside(move || {
        let mut peer = RawPeer::accept(&listener);
        peer.expect_hello();
        peer
    })
    .await;
    assert_eq!(client.inspect().await.handshakes, 1);
    client.stop_connecting(address.to_string()).await.unwrap();
    eventually("its end", || client.stats().connections == 0).await;
    aside(move || silent.expect_end()).await;
    assert_eq!(client.inspect().await.handshakes, 0);
}

#[actix::test]
async fn an_endpoint_that_is_connected_again_has_one_dialer_and_its_connection_stays() {
    let (mut server, mut client, endpoint) = pair().await;
    client.events.rest();
    // A program that calls connect until somebody is there.
    for _ in 0..1_000 {
        client.socket.connect(endpoint.clone()).await.unwrap();
    }
    let said = client.socket.send("on the same one").acknowledged();
    let mut got = collect(&server.socket);
    within_patience("an acknowledgement", said).await.unwrap();
    assert_eq!(got.payloads(1).await, ["on the same one"]);
    let children = client.socket.inspect().await.children;
    assert_eq!(children.len(), 2, "a router and a dialer: {children:?}");
    assert!(client.events.rest().is_empty());
    assert!(client.peers.rest().is_empty() && server.peers.rest().is_empty());
    assert_eq!(server.socket.stats().connections, 1);
    // One call ends what a thousand began.
    client.socket.stop_connecting(endpoint).await.unwrap();
    client.peers.end().await;
    assert_eq!(client.socket.inspect().await.children.len(), 1);
}

#[actix::test]
async fn options_of_a_second_connect_hold_from_the_next_attempt_on() {
    use std::io::{Read, Write};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let with = |token| ConnectOptions::new().header("Authorization", token);
    let client = end();
    let endpoint = format!("ws://{address}/");
    let dial = async |token| client.socket.connect_with(&*endpoint, with(token)).await;
    dial("old").await.unwrap();
    dial("new").await.unwrap();
    // The first attempt may have begun before the second call.
    let has_new = aside(move || {
        (0..2).any(|_| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            let refusal = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal.as_bytes()).unwrap();
            let request = String::from_utf8(request).unwrap();
            request.to_lowercase().contains("authorization: new")
        })
    });
    assert!(within_patience("the new token", has_new).await);
    assert_eq!(client.socket.inspect().await.children.len(), 2);
}
