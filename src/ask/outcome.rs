//! How an ask ends.

use bytes::Bytes;

use crate::error::AskError;
use crate::payload::AskRefusal;
use crate::wire::NotHandled;

/// The end of an ask: the body of its reply, or why there is none.
pub(crate) type AskOutcome = Result<Bytes, Unanswered>;

/// Why an ask has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The connection ended before the ask was written: it was surely not handled.
    NotWritten,
    /// The connection ended before the answer came.
    PeerGone,
    /// No answer came in time.
    Timeout,
    /// The peer answered with an error.
    Remote(String),
    /// The peer did not handle the ask.
    Refused(AskRefusal),
    /// The socket is closed.
    Closed,
}

impl From<Unanswered> for AskError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotWritten | Unanswered::PeerGone => Self::PeerGone,
            Unanswered::Timeout => Self::Timeout,
            Unanswered::Remote(text) => Self::Remote(text),
            Unanswered::Closed => Self::Closed,
            Unanswered::Refused(refusal) => match refusal.reason {
                NotHandled::Busy => Self::Busy,
                NotHandled::Draining | NotHandled::NoSuchService => Self::NoService,
                NotHandled::NotAllowed => Self::Remote("the peer does not allow it".to_owned()),
                _ => Self::Remote("the peer refused the ask".to_owned()),
            },
        }
    }
}
