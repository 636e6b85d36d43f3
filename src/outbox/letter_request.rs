//! What a dead-letter queue is asked for.

use tokio::sync::oneshot;

use super::letter::{KeptLetter, Letter};
use super::letter_filter::LetterFilter;
use super::record::Record;
use crate::error::StoreError;

/// What became of the letters that were to be sent, or delivered, once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Redriven {
    /// Letters that are messages to be sent once more.
    pub sent: usize,
    /// Letters that are with the handlers of the socket once more; each leaves the queue when it is handled.
    pub delivered: usize,
    /// Letters that stay, because there is no room for their messages now, or no way to send or deliver them.
    pub left: usize,
}

/// One letter that is to be sent, or delivered, once more. `S` is the place of a message in the store.
#[derive(Debug)]
pub(crate) enum Redrive<S> {
    /// It is a message of the store, and no letter any more.
    Stored(Record, S),
    /// A message that no store keeps: one to a service, or of a socket without an outbox. It is a letter until somebody has taken it.
    Send(Letter),
    /// A message that the socket had received. It is a letter until it is handled.
    Deliver(KeptLetter),
}

/// Takes a letter that is redriven; false if it cannot, and the letter stays.
pub(crate) type TakeRedrive<S> = Box<dyn FnMut(Redrive<S>) -> bool + Send>;

/// What a dead-letter queue is asked for.
pub(crate) enum LetterRequest<S> {
    List {
        filter: LetterFilter,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<KeptLetter>, StoreError>>,
    },
    Purge {
        filter: LetterFilter,
        answer: oneshot::Sender<Result<usize, StoreError>>,
    },
    Redrive {
        filter: LetterFilter,
        take: TakeRedrive<S>,
        answer: oneshot::Sender<Result<Redriven, StoreError>>,
    },
}

impl<S> LetterRequest<S> {
    /// Tells who asked that it cannot be done.
    pub(super) fn fail(self, error: StoreError) {
        // Whoever asked may have lost interest.
        match self {
            Self::List { answer, .. } => drop(answer.send(Err(error))),
            Self::Purge { answer, .. } => drop(answer.send(Err(error))),
            Self::Redrive { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}
