//! What most programs want: `use actix_aiomsg::prelude::*;`.

pub use crate::{
    AbsentPeer, Answer, Ask, AskError, AskFailure, AskRequest, Backoff, BindOptions, CloseReport,
    Codec, ConnectOptions, DeadLetter, DeadLetterReason, DeliveryGuarantee, DownReason, Drain,
    Endpoint, Filter, Identity, MessageId, Overflow, Party, Payload, PeerEvent, Received,
    RefusalReason, Role, SendMode, Socket, SocketEvent, Stats, WeakSocket, Whom,
};
