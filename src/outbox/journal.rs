//! The journal of a socket: messages on their way into the store, and out of it.
//!
//! One thread has the store. While it commits, others put down what is to be done next, and all of that is one
//! commit then: as many senders as wait share the time of one.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{oneshot, watch};

use super::figures::{JournalFigures, LetterFigures};
use super::letter::Letter;
use super::letter_index::DeadLetterBounds;
use super::letter_request::LetterRequest;
use super::record::Record;
use super::window::WindowChange;
use crate::clock;
use crate::error::StoreError;
use crate::id::{ID_BYTES, MessageId};
use crate::limits::Capacity;
use crate::sync::WaitQueue;

/// For how long what nobody waits for may be uncommitted: removals, and messages of [`Durability::Eventually`](super::Durability).
pub(super) const WINDOW: Duration = Duration::from_millis(50);

/// What is to be done when a message is committed, or cannot be.
pub(crate) type WhenDone = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Whom to tell which messages are stored.
pub(super) struct Listing {
    pub(super) limit: usize,
    pub(super) found: oneshot::Sender<Result<Vec<Record>, StoreError>>,
}

/// A message that is to be committed.
pub(super) struct Addition {
    pub(super) place: u64,
    pub(super) record: Record,
    /// `None` if nobody waits for it. It is then tried until it succeeds.
    pub(super) when_done: Option<WhenDone>,
    cost: usize,
}

/// What the thread takes at a time.
#[derive(Default)]
pub(super) struct Work {
    pub(super) additions: Vec<Addition>,
    pub(super) removals: Vec<u64>,
    /// Dead letters that are to be kept, and ids of those that are to go.
    pub(super) letters: Vec<Letter>,
    pub(super) letter_removals: Vec<u64>,
    /// Letters that are to be there, whatever a commit that failed has made of them.
    pub(super) letters_again: Vec<(u64, Letter)>,
    /// In the order in which they were made; they are tried until they succeed.
    pub(super) window: Vec<WindowChange>,
    /// Who is told once all of that is committed.
    pub(super) listings: Vec<Listing>,
    pub(super) requests: Vec<LetterRequest<Stored>>,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.additions.is_empty()
            && self.removals.is_empty()
            && self.letters.is_empty()
            && self.letter_removals.is_empty()
            && self.letters_again.is_empty()
            && self.window.is_empty()
    }

    /// Takes over what `more` asks for.
    fn append(&mut self, more: &mut Self) {
        let Self {
            additions,
            removals,
            letters,
            letter_removals,
            letters_again,
            window,
            listings,
            requests,
        } = more;
        self.additions.append(additions);
        self.removals.append(removals);
        self.letters.append(letters);
        self.letter_removals.append(letter_removals);
        self.letters_again.append(letters_again);
        self.window.append(window);
        self.listings.append(listings);
        self.requests.append(requests);
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) work: Work,
    /// True if somebody waits for `work`.
    pub(super) awaited: bool,
    /// When `work` is due otherwise.
    due: Option<Instant>,
    next_place: u64,
    /// Messages and bytes that are stored, or will be.
    messages: usize,
    bytes: usize,
    pub(super) closing: bool,
    /// The error of the last commit, if it failed.
    failure: Option<StoreError>,
    commits: u64,
    pub(super) letters: LetterFigures,
    /// The letters among `work`, and their bytes.
    pub(super) waiting_letters: Capacity,
}

impl State {
    /// The place of one more message, which counts from now on.
    pub(super) fn take_place(&mut self, cost: usize) -> u64 {
        self.messages += 1;
        self.bytes += cost;
        self.next_place += 1;
        self.next_place - 1
    }

    /// A message no longer counts: it is to be removed.
    fn remove(&mut self, stored: &Stored) {
        self.messages -= 1;
        self.bytes -= stored.cost;
        self.work.removals.push(stored.place);
    }
}

/// The way of messages into a store. Dropping it lets the thread finish what it has and end.
pub(crate) struct Journal {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) work_or_end: Condvar,
    room: WaitQueue,
    pub(super) capacity: Capacity,
    /// Half of each id, which no other start of the socket has.
    start: [u8; ID_BYTES / 2],
    /// True once the thread has ended, and the store is closed.
    ended: watch::Sender<bool>,
    restored: usize,
    damaged: usize,
    /// Bounds of the dead letters that it keeps, if it keeps any.
    pub(super) letters: Option<DeadLetterBounds>,
    /// For how long a dead letter that is sent once more waits for its peer.
    pub(super) absent: Duration,
    /// Who is told that commits fail, and that they succeed again.
    watcher: OnceLock<FailureWatcher>,
}

