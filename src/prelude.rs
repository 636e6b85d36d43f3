//! What most programs want: `use actix_aiomsg::prelude::*;`.

pub use crate::{
    AbsentPeer, Backoff, BindOptions, CloseReport, ConnectOptions, DeadLetter, DeadLetterReason,
    DeliveryGuarantee, DownReason, Drain, Endpoint, Identity, MessageId, Overflow, Party,
    PeerEvent, Received, RefusalReason, Role, SendError, SendMode, Socket, SocketEvent, Stats,
    WeakSocket,
};
