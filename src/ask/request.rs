//! Questions, their answers, and whom to ask.

use bytes::Bytes;

use crate::error::AskFailure;
use crate::id::Identity;
use crate::payload::Payload;

/// A question, and the type of its answer.
///
/// ```
/// # #[cfg(feature = "json")] {
/// use actix_aiomsg::payload;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct GetUser {
///     id: u64,
/// }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct User {
///     name: String,
/// }
///
/// payload!(GetUser = "get-user " => User, User);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no question: it does not say what answers it",
    label = "this type is no `AskRequest`",
    note = "for a serde type write `actix_aiomsg::payload!({Self} = \"topic \" => Reply, Reply);`, with the type of the answer in place of `Reply`",
    note = "`Answer<…>` names the question, not its answer: the handler of an `Ask<GetUser>` returns `Answer<GetUser>`",
    note = "a `Payload` already? Then write `impl AskRequest for {Self} {{ type Reply = …; }}`"
)]
pub trait AskRequest: Payload {
    /// Type of the answer. Its topic, if it has one, is not part of an answer.
    type Reply: Payload;
}

/// A question and an answer without types: the program at the other end knows them.
impl AskRequest for Bytes {
    type Reply = Bytes;
}

impl AskRequest for String {
    type Reply = String;
}

/// The peer to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Whom {
    /// Any connected peer, the next in turn.
    #[default]
    Any,
    /// This one.
    Peer(Identity),
}

impl From<Identity> for Whom {
    fn from(peer: Identity) -> Self {
        Self::Peer(peer)
    }
}

/// The result of a handler of asks: an answer, or why there is none. It names the question: `Answer<GetUser>` is what an
/// `Ask<GetUser>` is answered with, a `User`.
pub type Answer<Q> = Result<<Q as AskRequest>::Reply, AskFailure>;
