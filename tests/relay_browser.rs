//! A relay between peers of every kind: browsers and peers over TLS, on either side.

mod support;

use std::net::SocketAddr;

use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::Relay;
use actix_aiomsg::tls::Tls;
use actix_aiomsg::{BindOptions, ConnectOptions};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::json;
use support::actors::{answer_each, collect};
use support::webdriver::Browser;
use support::within_patience;

const MODULE: &str = include_str!("../examples/browser/aiomsg.js");

/// Serves a page with nothing on it, and the module.
fn serve() -> SocketAddr {
    let server = HttpServer::new(|| {
        let page = async || {
            HttpResponse::Ok()
                .content_type("text/html")
                .body("<title>t</title>")
        };
        let module = async || {
            HttpResponse::Ok()
                .content_type("text/javascript")
                .body(MODULE)
        };
        let icon = async || HttpResponse::NoContent();
        App::new()
            .route("/", actix_web::web::get().to(page))
            .route("/favicon.ico", actix_web::web::get().to(icon))
            .route("/aiomsg.js", actix_web::web::get().to(module))
    });
    let server = server
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port");
    let address = server.addrs()[0];
    actix::spawn(server.run());
    address
}

/// A browser tab that is connected to a port, and hears what comes.
async fn join(browser: &Browser, page: SocketAddr, port: u16) {
    browser.open(&format!("http://{page}/")).await;
    let opened = browser.run(
        "const socket = window.socket = aiomsg.connect(given.url, { delivery: 'at-least-once' });
         window.heard = [];
         (async () => { for await (const message of socket) heard.push(message.text()); })();
         await socket.waitForPeers(1);
         return socket.peers.length;",
        json!({ "url": format!("ws://127.0.0.1:{port}/") }),
    );
    assert_eq!(opened.await, 1);
}

#[actix::test]
async fn browsers_and_peers_over_tls_on_either_side_of_a_relay_reach_each_other() {
    let dev = Tls::dev();
    let (front, back) = (Socket::start().unwrap(), Socket::start().unwrap());
    let relay = Relay::new(&front, &back).start().unwrap();
    let mut ports = Vec::new();
    for socket in [&front, &back] {
        let plain = socket.bind("127.0.0.1:0").await.unwrap();
        let options = BindOptions::new().tls(dev.server());
        let tls = socket.bind_with("tls://127.0.0.1:0", options);
        ports.push((plain.port().unwrap(), tls.await.unwrap()));
    }
    let over_tls = async |endpoint: &Endpoint| {
        let socket = Socket::start().unwrap();
        let options = ConnectOptions::new().tls(dev.client());
        socket.connect_with(endpoint, options).await.unwrap();
        within_patience("the relay", socket.wait_for_peers(1))
            .await
            .unwrap();
        socket
    };
    let [(front_port, front_tls), (back_port, back_tls)] = &ports[..] else {
        unreachable!("two")
    };
    let (from, to) = (over_tls(front_tls).await, over_tls(back_tls).await);
    answer_each(&to, |ask| ask.to_uppercase());
    let answer = from.ask(Whom::Any, &"hello".to_owned());
    let answer = within_patience("the answer", answer.timeout(support::PATIENCE)).await;
    assert_eq!(answer.unwrap(), "HELLO");

    let page = serve();
    let browser = Browser::start().await;
    let behind = browser.tab().await;
    join(&browser, page, *back_port).await;
    within_patience("both", back.wait_for_peers(2))
        .await
        .unwrap();
    let before = browser.new_tab().await;
    browser.switch(&before).await;
    join(&browser, page, *front_port).await;
    let mut collected = collect(&to);

    // Each of both in front sends twenty; the peers behind take turns.
    let sent = browser.run(
        "for (let number = 0; number < 20; number += 1) await window.socket.send(`browser ${number}`);
         return window.socket.unacknowledged;",
        json!({}),
    );
    assert_eq!(sent.await, 0);
    for number in 0..20 {
        let sending = from.send(format!("tls {number}")).acknowledged();
        within_patience("the acknowledgement", sending)
            .await
            .unwrap();
    }
    let mut all = collected.payloads(20).await;
    browser.switch(&behind).await;
    browser.eventually("heard.length === 20").await;
    let heard: Vec<String> = serde_json::from_value(browser.value("heard").await).unwrap();
    for kind in ["browser", "tls"] {
        let of = |list: &[String]| list.iter().filter(|text| text.starts_with(kind)).count();
        assert_eq!((of(&all), of(&heard)), (10, 10), "{all:?} {heard:?}");
    }
    all.extend(heard);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
    assert_eq!(browser.complaints().await, [""; 0]);
    let stats = relay.stats();
    assert_eq!((stats.forwarded, stats.asks, stats.returned), (40, 1, 1));
}
