//! A socket within an actix-web application: its browsers become peers.
//!
//! ```no_run
//! use actix_aiomsg::{prelude::*, web};
//! use actix_web::{App, HttpServer};
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let socket = Socket::builder().send_mode(SendMode::Publish).start()?;
//!     let shared = socket.clone();
//!     let app = move || App::new().service(web::endpoint("/aiomsg", &shared));
//!     HttpServer::new(app).bind("127.0.0.1:8080")?.run().await?;
//!     Ok(())
//! }
//! ```
//!
//! A page of the application then connects with `new WebSocket("/aiomsg")`, or with the module in
//! `examples/browser/`. What comes in this way is a peer like any other: handshake, liveness,
//! limits, authorization and events are those of a port of the socket's own (WIRE §8), and the
//! same socket may have such ports as well. TLS, sessions and middleware are the application's; what
//! they know of a peer reaches the authorizer by [`Mount::carry`], and its certificate by
//! [`on_connect()`].
//!
//! After a close frame it is the server that closes the TCP connection, within its
//! [`client_disconnect_timeout`](actix_web::HttpServer::client_disconnect_timeout), 1 s by default. Its
//! clock ticks every half second: with less than that a connection may stay until the peer closes it.
//! Peers wait for that, as WebSocket wants it of them. One that ends its own side instead, right behind
//! its messages, may lose those that actix-web has read and not passed on yet, where the socket is full.
//!
//! [`health()`] answers the probes of an orchestrator.
//!
//! To stop in order, [close](crate::Socket::close) the socket first and then stop the server: peers
//! get what was accepted for them, and a close frame. A server that stops first waits for its
//! connections, at most for its shutdown timeout, and then breaks them off.

mod bridge;
mod health;
mod mount;
#[cfg(feature = "tls")]
mod on_connect;

pub use health::{HealthPages, health};
pub use mount::{Mount, endpoint};
#[cfg(feature = "tls")]
pub use on_connect::on_connect;
