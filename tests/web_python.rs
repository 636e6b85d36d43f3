//! The Python package `websockets` at a socket within an actix-web application.

mod support;

use std::net::SocketAddr;

use actix_aiomsg::prelude::*;
use actix_aiomsg::transport::TransportKind;
use support::actors::echo;
use support::aside;
use support::frame_cases::every_rule_is_kept;
use support::host::Host;
use support::python::{PythonOptions, PythonPeer, numbered, script, succeeds};
use support::raw_peer::RawPeer;
use support::site::{FREE, PATH, Site};

/// Waits for the transports of so many peers.
async fn transports(host: &mut Host, count: usize) -> Vec<TransportKind> {
    let mut transports = Vec::new();
    while transports.len() < count {
        if let PeerEvent::Up { transport, .. } = host.peers.next().await.unwrap() {
            transports.push(transport);
        }
    }
    transports.sort();
    transports
}

#[actix::test]
async fn a_python_websocket_peer_at_the_mount_and_a_raw_one_at_the_port_are_served_together() {
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let mut heard = echo(&socket);
    let site = Site::start(&socket, 2);
    let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port().unwrap()));
    let mut raw = aside(move || RawPeer::introduced(address, [7; 16])).await;
    let url = format!("ws://{}{PATH}", site.address);
    let websocket = script("websocket_peer.py", &["connect", &url, "--count", "500"]).await;
    let raw = aside(move || {
        for number in 0..500_u32 {
            let payload = format!("raw{number}");
            raw.data(payload.as_bytes());
            assert_eq!(raw.expect_data(), payload.as_bytes());
        }
        raw
    });
    let (raw, websocket) = tokio::join!(raw, succeeds(websocket));
    assert_eq!(websocket, numbered("w", 0..500));
    // Each was sent its own messages back and none of the other's, and both came in order.
    let (mut of_raw, mut of_websocket) = (Vec::new(), Vec::new());
    for payload in heard.payloads(1000).await {
        if payload.starts_with('w') {
            of_websocket.push(payload);
        } else {
            of_raw.push(payload);
        }
    }
    assert_eq!(of_raw, numbered("raw", 0..500));
    assert_eq!(of_websocket, numbered("w", 0..500));
    drop(raw);
}

#[actix::test]
async fn what_is_published_reaches_a_websocket_and_a_python_aiomsg_peer_of_one_socket() {
    let mut host = Host::alone(Socket::builder().send_mode(SendMode::Publish)).await;
    let site = Site::start(&host.socket, 2);
    let mut python = PythonPeer::start(&PythonOptions::connect(host.address.port())).await;
    let url = format!("ws://{}{PATH}", site.address);
    let websocket = script("websocket_peer.py", &["connect", &url, "--count", "200"]).await;
    assert_eq!(
        transports(&mut host, 2).await,
        [TransportKind::Tcp, TransportKind::WebSocket]
    );
    for payload in numbered("n", 0..200) {
        host.socket.send(payload).await.unwrap();
    }
    assert_eq!(python.receive(200).await, numbered("n", 0..200));
    assert_eq!(succeeds(websocket).await, numbered("n", 0..200));
    python.send("still here");
    let mut rest = numbered("w", 0..200).into_iter();
    let mut python_was_heard = false;
    while rest.len() > 0 || !python_was_heard {
        let message = host.message().await;
        if message == "still here" {
            python_was_heard = true;
        } else {
            assert_eq!(Some(&*message), rest.next().as_deref().map(str::as_bytes));
        }
    }
}

#[actix::test]
async fn each_broken_rule_ends_with_its_code_at_the_mount_and_harms_nobody() {
    let mut host = Host::start(Socket::builder()).await;
    let site = Site::at(FREE, &host.socket);
    // The good peer stays at the socket's own port.
    host.address = site.address;
    every_rule_is_kept(&host, &["--path", PATH]).await;
}

#[cfg(feature = "tls-dev")]
#[actix::test]
async fn behind_the_servers_tls_every_rule_is_kept_too() {
    use actix_aiomsg::tls::Tls;
    use support::actors::collect;
    use support::certificates::Authority;
    use support::within_patience;

    let authority = Authority::new();
    let (chain, key) = authority.issue("server");
    let tls = Tls::server(chain, key).build().unwrap();
    let mut host = Host::start(Socket::builder()).await;
    let site = Site::secured(&host.socket, &tls);
    host.address = site.address;
    let ca = authority.ca();
    let ca = ca.to_str().unwrap();
    every_rule_is_kept(&host, &["--path", PATH, "--ca", ca]).await;

    let socket = Socket::start().unwrap();
    let mut heard = collect(&socket);
    let site = Site::secured(&socket, &tls);
    let url = format!("wss://{}{PATH}", site.address);
    let arguments = ["connect", &url, "--ca", ca, "--count", "100"];
    let websocket = script("websocket_peer.py", &arguments).await;
    assert_eq!(heard.payloads(100).await, numbered("w", 0..100));
    for payload in numbered("n", 0..100) {
        let sent = socket.send(payload);
        within_patience("room", sent).await.unwrap();
    }
    assert_eq!(succeeds(websocket).await, numbered("n", 0..100));
}
