//! The dead letters of a socket, on their way into a queue that keeps them, and out of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::figures::LetterFigures;
use super::journal::{Journal, Shared, Stored};
use super::journal_start::JournalStart;
use super::letter::{KeptLetter, Letter};
use super::letter_filter::LetterFilter;
use super::letter_index::{DeadLetterBounds, LetterIndex};
use super::letter_request::{LetterRequest, Redriven, TakeRedrive};
use super::memory_store::MemoryStore;
use super::tail::Tail;
use super::writer::Writer;
use crate::clock;
use crate::error::StoreError;
use crate::id::{Identity, MessageId};
use crate::limits::Capacity;

/// The dead-letter queue of a socket: in the store of its outbox, or in memory.
pub(crate) struct Letters {
    shared: Arc<Shared>,
    /// The journal of a queue in memory, whose thread ends with it.
    memory: Option<Journal>,
}

impl Letters {
    /// The queue in the store of an outbox, if that has one.
    pub(crate) fn stored(journal: &Journal) -> Option<Self> {
        let shared = journal.shared();
        shared.letter_bounds().is_some().then_some(Self {
            shared,
            memory: None,
        })
    }

    /// A queue in memory.
    ///
    /// # Errors
    ///
    /// When there can be no thread for it.
    pub(crate) fn in_memory(bounds: DeadLetterBounds) -> Result<Self, StoreError> {
        let journal = Journal::new(JournalStart {
            capacity: Capacity::new(0, 0),
            next_place: 0,
            restored: 0,
            damaged: 0,
            letters: Some(bounds),
            absent: Duration::ZERO,
            tail: Tail::new(0),
            restored_bytes: 0,
        });
        let shared = journal.shared();
        let index = LetterIndex::new(bounds);
        Writer::start(
            Box::new(MemoryStore::default()),
            journal.shared(),
            Some(index),
        )?;
        Ok(Self {
            shared,
            memory: Some(journal),
        })
    }

    /// Keeps a letter. A message that was in the store becomes one in the same commit.
    pub(crate) fn keep(&self, letter: Letter, stored: Option<Stored>) {
        self.shared.keep_letter(letter, stored);
    }

    /// A letter that was delivered once more is handled, or a letter once more.
    pub(crate) fn remove(&self, id: u64) {
        self.shared.remove_letter(id);
    }

    pub(crate) fn figures(&self) -> LetterFigures {
        self.shared.letter_figures()
    }

    /// Nothing more is kept in memory.
    pub(crate) fn close(&self) {
        if let Some(journal) = &self.memory {
            journal.close();
        }
    }

    /// The letters that are meant, oldest first, at most so many.
    pub(crate) async fn list(
        &self,
        filter: LetterFilter,
        limit: usize,
    ) -> Result<Vec<KeptLetter>, StoreError> {
        let ask = |answer| LetterRequest::List {
            filter,
            limit,
            answer,
        };
        self.ask(ask).await
    }

    /// Removes the letters that are meant.
    pub(crate) async fn purge(&self, filter: LetterFilter) -> Result<usize, StoreError> {
        self.ask(|answer| LetterRequest::Purge { filter, answer })
            .await
    }

    /// Hands the letters that are meant to `take`.
    pub(crate) async fn redrive(
        &self,
        filter: LetterFilter,
        take: TakeRedrive<Stored>,
    ) -> Result<Redriven, StoreError> {
        let ask = |answer| LetterRequest::Redrive {
            filter,
            take,
            answer,
        };
        self.ask(ask).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> LetterRequest<Stored>,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let closed = || StoreError::new("the socket is closed, and its dead-letter queue with it");
        if !self.shared.request(request(sender)) {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Shared {
    pub(super) fn letter_bounds(&self) -> Option<DeadLetterBounds> {
        self.letters
    }

    /// False for a queue of dead letters that has no outbox.
    pub(super) fn stores_messages(&self) -> bool {
        self.capacity.messages > 0
    }

    /// A letter is to be kept, and its message, if it is in the store, is no message any more: both in one commit.
    pub(super) fn keep_letter(&self, letter: Letter, stored: Option<Stored>) {
        let mut state = self.state.lock();
        let bound = self.letters.map(|bounds| bounds.capacity);
        let waiting = Capacity::new(
            state.waiting_letters.messages + 1,
            state.waiting_letters.bytes + letter.cost(),
        );
        if !bound.is_some_and(|bound| waiting.is_within(bound)) {
            state.letters.discarded += 1;
        } else {
            state.waiting_letters = waiting;
            state.work.letters.push(letter);
        }
        self.remove(state, stored.as_ref());
    }

    /// A letter that was delivered once more has come to its end.
    pub(super) fn remove_letter(&self, id: u64) {
        let mut state = self.state.lock();
        state.letters.redriven += 1;
        state.work.letter_removals.push(id);
        self.remove(state, None);
    }

    /// The dead-letter queue is asked for something. False once it is closed.
    pub(super) fn request(&self, request: LetterRequest<Stored>) -> bool {
        let mut state = self.state.lock();
        if state.closing {
            return false;
        }
        state.work.requests.push(request);
        state.awaited = true;
        drop(state);
        self.work_or_end.notify_one();
        true
    }

    /// A dead letter is to be a message of the store, if there is room: an id for it, and its place.
    pub(super) fn admit_redriven(
        self: &Arc<Self>,
        payload: usize,
        peer: Option<Identity>,
    ) -> Option<(MessageId, Stored)> {
        let waits_until = peer.and_then(|_| clock::now().checked_add(self.absent));
        let mut state = self.state.lock();
        let admitted = self.admit(&mut state, payload, peer.is_none(), waits_until);
        let stored = admitted.ok()?;
        Some((self.id_of(stored.place), stored))
    }

    pub(super) fn note_letters(&self, load: (usize, usize), discarded: u64, redriven: u64) {
        let mut state = self.state.lock();
        let letters = &mut state.letters;
        (letters.kept, letters.bytes) = load;
        letters.discarded += discarded;
        letters.redriven += redriven;
    }

    pub(super) fn letter_figures(&self) -> LetterFigures {
        self.state.lock().letters
    }
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.figures().fmt(f)
    }
}
