//! Names that most programs want: `use actix_aiomsg::prelude::*;`.
//!
//! It goes together with `actix::prelude::*`: no name is in both. That is why
//! [`SendError`](crate::error::SendError) is not here, and the module `web` is left to `actix_web`.

#[cfg(feature = "tls")]
pub use crate::authorize::identity_from_certificate;
#[cfg(feature = "metrics")]
pub use crate::metrics::MetricsExporter;
#[cfg(feature = "serde")]
pub use crate::payload;
#[cfg(feature = "tls")]
pub use crate::tls::Tls;
#[cfg(feature = "tls-dev")]
pub use crate::tls::TlsDev;
#[cfg(feature = "otel")]
pub use crate::trace::SpanRelation;
pub use crate::{
    AbsentPeer, AckPolicy, ActorHandled, Ask, AskRequest, Backoff, BindOptions, Codec,
    ConnectOptions, DeadLetter, Dedupe, DeliveryGuarantee, Drain, DuplicateIdentity, Endpoint,
    Filter, Handled, Identity, MessageId, Overflow, Payload, PeerEvent, Received, Role, SendMode,
    Socket, SocketBuilder, SocketEvent, SubscribeOptions, SupervisionTree, Unheard, WeakSocket,
    ask::{Answer, Whom},
    authorize::{Admission, Candidate},
    error::{AskError, AskFailure, Closed, DeliveryError, ReceiptError},
    event::{DeadLetterReason, DownReason, Party, RefusalReason},
    health::HealthCriteria,
    relay::Relay,
    service::Service,
    stats::{CloseReport, Stats},
    supervise,
    supervise::{ExitReason, RestartEvent, RestartPolicy, monitor},
};
