//! One TLS port, and everybody who may come to it: a raw peer, the Python package, and Chromium.

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{
    tls::{Tls, TlsDev},
    transport::TransportKind,
};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::json;
use support::python::{PythonOptions, PythonPeer};
use support::raw_peer::{DATA, HEARTBEAT, HELLO, frame, hello};
use support::webdriver::Browser;
use support::within_patience;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const MODULE: &str = include_str!("../examples/browser/aiomsg.js");

/// Serves a page with nothing on it and the module, over TLS: browsers let such a page open no
/// connection that is not encrypted too.
fn serve_page(dev: &TlsDev) -> SocketAddr {
    let server = HttpServer::new(|| {
        let page = async || {
            HttpResponse::Ok()
                .content_type("text/html")
                .body("<title>t</title><link rel=icon href=data:,>")
        };
        let module = async || {
            HttpResponse::Ok()
                .content_type("text/javascript")
                .body(MODULE)
        };
        App::new()
            .route("/", actix_web::web::get().to(page))
            .route("/aiomsg.js", actix_web::web::get().to(module))
    });
    let server = server
        .workers(1)
        .disable_signals()
        .bind_rustls_0_23("127.0.0.1:0", (*dev.server().config()).clone())
        .expect("a free port");
    let address = server.addrs()[0];
    actix::spawn(server.run());
    address
}

/// A peer that says what the test says, over plain tokio-rustls.
struct RawTlsPeer {
    stream: TlsStream<TcpStream>,
}

impl RawTlsPeer {
    async fn introduced(port: u16, dev: &TlsDev) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let connector = TlsConnector::from(dev.client().config());
        let stream = connector.connect(name, stream).await.unwrap();
        let mut peer = Self { stream };
        peer.say(&hello([0x7a; 16])).await;
        assert_eq!(peer.next().await.0, HELLO);
        peer
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The type and the body of the next frame that is no heartbeat.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        let reading = async {
            loop {
                let length = self.stream.read_u32().await.unwrap();
                let mut envelope = vec![0; usize::try_from(length).unwrap()];
                self.stream.read_exact(&mut envelope).await.unwrap();
                let body = envelope.split_off(1);
                if envelope[0] != HEARTBEAT {
                    return (envelope[0], body);
                }
            }
        };
        within_patience("a frame", reading).await
    }

    async fn hears(&mut self) -> String {
        let (kind, body) = self.next().await;
        assert_eq!(kind, DATA);
        String::from_utf8(body).unwrap()
    }
}

/// A file with the authority's certificate, for another process.
fn ca_file(dev: &TlsDev) -> PathBuf {
    let name = format!("browser-ca-{}.pem", Identity::random());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, dev.ca_pem()).expect("the target directory is ours");
    path
}

/// Publishes whatever comes to everybody, its sender too, so that all hear the same in one order.
fn tell_everybody(socket: &Socket) {
    let socket = socket.downgrade();
    actix::spawn(async move {
        while let Some(socket) = socket.upgrade() {
            let Ok(message) = socket.recv().await else {
                return;
            };
            socket.send(message.payload().clone()).await.unwrap();
        }
    });
}

async fn up(events: &mut Probe<PeerEvent>) -> TransportKind {
    let up = |event| match event {
        PeerEvent::Up { transport, .. } => Some(transport),
        _ => None,
    };
    events.find(up).await.expect("a peer")
}

#[actix::test]
async fn a_raw_peer_a_python_peer_and_a_browser_hold_one_conversation_on_one_tls_port() {
    let dev = Tls::dev();
    let (recipient, mut peers) = Probe::recipient();
    let socket = Socket::builder()
        .send_mode(SendMode::Publish)
        .on_peer_event(recipient)
        .start()
        .unwrap();
    let options = BindOptions::new().tls(dev.server());
    let endpoint = socket.bind_with("127.0.0.1:0", options).await.unwrap();
    let port = endpoint.port().unwrap();
    tell_everybody(&socket);

    let mut raw = RawTlsPeer::introduced(port, &dev).await;
    assert_eq!(up(&mut peers).await, TransportKind::Tls);
    let ca = ca_file(&dev);
    let options = PythonOptions::connect(port).with("--tls-ca", ca.display());
    let mut python = PythonPeer::start(&options).await;
    assert_eq!(up(&mut peers).await, TransportKind::Tls);
    let page = serve_page(&dev);
    // Nothing but this test trusts the authority.
    let browser = Browser::with(&["--ignore-certificate-errors"]).await;
    browser.open(&format!("https://{page}/")).await;
    let opened = browser.run(
        "const socket = window.socket = aiomsg.connect(given.url, { delivery: 'at-least-once' });
         window.heard = [];
         (async () => { for await (const message of socket) heard.push(message.text()); })();
         await socket.waitForPeers(1);
         return socket.peers;",
        json!({ "url": format!("wss://127.0.0.1:{port}/") }),
    );
    assert_eq!(opened.await, json!([socket.identity().to_string()]));
    assert_eq!(up(&mut peers).await, TransportKind::Wss);

    let mut said = Vec::new();
    for round in 0..20 {
        let lines = ["the raw peer", "Python", "the browser"].map(|it| format!("{it}, {round}"));
        // Each speaks when it has heard the one before it.
        raw.say(&frame(DATA, lines[0].as_bytes())).await;
        assert_eq!(python.received().await.1, lines[0]);
        python.send(&lines[1]);
        browser
            .eventually(&format!("heard.at(-1) === {:?}", lines[1]))
            .await;
        let acknowledged = browser.run(
            "await window.socket.send(given); return window.socket.unacknowledged;",
            json!(lines[2]),
        );
        assert_eq!(acknowledged.await, 0);
        for line in &lines {
            assert_eq!(raw.hears().await, *line);
        }
        assert_eq!(python.receive(2).await, lines[1..]);
        said.extend(lines);
    }
    browser.eventually("heard.length === 60").await;
    assert_eq!(browser.value("heard").await, json!(said));
    assert_eq!(browser.complaints().await, [""; 0]);
    let stats = socket.stats();
    assert_eq!((stats.joins, stats.refused), (3, 0));
    std::fs::remove_file(ca).expect("it is ours");
}

#[actix::test]
async fn a_person_who_opens_a_tls_port_in_a_browser_reads_what_it_is() {
    let dev = Tls::dev();
    let socket = Socket::start().unwrap();
    let options = BindOptions::new().tls(dev.server());
    let endpoint = socket.bind_with("127.0.0.1:0", options).await.unwrap();
    let browser = Browser::with(&["--ignore-certificate-errors"]).await;
    let url = format!("https://127.0.0.1:{}/", endpoint.port().unwrap());
    browser.open(&url).await;
    let text = browser.value("document.body.innerText").await.to_string();
    assert!(
        text.contains("aiomsg") && text.contains("WebSocket"),
        "{text}"
    );
}
