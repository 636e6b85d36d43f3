//! Brokerless smart sockets for actix: message sockets that reconnect, balance and supervise
//! themselves, as actors, on the aiomsg wire protocol.
//!
//! - [`Socket`] sends to peers and receives from them; an actor receives by
//!   [subscribing](Socket::subscribe) and implementing `Handler<`[`Received`]`>`.
//! - [`supervise`](mod@supervise) keeps any actix actor alive through panics, with its address and its
//!   mailbox. It needs no socket: start there if that is all you want.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod actor;
mod address;
mod ask;
mod authorize;
mod clock;
mod config;
mod connection;
mod engine;
mod error;
mod event;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod id;
mod inbox;
pub mod limits;
mod link;
#[cfg(all(test, aiomsg_loom))]
mod loom_models;
mod payload;
pub mod prelude;
mod routing;
#[cfg(all(test, not(aiomsg_loom)))]
mod simulation;
mod socket;
mod subscription;
pub mod supervise;
mod sync;
mod telemetry;
#[cfg(feature = "test-util")]
pub mod testing;
mod timer;
mod transport;
#[cfg(feature = "actix-web")]
#[cfg_attr(docsrs, doc(cfg(feature = "actix-web")))]
pub mod web;
pub mod wire;

#[cfg(feature = "test-util")]
pub use actor::fault_injection::Part;
pub use address::{
    CertificateChain, CertificateName, DEFAULT_PORT, Endpoint, ParseEndpointError, PeerAddress,
    RefusedBy, Role, Scheme, TlsRefusal, ToEndpoint, TransportKind, UnusableEndpoint, UpgradeFault,
    WebSocketViolation,
};
pub use ask::{Answer, Ask, AskRequest, Asking, Replies, Server, Whom};
#[cfg(feature = "tls")]
pub use authorize::identity_from_certificate;
pub use authorize::{Admission, Authorize, ByActor, ByClosure, Candidate, Deciding};

pub use engine::{Backoff, Delays};
pub use error::{
    AskError, AskFailure, BindError, Closed, ConnectError, DecodeError, EncodeError, ReceiptError,
    ReconfigureError, RecvError, ReplyError, SendError, StartError, TrySendError,
};
pub use event::{
    AddressFailure, DeadLetter, DeadLetterReason, DownReason, Limit, Party, PeerEvent,
    RefusalReason, SocketEvent,
};
pub use limits::{
    AbsentPeer, AckPolicy, Dedupe, DeliveryGuarantee, DuplicateIdentity, Overflow, SendMode,
};

pub use id::{Identity, MessageId, ParseIdError};
#[cfg(feature = "protobuf")]
pub use payload::Protobuf;
#[cfg(feature = "serde")]
pub use payload::Serde;
pub use payload::{Codec, Filter, Format, IntoPayload, Payload, Raw, TraceContext};

pub use routing::{CloseReport, Losses, SocketPhase, SocketState, Stats};

pub use link::Receipt;
pub use routing::{PeerDown, PeerWatch};
pub use socket::{
    Drain, Messages, NotDrained, RunError, Sending, Socket, SocketBuilder, SubscribeOptions,
    Subscribed, Subscriber, WeakSocket,
};
pub use subscription::{
    ActorHandled, Delivery, Handled, Received, SubscriberReport, SubscriptionReport,
};
pub use supervise::{SupervisionTree, supervise};
pub use transport::{BindOptions, ConnectOptions, UpgradeRequest};
#[cfg(feature = "tls")]
pub use transport::{
    Tls, TlsClient, TlsClientBuilder, TlsConfigError, TlsServer, TlsServerBuilder,
};
#[cfg(feature = "tls-dev")]
pub use transport::{TlsDev, TlsDevPem};

/// The TLS library, for configurations of your own.
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;

/// Says how serde types travel: `payload!(Order = "order ", Note)` implements [`Payload`] for each
/// type, with its topic if it has one. `GetUser = "get-user " => User` is an [`AskRequest`] as well,
/// and a `User` is its answer.
#[cfg(feature = "serde")]
#[macro_export]
macro_rules! payload {
    ($($type:ty $(= $topic:expr)? $(=> $reply:ty)?),+ $(,)?) => {$(
        impl $crate::Payload for $type {
            type Format = $crate::Serde;
            $(const TOPIC: &'static str = $topic;)?
        }
        $(impl $crate::AskRequest for $type {
            type Reply = $reply;
        })?
    )+};
}
