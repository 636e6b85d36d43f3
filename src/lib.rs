//! Brokerless smart sockets for actix: message sockets that reconnect, balance and supervise
//! themselves, as actors, on the aiomsg wire protocol.
//!
//! A [`Socket`] binds and connects to as many peers as it likes. Each message goes to the next peer, to all of them, or to one
//! by its identity. Connections come back by themselves, and what is sent meanwhile waits, in order and within bounds.
//!
//! # A service and its client
//!
#![cfg_attr(feature = "json", doc = "```")]
#![cfg_attr(not(feature = "json"), doc = "```ignore")]
//! use actix::prelude::*;
//! use actix_aiomsg::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Add(u32);
//! #[derive(Serialize, Deserialize)]
//! struct HowMany;
//! #[derive(Serialize, Deserialize)]
//! struct Apples(u32);
//!
//! // Topics tell the messages apart; an `Apples` answers a `HowMany`.
//! payload!(Add = "add ", HowMany = "how-many " => Apples, Apples);
//!
//! struct Stock(WeakSocket, u32);
//!
//! impl Actor for Stock {
//!     type Context = Context<Self>;
//!     fn started(&mut self, ctx: &mut Self::Context) {
//!         self.0.subscribe::<Add>(ctx);
//!         self.0.serve::<HowMany>(ctx);
//!     }
//! }
//!
//! impl Handler<Received<Add>> for Stock {
//!     type Result = ();
//!     fn handle(&mut self, add: Received<Add>, _: &mut Self::Context) {
//!         self.1 += add.0;
//!     }
//! }
//!
//! impl Handler<Ask<HowMany>> for Stock {
//!     type Result = Answer<HowMany>;
//!     fn handle(&mut self, _: Ask<HowMany>, _: &mut Self::Context) -> Answer<HowMany> {
//!         Ok(Apples(self.1))
//!     }
//! }
//!
//! #[actix::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let service = Socket::builder().start()?;
//!     let _stock = Stock(service.downgrade(), 0).start();
//!     let endpoint = service.bind("tcp://127.0.0.1:0").await?;
//!
//!     let client = Socket::builder()
//!         .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
//!         .start()?;
//!     client.connect(endpoint).await?;
//!     client.send_typed(&Add(40)).acknowledged().await?; // the handler has finished
//!     client.send_typed(&Add(2)).acknowledged().await?;
//!     let Apples(count) = client.ask(Whom::Any, &HowMany).await?;
//!     println!("40 + 2 = {count}");
//!     Ok(())
//! }
//! ```
//!
//! `payload!` gives each type its topic, and an ask its answer. The service subscribes to one type and [serves](WeakSocket::serve) another; both
//! handlers are those of an ordinary actor. The client sends by [`DeliveryGuarantee::AtLeastOnce`]: a message is
//! [acknowledged](Sending::acknowledged) when its handler has finished, and sent again until then. The default is
//! [`AtMostOnce`](DeliveryGuarantee::AtMostOnce). [`Socket::ask`] has one answer, or an [error](error::AskError) within its timeout.
//!
//! # Without types
//!
//! A payload is bytes. [`Socket::send`] takes any, and [`Socket::recv`] yields them as they came; an actor receives them by a
//! `Handler<`[`Received`]`>`.
//!
//! ```
//! use actix_aiomsg::prelude::*;
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (server, client) = (Socket::builder().start()?, Socket::builder().start()?);
//! client.connect(server.bind("tcp://127.0.0.1:0").await?).await?;
//! client.send("hello").await?; // queued; it goes out when the peer is there
//! assert_eq!(server.recv().await?.text()?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # How long a socket lives
//!
//! Dropping the last [`Socket`] closes it; an actor holds a [`WeakSocket`]. At the end of a program
//! [`run_until_signal`](Socket::run_until_signal) waits for SIGTERM, has the handlers finish what was received, and closes.
//!
//! # Actors that come back
//!
//! [`supervise`](mod@supervise) keeps any actix actor alive through panics, with its address and its mailbox. It needs no
//! socket: start there if that is all you want.
//!
//! ```
//! use actix::prelude::*;
//! use actix_aiomsg::supervise::supervise;
//!
//! # #[derive(Default)]
//! # struct Worker;
//! # impl Actor for Worker { type Context = Context<Self>; }
//! # #[actix::main]
//! # async fn main() {
//! let worker: Addr<Worker> = supervise(Worker::default).start();
//! # }
//! ```
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | send and receive | [`Socket`], [`Sending`], [`Received`], [`SubscribeOptions`] |
//! | set a socket up from a file | `settings` |
//! | choose bounds, policies and timers | [`SocketBuilder`], [`limits`] |
//! | type messages | [`mod@payload`] |
//! | ask and answer | [`ask`] |
//! | offer a service by its name, and ask it | [`Socket::offer`], [`service`] |
//! | keep what is sent until it is acknowledged, over restarts of the process | [`mod@outbox`] |
//! | pass messages on between peers that do not know each other | [`relay`] |
//! | choose endpoints, and encrypt | [`transport`], `tls` |
//! | find peers by DNS or by a registry | [`discovery`] |
//! | decide who comes in | [`authorize`] |
//! | hear of peers, losses and trouble | [`event`], [`stats`] |
//! | tell whether a socket is ready | [`health`] |
//! | look into a running socket | `inspection` |
//! | draw figures of sockets over time | `metrics` |
//! | follow a request over several processes | `trace` |
//! | supervise | [`mod@supervise`] |
//! | take browsers of an actix-web application | `web` |
//! | test | `testing` |
//!
//! Programs begin with [`use actix_aiomsg::prelude::*`](prelude). The root has the names that most
//! programs write; the modules have the rest.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod actor;
mod address;
mod admission;
mod announcements;
pub mod ask;
pub mod authorize;
mod clock;
mod config;
mod connection;
mod core;
mod detach;
pub mod discovery;
mod engine;
pub mod error;
pub mod event;
mod excerpt;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
mod id;
mod inbox;
#[cfg(feature = "inspection")]
#[cfg_attr(docsrs, doc(cfg(feature = "inspection")))]
pub mod inspection;
mod lifecycle;
pub mod limits;
mod link;
#[cfg(all(test, aiomsg_loom))]
mod loom_models;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
mod notice_queue;
pub mod outbox;
pub mod payload;
pub mod prelude;
pub mod relay;
mod routing;
pub mod service;
mod services;
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub mod settings;
#[cfg(all(test, not(aiomsg_loom)))]
mod simulation;
mod socket;
pub mod stats;
mod subscription;
pub mod supervise;
mod sync;
mod telemetry;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod testing;
mod timer;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub mod tls;
#[cfg(not(feature = "otel"))]
mod trace;
#[cfg(feature = "otel")]
#[cfg_attr(docsrs, doc(cfg(feature = "otel")))]
pub mod trace;
pub mod transport;
#[cfg(feature = "actix-web")]
#[cfg_attr(docsrs, doc(cfg(feature = "actix-web")))]
pub mod web;
pub mod wire;

