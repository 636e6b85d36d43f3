//! WebSocket peers that are nothing but the Python package `websockets`: well-behaved ones at both
//! ends, plain and over TLS, and one that breaks every rule, frame by frame.

mod support;

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::transport::TransportKind;
use support::frame_cases::every_rule_is_kept;
use support::host::Host;
use support::python::{numbered, script, succeeds};
use support::within_patience;

/// Sends every message back.
fn echo(socket: &Socket) {
    let socket = socket.downgrade();
    actix::spawn(async move {
        while let Some(socket) = socket.upgrade() {
            let Ok(message) = socket.recv().await else {
                return;
            };
            message.reply(message.payload().clone()).unwrap();
        }
    });
}

#[actix::test]
async fn a_python_websocket_peer_and_this_crate_understand_each_other() {
    let (recipient, mut peers) = Probe::recipient();
    let socket = Socket::builder().on_peer_event(recipient).start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    echo(&socket);
    let url = format!("ws://127.0.0.1:{}/", endpoint.port().unwrap());
    let peer = script("websocket_peer.py", &["connect", &url, "--count", "500"]).await;
    assert_eq!(succeeds(peer).await, numbered("w", 0..500));
    let up = |event| match event {
        PeerEvent::Up { transport, .. } => Some(transport),
        _ => None,
    };
    assert_eq!(
        peers.find(up).await.expect("the peer"),
        TransportKind::WebSocket
    );
    // It left in order.
    let down = |event| match event {
        PeerEvent::Down { reason, by, .. } => Some((reason, by)),
        _ => None,
    };
    let end = peers.find(down).await.expect("its end");
    assert_eq!(end, (DownReason::Closed, Party::Peer));
}

#[actix::test]
async fn our_connect_end_speaks_to_a_python_websocket_server() {
    let mut server = script("websocket_peer.py", &["serve", "--count", "100"]).await;
    let port = server.line().await;
    let socket = Socket::start().unwrap();
    socket
        .connect(format!("ws://127.0.0.1:{port}/any/path"))
        .await
        .unwrap();
    for payload in numbered("m", 0..100) {
        socket.send(payload).await.unwrap();
    }
    for expected in numbered("m", 0..100) {
        let message = within_patience("a message", socket.recv()).await.unwrap();
        assert_eq!(message.text().unwrap(), expected);
    }
    socket.close().await;
    assert_eq!(succeeds(server).await, numbered("m", 0..100));
}

#[actix::test]
async fn each_broken_rule_ends_with_its_code_and_harms_nobody() {
    every_rule_is_kept(&Host::start(Socket::builder()).await, &[]).await;
}

#[cfg(feature = "tls-dev")]
mod over_tls {
    use actix_aiomsg::tls::Tls;
    use actix_aiomsg::tls::rustls::pki_types::pem::PemObject;
    use actix_aiomsg::tls::rustls::pki_types::{CertificateDer, ServerName};
    use actix_aiomsg::tls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
    };
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::path::PathBuf;
    use std::sync::Arc;
    use support::aside;
    use support::certificates::Authority;
    use support::python::{PythonOptions, PythonPeer};
    use support::raw_peer::{DATA, frame, hello};

    use super::*;

    async fn bind(socket: &Socket, authority: &Authority) -> u16 {
        let (chain, key) = authority.issue("server");
        let server = Tls::server(chain, key).build().unwrap();
        let options = BindOptions::new().tls(server);
        let endpoint = socket.bind_with("127.0.0.1:0", options).await.unwrap();
        endpoint.port().unwrap()
    }

    #[actix::test]
    async fn each_broken_rule_ends_with_its_code_over_tls_too() {
        let authority = Authority::new();
        let mut host = Host::start(Socket::builder()).await;
        let port = bind(&host.socket, &authority).await;
        host.address.set_port(port);
        let ca = authority.ca();
        every_rule_is_kept(&host, &["--ca", ca.to_str().unwrap()]).await;
    }

    /// A peer of plain rustls: what it is answered to one message.
    fn raw_tls_peer(port: u16, ca: PathBuf) -> Vec<u8> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut tls = StreamOwned::new(connection, stream);
        let said = [hello([9; 16]), frame(DATA, b"raw over TLS")].concat();
        tls.write_all(&said).unwrap();
        let mut answer = vec![0; 22 + 17];
        tls.read_exact(&mut answer).unwrap();
        answer.split_off(22)
    }

    #[actix::test]
    async fn one_tls_port_serves_a_raw_peer_a_python_peer_and_a_websocket_peer_at_once() {
        let authority = Authority::new();
        let (recipient, mut peers) = Probe::recipient();
        let socket = Socket::builder().on_peer_event(recipient).start().unwrap();
        let port = bind(&socket, &authority).await;
        echo(&socket);
        let ca = authority.ca();
        let options = PythonOptions::connect(port).with("--tls-ca", ca.display());
        let mut python = PythonPeer::start(&options).await;
        let url = format!("wss://127.0.0.1:{port}/");
        let path = ca.to_str().unwrap();
        let arguments = ["connect", &url, "--ca", path, "--count", "300"];
        let websocket = script("websocket_peer.py", &arguments).await;
        python.send_many("p", 300);
        let raw = aside(move || raw_tls_peer(port, ca)).await;
        assert_eq!(raw, frame(DATA, b"raw over TLS"));
        assert_eq!(python.receive(300).await, numbered("p", 0..300));
        assert_eq!(succeeds(websocket).await, numbered("w", 0..300));
        let mut transports = Vec::new();
        while transports.len() < 3 {
            if let PeerEvent::Up { transport, .. } = peers.next().await.unwrap() {
                transports.push(transport);
            }
        }
        transports.sort();
        assert_eq!(
            transports,
            [TransportKind::Tls, TransportKind::Tls, TransportKind::Wss]
        );
    }
}
