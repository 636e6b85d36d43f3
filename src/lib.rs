//! Brokerless smart sockets for actix: message sockets that reconnect, balance and supervise
//! themselves, as actors, on the aiomsg wire protocol.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod engine;
mod id;
pub mod supervise;
pub mod transport;
pub mod wire;

pub use engine::backoff::{Backoff, Delays};
pub use id::{Identity, MessageId, ParseIdError};
pub use supervise::{SupervisionTree, supervise};
