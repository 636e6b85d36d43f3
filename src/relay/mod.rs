//! Relays: what comes in at one socket goes out at another, and answers find their way back.
//!
//! A [`Relay`] stands between two sets of peers that do not know each other. Its *front* socket receives, its *back* socket
//! sends on, by its own send mode: each message to one peer in turn, or to all. Both sockets are ordinary ones, which bind and
//! connect as they like, over any transport. [docs/RELAY.md] says when a relay is the right means, and what it promises.
//!
//! [docs/RELAY.md]: https://docs.rs/crate/actix-aiomsg/latest/source/docs/RELAY.md
//!
//! ```no_run
//! use std::time::Duration;
//! use actix_aiomsg::prelude::*;
//! use actix_aiomsg::relay::Relay;
//!
//! #[actix::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let (front, back) = (Socket::start()?, Socket::start()?);
//!     let relay = Relay::new(&front, &back).start()?;
//!     back.bind("tcp://0.0.0.0:25001").await?;
//!     front.bind("tcp://0.0.0.0:25000").await?;
//!     relay.run_until_signal(Drain::within(Duration::from_secs(10))).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What is passed on
//!
//! | from the front | what becomes of it |
//! |---|---|
//! | a message | it is sent at the back, byte for byte, its topic included, at most once unless the back's own [guarantee](crate::SocketBuilder::delivery_guarantee) is at least once, and with its metadata if the front [reads it](crate::SocketBuilder::read_metadata) |
//! | one that wants an acknowledgement | the same, at least once: it is acknowledged when the peer at the back has acknowledged it. Where the back publishes, when it is queued for all of its peers |
//! | an ask | it goes to one peer at the back, in turn, also where the back publishes, and at most once |
//! | a cancel of an ask | it goes to the peer that was asked |
//! | an ask of a service, a tell to one | it is refused: offers are not passed on, so that no peer looks for a service behind a relay. Offer the service at the front, and ask for it at the back |
//!
//! From the back only answers return: to the peer whose ask they answer, if they come from the peer that was asked, once, and in time.
//! Everything else from there is dropped, counted by reason ([`RelayDrops`]) and told ([`RelayEvent`]), unless the relay goes
//! [both ways](Relay::both_ways).
//!
//! # What waits for what
//!
//! Each direction has a pump of its own. The way forward waits while the back has no room, and its peers with it. The way of
//! the answers never waits: an answer for a peer that does not take its answers is dropped, and that peer is read from all the same.

pub mod capture;
mod counts;
mod event;
mod forward;
mod handle;
mod pairs;
mod plan;
mod returning;
mod waiting;
mod way;

pub use counts::{RelayDrops, RelayStats};
pub use event::{RelayDrop, RelayEvent};
pub use handle::{RelayHandle, RelayReport};
pub use plan::{Relay, RelayError};
