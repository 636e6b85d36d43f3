//! What most programs want: `use actix_aiomsg::prelude::*;`.

pub use crate::{
    AbsentPeer, ActorHandled, Answer, Ask, AskError, AskFailure, AskRequest, Backoff, BindOptions,
    CloseReport, Codec, ConnectOptions, DeadLetter, DeadLetterReason, DeliveryGuarantee,
    DownReason, Drain, Endpoint, Filter, Handled, Identity, MessageId, Overflow, Party, Payload,
    PeerEvent, Received, RefusalReason, Role, SendMode, Socket, SocketEvent, Stats, WeakSocket,
    Whom,
};