/// A journal as it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct JournalStart {
    pub(super) capacity: Capacity,
    pub(super) next_place: u64,
    pub(super) restored: usize,
    pub(super) damaged: usize,
    pub(super) letters: Option<DeadLetterBounds>,
    pub(super) absent: Duration,
}

/// Is told the error when commits begin to fail, and `None` when they succeed again.
pub(crate) type FailureWatcher = Box<dyn Fn(Option<StoreError>) + Send + Sync>;

/// Why a message does not enter the journal.
#[derive(Debug)]
pub(crate) enum JournalRefusal {
    Full,
    Closed,
    /// The last commit failed, and the message would have waited for none.
    Failing(StoreError),
}

/// A message in the store.
pub(crate) struct Stored {
    pub(super) place: u64,
    pub(super) cost: usize,
    pub(super) shared: Arc<Shared>,
    /// Until when it waits for a peer that is not connected.
    pub(crate) waits_until: Option<Instant>,
}

impl Journal {
    pub(super) fn new(start: JournalStart) -> Self {
        let JournalStart {
            capacity,
            next_place,
            restored,
            damaged,
            letters,
            absent,
        } = start;
        let random = MessageId::random();
        let (start, _) = random
            .as_bytes()
            .split_first_chunk()
            .expect("an id is longer");
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    next_place,
                    ..State::default()
                }),
                work_or_end: Condvar::new(),
                room: WaitQueue::new(),
                capacity,
                start: *start,
                ended: watch::Sender::new(false),
                restored,
                damaged,
                letters,
                absent,
                watcher: OnceLock::new(),
            }),
        }
    }

    /// From now on, and only once, somebody is told when commits fail and when they succeed again: by the thread, with no
    /// lock held.
    pub(crate) fn watch_failures(&self, watcher: FailureWatcher) {
        // There is one socket.
        let _ = self.shared.watcher.set(watcher);
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Where senders wait for room.
    pub(crate) fn room(&self) -> &WaitQueue {
        &self.shared.room
    }

    /// A message is to be stored. If it is `awaited`, somebody is to be told what came of it: `make` yields it and how.
    pub(crate) fn add(
        &self,
        payload: usize,
        waits_until: Option<Instant>,
        awaited: bool,
        make: impl FnOnce(Stored, MessageId) -> (Record, Option<WhenDone>),
    ) -> Result<(), JournalRefusal> {
        let cost = cost(payload);
        let mut state = self.shared.state.lock();
        self.shared.check_room(&state, cost)?;
        if !awaited && let Some(failure) = &state.failure {
            return Err(JournalRefusal::Failing(failure.clone()));
        }
        let place = state.take_place(cost);
        let stored = self.stored(place, cost, waits_until);
        let (record, when_done) = make(stored, self.shared.id_of(place));
        if when_done.is_some() {
            state.awaited = true;
        } else {
            state.due.get_or_insert_with(|| clock::machine() + WINDOW);
        }
        state.work.additions.push(Addition {
            place,
            record,
            when_done,
            cost,
        });
        drop(state);
        self.shared.work_or_end.notify_one();
        Ok(())
    }

    /// A message that was found in the store.
    pub(crate) fn restored(
        &self,
        place: u64,
        payload: usize,
        waits_until: Option<Instant>,
    ) -> Stored {
        let cost = cost(payload);
        let mut state = self.shared.state.lock();
        state.messages += 1;
        state.bytes += cost;
        self.stored(place, cost, waits_until)
    }

    fn stored(&self, place: u64, cost: usize, waits_until: Option<Instant>) -> Stored {
        Stored {
            place,
            cost,
            shared: Arc::clone(&self.shared),
            waits_until,
        }
    }

    pub(crate) fn figures(&self) -> JournalFigures {
        let state = self.shared.state.lock();
        JournalFigures {
            messages: state.messages,
            bytes: state.bytes,
            commits: state.commits,
            failing: state.failure.is_some(),
            restored: self.shared.restored,
            damaged: self.shared.damaged,
        }
    }

    /// The messages that are stored, in their order, at most so many.
    pub(crate) async fn list(&self, limit: usize) -> Result<Vec<Record>, StoreError> {
        let (found, answer) = oneshot::channel();
        let closed = || StoreError::new("the outbox is closed");
        {
            let mut state = self.shared.state.lock();
            if state.closing {
                return Err(closed());
            }
            state.work.listings.push(Listing { limit, found });
            state.awaited = true;
        }
        self.shared.work_or_end.notify_one();
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Nothing more is taken; the thread commits what it has, closes the store and ends.
    pub(crate) fn close(&self) {
        self.shared.state.lock().closing = true;
        self.shared.work_or_end.notify_one();
        self.shared.room.notify_all();
    }

    /// Waits until the store is closed.
    pub(crate) async fn closed(&self) {
        let mut ended = self.shared.ended.subscribe();
        // The sender is here.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Stored {
    /// The message has come to its end: it leaves the store.
    pub(crate) fn remove(self) {
        let state = self.shared.state.lock();
        self.shared.remove(state, Some(&self));
    }
}

impl Shared {
    /// A message is removed, if there is one, with what else is to be done soon.
    pub(super) fn remove(&self, mut state: MutexGuard<'_, State>, stored: Option<&Stored>) {
        if let Some(stored) = stored {
            state.remove(stored);
        }
        let first = state.due.is_none();
        state.due.get_or_insert_with(|| clock::machine() + WINDOW);
        // The thread tells who waits for room, because the caller may hold locks that those take.
        let hurry = !self.room.is_empty();
        state.awaited |= hurry;
        drop(state);
        if first || hurry {
            self.work_or_end.notify_one();
        }
    }

    /// Says why a message is not taken, if it is not.
    pub(super) fn check_room(&self, state: &State, cost: usize) -> Result<(), JournalRefusal> {
        if state.closing {
            return Err(JournalRefusal::Closed);
        }
        let fits =
            state.messages < self.capacity.messages && state.bytes + cost <= self.capacity.bytes;
        match state.messages > 0 && !fits {
            true => Err(JournalRefusal::Full),
            false => Ok(()),
        }
    }

    /// The id of a message: its place, and what this start alone has.
    pub(super) fn id_of(&self, place: u64) -> MessageId {
        let mut bytes = [0; ID_BYTES];
        bytes[..8].copy_from_slice(&self.start);
        bytes[8..].copy_from_slice(&place.to_be_bytes());
        MessageId::from_bytes(bytes)
    }

    /// Waits for work, and takes all there is. False if it is the last.
    pub(super) fn next(&self, retry: Option<Instant>, work: &mut Work) -> bool {
        let mut state = self.state.lock();
        loop {
            let due = [state.due, retry].into_iter().flatten().min();
            let now = clock::machine();
            if state.awaited || state.closing || due.is_some_and(|due| due <= now) {
                break;
            }
            match due {
                Some(due) => {
                    self.work_or_end.wait_until(&mut state, due);
                }
                None => self.work_or_end.wait(&mut state),
            }
        }
        work.append(&mut state.work);
        state.waiting_letters = Capacity::new(0, 0);
        state.awaited = false;
        state.due = None;
        let goes_on = !state.closing;
        drop(state);
        self.room.notify();
        goes_on
    }

    /// The dedupe window changes. What nobody waits for may take a while.
    pub(super) fn change_window(&self, change: WindowChange) {
        let mut state = self.state.lock();
        if state.closing {
            return;
        }
        if change.when_done.is_some() {
            state.awaited = true;
        } else {
            state.due.get_or_insert_with(|| clock::machine() + WINDOW);
        }
        state.work.window.push(change);
        drop(state);
        self.work_or_end.notify_one();
    }

    /// Everything is committed.
    pub(super) fn note_commit(&self) {
        let mut state = self.state.lock();
        state.commits += 1;
        if state.failure.take().is_some() {
            drop(state);
            tracing::info!("the outbox stores messages again");
            self.tell_watcher(None);
        }
    }

    /// A commit failed.
    pub(super) fn note_failure(&self, error: &StoreError) {
        let mut state = self.state.lock();
        if state.failure.replace(error.clone()).is_none() {
            drop(state);
            tracing::warn!(%error, "the outbox cannot store messages: sends at least once fail until it can");
            self.tell_watcher(Some(error.clone()));
        }
    }

    fn tell_watcher(&self, failure: Option<StoreError>) {
        if let Some(watcher) = self.watcher.get() {
            watcher(failure);
        }
    }

    /// Messages that somebody waited for, and that were not committed, make room.
    pub(super) fn give_up(&self, failed: &[Addition]) {
        let mut state = self.state.lock();
        state.messages -= failed.len();
        state.bytes -= failed.iter().map(|addition| addition.cost).sum::<usize>();
        drop(state);
        self.room.notify();
    }

    pub(super) fn note_end(&self) {
        self.ended.send_replace(true);
    }
}

/// Bytes that a message counts as.
pub(super) fn cost(payload: usize) -> usize {
    payload + 64
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures().fmt(f)
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