pub use address::{Endpoint, Role, ToEndpoint};
pub use ask::{Ask, AskRequest};
pub use engine::Backoff;
pub use event::{DeadLetter, PeerDown, PeerEvent, PeerWatch, SocketEvent};
pub use id::{Identity, MessageId};
pub use limits::{
    AbsentPeer, AckPolicy, Dedupe, DeliveryGuarantee, DuplicateIdentity, Overflow, SendMode,
    Unheard,
};
pub use link::Receipt;
pub use payload::{Codec, Filter, IntoPayload, Payload};
pub use socket::{
    Asking, DeadLetterQueue, Drain, Messages, Replies, RunError, Sending, Server, Socket,
    SocketBuilder, SubscribeOptions, Subscribed, Subscriber, WeakSocket,
};
pub use subscription::{ActorHandled, Handled, Received};
pub use supervise::{SupervisionTree, supervise};
pub use transport::{BindOptions, ConnectOptions};

/// Says how serde types travel: `payload!(Order = "order ", Note)` implements [`Payload`] for each
/// type, with its topic if it has one. `GetUser = "get-user " => User` is an [`AskRequest`] as well,
/// and a `User` is its answer.
#[cfg(feature = "serde")]
#[macro_export]
macro_rules! payload {
    ($($type:ty $(= $topic:expr)? $(=> $reply:ty)?),+ $(,)?) => {$(
        impl $crate::Payload for $type {
            type Format = $crate::payload::Serde;
            $(const TOPIC: &'static str = $topic;)?
        }
        $(impl $crate::AskRequest for $type {
            type Reply = $reply;
        })?
    )+};
}
