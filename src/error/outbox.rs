//! Errors of outboxes that outlive their process.

use crate::id::Identity;

/// An outbox cannot be opened; each text says what can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// Another socket uses the store, in this process or in another one.
    #[error(
        "the outbox {store} is in use: one socket at a time may have it; end the other one, or choose another path"
    )]
    Locked {
        /// The store, by its path.
        store: String,
    },
    /// There is no file, where one was to be looked into.
    #[error("there is no outbox at {store}: it is the path that the socket was given")]
    Missing {
        /// The path.
        store: String,
    },
    /// The file is not an outbox.
    #[error("{store} is not an outbox ({detail}): it is left as it is; choose another path")]
    Foreign {
        /// The store, by its path.
        store: String,
        /// What it lacks.
        detail: String,
    },
    /// A later version of this crate has written the outbox.
    #[error(
        "the outbox {store} has format {format}, and this version of actix-aiomsg knows formats up to {known}: start \
         the version that wrote it, or a later one"
    )]
    Newer {
        /// The store, by its path.
        store: String,
        /// Its format.
        format: u32,
        /// The latest format that this version knows.
        known: u32,
    },
    /// The file is damaged: it was changed or cut by something else, or its disk is failing.
    #[error(
        "the outbox {store} is damaged ({detail}): keep a copy of it and restore it from a backup, or choose another path \
         and give its messages up"
    )]
    Damaged {
        /// The store, by its path.
        store: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The outbox belongs to a socket of another identity than the one that was set.
    #[error(
        "the outbox {store} belongs to the identity {stored}, and the socket is to have {wanted}: receivers know its messages by \
         that identity; leave `identity` out to go on with it, choose another path, or take it over by `Outbox::adopt`"
    )]
    OtherIdentity {
        /// The store, by its path.
        store: String,
        /// The identity in the store.
        stored: Identity,
        /// The identity that was set.
        wanted: Identity,
    },
    /// The store failed.
    #[error("the outbox {store} cannot be opened: {error}")]
    Failed {
        /// The store, by its path.
        store: String,
        /// Its error.
        error: StoreError,
    },
}

/// The store of an outbox failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct StoreError {
    problem: String,
}

impl StoreError {
    /// An error of a store of your own.
    pub fn new(problem: impl ToString) -> Self {
        let problem = problem.to_string();
        Self { problem }
    }
}
