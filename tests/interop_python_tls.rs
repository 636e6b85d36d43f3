//! The Python package and this crate over TLS: both roles, every send mode, both guarantees.
#![cfg(feature = "tls-dev")]

mod support;

use actix_aiomsg::prelude::*;
use actix_aiomsg::tls::{Tls, TlsClient, TlsServer};
use support::certificates::Authority;
use support::python::{PythonOptions, PythonPeer, numbered};
use support::{eventually, within_patience};

/// Which end Python is.
#[derive(Clone, Copy, Debug)]
enum PythonIs {
    BindEnd,
    ConnectEnd,
}

/// Certificates, and what each end makes of them.
struct Secrets {
    authority: Authority,
    certificate: String,
    key: String,
}

impl Secrets {
    fn new() -> Self {
        let authority = Authority::new();
        let (certificate, key) = authority.issue("server");
        Self {
            certificate: certificate.display().to_string(),
            key: key.display().to_string(),
            authority,
        }
    }

    fn server(&self) -> TlsServer {
        Tls::server(&self.certificate, &self.key).build().unwrap()
    }

    fn client(&self) -> TlsClient {
        Tls::client().ca(self.authority.ca()).build().unwrap()
    }

    /// `count` Python peers of `socket`.
    async fn join(
        &self,
        socket: &Socket,
        python: PythonIs,
        count: usize,
        more: impl Fn(PythonOptions) -> PythonOptions,
    ) -> Vec<PythonPeer> {
        let mut peers = Vec::new();
        match python {
            PythonIs::ConnectEnd => {
                let options = BindOptions::new().tls(self.server());
                let endpoint = socket.bind_with("127.0.0.1:0", options).await.unwrap();
                for _ in 0..count {
                    let options = PythonOptions::connect(endpoint.port().unwrap());
                    let options = options.with("--tls-ca", self.authority.ca().display());
                    peers.push(PythonPeer::start(&more(options)).await);
                }
            }
            PythonIs::BindEnd => {
                for _ in 0..count {
                    let options = PythonOptions::bind(0)
                        .with("--tls-cert", &self.certificate)
                        .with("--tls-key", &self.key);
                    let peer = PythonPeer::start(&more(options)).await;
                    let options = ConnectOptions::new().tls(self.client());
                    let endpoint = format!("tls://127.0.0.1:{}", peer.port);
                    socket.connect_with(endpoint, options).await.unwrap();
                    peers.push(peer);
                }
            }
        }
        let all = within_patience("the peers", socket.wait_for_peers(count));
        all.await.unwrap();
        peers
    }
}

const BOTH_ENDS: [PythonIs; 2] = [PythonIs::BindEnd, PythonIs::ConnectEnd];

async fn next(socket: &Socket) -> (Identity, String) {
    let message = within_patience("a message", socket.recv()).await.unwrap();
    (message.peer(), message.text().unwrap().to_owned())
}

#[actix::test]
async fn round_robin_goes_both_ways_over_tls() {
    let secrets = Secrets::new();
    for end in BOTH_ENDS {
        let socket = Socket::start().unwrap();
        let mut peers = secrets.join(&socket, end, 2, |options| options).await;
        for payload in numbered("ours", 0..1000) {
            socket.send(payload).await.unwrap();
        }
        let mut seen = Vec::new();
        for peer in &mut peers {
            let share = peer.receive(500).await;
            assert!(share.is_sorted_by_key(|it| it[4..].parse::<u64>().unwrap()));
            seen.extend(share);
            peer.send_many("theirs", 100);
        }
        seen.sort_by_key(|it| it[4..].parse::<u64>().unwrap());
        assert_eq!(seen, numbered("ours", 0..1000), "{end:?}");
        let mut received = Vec::new();
        for _ in 0..200 {
            received.push(next(&socket).await.1);
        }
        received.sort();
        let mut expected = [numbered("theirs", 0..100), numbered("theirs", 0..100)].concat();
        expected.sort();
        assert_eq!(received, expected, "{end:?}");
    }
}

#[actix::test]
async fn what_is_published_reaches_everybody_over_tls() {
    let secrets = Secrets::new();
    for end in BOTH_ENDS {
        let publisher = Socket::builder().send_mode(SendMode::Publish).start();
        let socket = publisher.unwrap();
        let publish = |options: PythonOptions| options.with("--send-mode", "publish");
        let mut peers = secrets.join(&socket, end, 2, publish).await;
        for payload in numbered("all", 0..100) {
            socket.send(payload).await.unwrap();
        }
        for peer in &mut peers {
            assert_eq!(peer.receive(100).await, numbered("all", 0..100), "{end:?}");
            peer.send("published");
            assert_eq!(next(&socket).await.1, "published");
        }
    }
}

#[actix::test]
async fn one_peer_is_reached_by_its_identity_over_tls() {
    let secrets = Secrets::new();
    for end in BOTH_ENDS {
        let socket = Socket::start().unwrap();
        let mut peers = secrets.join(&socket, end, 2, |options| options).await;
        for (index, python) in peers.iter_mut().enumerate() {
            python.send_to(socket.identity(), &format!("I am {index}"));
            let (identity, text) = next(&socket).await;
            assert_eq!(text, format!("I am {index}"));
            let answer = format!("you are {index}");
            socket.send_to(identity, answer.clone()).await.unwrap();
            assert_eq!(
                python.received().await,
                (socket.identity(), answer),
                "{end:?}"
            );
        }
    }
}

#[actix::test]
async fn messages_are_acknowledged_both_ways_over_tls() {
    let secrets = Secrets::new();
    for end in BOTH_ENDS {
        let careful = Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
        let socket = careful.start().unwrap();
        let careful = |options: PythonOptions| options.with("--delivery", "at-least-once");
        let mut python = secrets.join(&socket, end, 1, careful).await.remove(0);
        for payload in numbered("ours", 0..500) {
            socket.send(payload).await.unwrap();
        }
        python.send_many("theirs", 500);
        assert_eq!(
            python.receive(500).await,
            numbered("ours", 0..500),
            "{end:?}"
        );
        for expected in numbered("theirs", 0..500) {
            assert_eq!(next(&socket).await.1, expected, "{end:?}");
        }
        eventually("the acknowledgements", || {
            socket.stats().unacknowledged == 0
        })
        .await;
        assert_eq!(socket.stats().acknowledged, 500);
        while python.unacknowledged().await > 0 {}
    }
}

#[actix::test]
async fn python_comes_back_over_tls_and_large_messages_pass() {
    let secrets = Secrets::new();
    let socket = Socket::start().unwrap();
    let mut python = secrets
        .join(&socket, PythonIs::BindEnd, 1, PythonOptions::echo)
        .await
        .remove(0);
    let large = "large ".repeat(500_000);
    socket.send(large.clone()).await.unwrap();
    assert!(next(&socket).await.1 == large);
    assert!(python.received().await.1 == large);
    let port = python.port;
    python.kill();
    eventually("its end", || socket.stats().peers == 0).await;
    socket.send("waits").await.unwrap();
    let options = PythonOptions::bind(port)
        .with("--tls-cert", &secrets.certificate)
        .with("--tls-key", &secrets.key);
    let mut successor = PythonPeer::start(&options).await;
    assert_eq!(successor.received().await.1, "waits");
}
