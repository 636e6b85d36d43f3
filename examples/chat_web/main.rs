//! A live chat and dashboard in the browser, which programs in any language can join.
//!
//! ```text
//! cargo run --features actix-web --example chat_web
//! ```
//!
//! It prints the address of the page; open it several times, on a phone too with `--host 0.0.0.0`. One
//! socket serves the pages, through its mount in the web server, and raw peers on a port of its own.
//! Kill and restart it as you like: pages reconnect, and what is written meanwhile is delivered then.

#[macro_use]
#[path = "../support/say.rs"]
mod say;
#[path = "../support/failure.rs"]
mod failure;
mod hub;
#[path = "../support/log.rs"]
mod log;
#[path = "../support/signals.rs"]
mod signals;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::{prelude::*, web};
use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, Responder};
use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use crate::failure::Failure;
use crate::hub::Hub;
use crate::log::log_from;
use crate::signals::StopSignals;

/// A live chat and dashboard in the browser, which programs in any language can join.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to serve the page and other programs on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The port of the page; 0 takes a free one.
    #[arg(long, default_value_t = 8_080)]
    port: u16,
    /// The port for peers that are no browsers; 0 takes a free one.
    #[arg(long, default_value_t = 25_000)]
    peers_port: u16,
}

/// The files of the page, as they are served.
const PAGE: [(&str, &str, &str); 4] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../browser/index.html"),
    ),
    (
        "/chat.css",
        "text/css; charset=utf-8",
        include_str!("../browser/chat.css"),
    ),
    (
        "/chat.js",
        "text/javascript; charset=utf-8",
        include_str!("../browser/chat.js"),
    ),
    (
        "/aiomsg.js",
        "text/javascript; charset=utf-8",
        include_str!("../browser/aiomsg.js"),
    ),
];

/// The page loads nothing from elsewhere, and nobody else's page shows it.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'";

#[actix_web::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    log_from(LevelFilter::WARN);
    let mut signals = StopSignals::listen()?;

    let socket = Socket::builder().send_mode(SendMode::Publish).start()?;
    let peers = (options.host.as_str(), options.peers_port);
    let endpoint = socket.bind(peers).await.map_err(|error| {
        format!("{error} (--host and --peers-port say where; port 0 is any free one)")
    })?;
    let (address, server) = serve(&options, &socket)?;
    let handle = server.handle();
    // Once nothing can fail any more: an actor that never ran would run as its runtime goes away.
    let hub = Hub::new(socket.downgrade(), endpoint.to_string()).start();
    socket.peer_events(hub.recipient());
    let serving = actix_web::rt::spawn(server);
    println!("The chat is on http://{address}/");
    println!("Other programs join it at {endpoint}; Ctrl-C ends it.");

    signals.received().await;
    // The socket first: every page gets what is on its way, and a close frame.
    let report = socket.close_within(Duration::from_secs(3)).await;
    handle.stop(true).await;
    serving.await??;
    println!(
        "Closed: {} messages sent, {} not.",
        report.sent, report.unsent
    );
    Ok(())
}

/// The web server, and the address that it has.
fn serve(options: &Options, socket: &Socket) -> Result<(String, Server), String> {
    let shared = socket.clone();
    let app = move || {
        let app = App::new().service(web::endpoint("/aiomsg", &shared));
        PAGE.into_iter().fold(app, |app, (path, kind, text)| {
            let file = move || file(kind, text);
            app.route(path, actix_web::web::get().to(file))
        })
    };
    let (host, port) = (options.host.as_str(), options.port);
    let server = HttpServer::new(app)
        .workers(2)
        .disable_signals()
        .shutdown_timeout(3)
        .bind((host, port))
        .map_err(|error| {
            format!("cannot serve on {host}:{port}: {error} (--host and --port say where; port 0 is any free one)")
        })?;
    let address = server.addrs().first().map(ToString::to_string);
    let address = address.ok_or("the web server has no address")?;
    Ok((address, server.run()))
}

async fn file(kind: &'static str, text: &'static str) -> impl Responder {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(text)
}
