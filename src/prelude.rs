//! What most programs want: `use actix_aiomsg::prelude::*;`.

pub use crate::{
    Backoff, BindOptions, CloseReport, ConnectOptions, DeadLetter, DeadLetterReason,
    DeliveryGuarantee, DownReason, Drain, Endpoint, Identity, MessageId, Party, PeerEvent,
    Received, RefusalReason, Role, SendError, SendMode, Socket, SocketEvent, Stats, WeakSocket,
};
