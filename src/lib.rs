//! Brokerless smart sockets for actix: message sockets that reconnect, balance and supervise
//! themselves, as actors, on the aiomsg wire protocol.
//!
//! - [`Socket`] sends to peers and receives from them; an actor receives by
//!   [subscribing](Socket::subscribe) and implementing `Handler<`[`Received`]`>`.
//! - [`supervise`](mod@supervise) keeps any actix actor alive through panics, with its address and its
//!   mailbox. It needs no socket: start there if that is all you want.
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
mod engine;
pub mod error;
pub mod event;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod id;
mod inbox;
mod lifecycle;
pub mod limits;
mod link;
#[cfg(all(test, aiomsg_loom))]
mod loom_models;
pub mod payload;
pub mod prelude;
mod routing;
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
    Asking, Drain, Messages, Replies, RunError, Sending, Server, Socket, SocketBuilder,
    SubscribeOptions, Subscribed, Subscriber, WeakSocket,
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
