//! Ask and reply: a question to a peer, and the one answer to it, over any implementation of aiomsg
//! (docs/ASK.md).
//!
//! [`Socket::ask`](crate::Socket::ask) asks one peer, [`Socket::ask_all`](crate::Socket::ask_all) all of them, and an
//! actor that implements `Handler<`[`Ask`]`<Q>>` answers after [`Socket::serve`](crate::Socket::serve).

mod cancel;
mod incoming;
mod outcome;
mod request;
mod serve;
mod table;

pub use incoming::Ask;
pub(crate) use outcome::{AskOutcome, Unanswered};
pub use request::{Answer, AskRequest, Whom};
pub(crate) use serve::{Serve, asks_for};
pub(crate) use table::Asks;
