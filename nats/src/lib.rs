//! A bridge between one [`Socket`](actix_aiomsg::Socket) of `actix-aiomsg` and [NATS](https://nats.io).
//!
//! What the socket receives goes to a subject or into a JetStream stream, and what comes from subjects, queue groups and streams
//! is sent by the socket. The bridge is a supervised actor: it connects, reconnects and goes on where it was by itself.
//!
//! ```no_run
//! use actix_aiomsg::prelude::*;
//! use actix_aiomsg_nats::{Bridge, Inbound, Outbound, Stream};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = Socket::builder().identity(Identity::from_name("orders-bridge")).start()?;
//! socket.bind("tcp://0.0.0.0:25000").await?;
//!
//! let orders = Stream::new("ORDERS").subject("orders.>").replicas(3);
//! let invoices = Stream::new("INVOICES").subject("invoices.>").replicas(3);
//! let bridge = Bridge::new("nats://a:4222,nats://b:4222,nats://c:4222")
//!     .outbound(Outbound::stream(orders, "orders.new"))
//!     .inbound(Inbound::stream(invoices, "shop"))
//!     .start(&socket)
//!     .await?;
//! socket.run_until_signal(Drain::within(std::time::Duration::from_secs(20))).await?;
//! bridge.ended().await;
//! # Ok(())
//! # }
//! ```
//!
//! `docs/NATS.md` in the repository says when to use which, what each way promises, and what happens when NATS is down.
//!
//! The client [`async_nats`] is part of this crate's API ([`Bridge::options`]); a new version of it that breaks is one of this crate, too.

mod actor;
mod bridge;
mod error;
mod event;
mod held;
mod ids;
mod inbound;
mod outbound;
mod pause;
mod peers;
mod publishing;
mod pulling;
mod route;
mod session;
mod shared;
mod stats;
mod storing;
mod stream;
mod subscribing;

pub use async_nats;

pub use actor::BridgeHandle;
pub use bridge::Bridge;
pub use error::BridgeError;
pub use event::BridgeEvent;
pub use ids::{inbound_id, outbound_id};
pub use peers::Peers;
pub use route::{Inbound, Outbound};
pub use stats::BridgeStats;
pub use stream::Stream;
