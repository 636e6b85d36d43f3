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
use super::journal_start::JournalStart;
use super::letter::Letter;
use super::letter_index::DeadLetterBounds;
use super::letter_request::LetterRequest;
use super::record::{Record, cost};
use super::tail::{Page, Residence, Tail};
use super::window::WindowChange;
use crate::clock;
use crate::error::StoreError;
use crate::id::{ID_BYTES, MessageId};
use crate::limits::Capacity;
use crate::sync::{AtomicBool, WaitQueue};

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
    residence: Residence,
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
    /// What is to come into memory then.
    pub(super) page: Option<Page>,
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
            page,
        } = more;
        self.page = self.page.or(page.take());
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
    pub(super) due: Option<Instant>,
    next_place: u64,
    /// Messages and bytes that are stored, or will be.
    messages: usize,
    bytes: usize,
    /// Those of them that are not in memory.
    pub(super) tail: Tail,
    pub(super) closing: bool,
    /// The error of the last commit, if it failed.
    pub(super) failure: Option<StoreError>,
    pub(super) commits: u64,
    /// Records that could not be read, at the start or when their turn came.
    pub(super) damaged: usize,
    pub(super) letters: LetterFigures,
    /// The letters among `work`, and their bytes.
    pub(super) waiting_letters: Capacity,
}

impl State {
    /// The place of one more message, which counts from now on.
    fn take_place(&mut self, cost: usize, by_mode: bool) -> (u64, Residence) {
        self.messages += 1;
        self.bytes += cost;
        let place = self.next_place;
        self.next_place += 1;
        let residence = match by_mode {
            true => self.tail.admit(place, cost),
            false => Residence::Apart,
        };
        (place, residence)
    }

    /// A message has come to its end, and counts no longer.
    fn end(&mut self, place: u64, cost: usize, residence: Residence) {
        if !self.tail.has_lost(residence, place) {
            self.count_out(1, cost);
            self.tail.remove(residence, place, cost);
        }
    }

    pub(super) fn count_out(&mut self, messages: usize, bytes: usize) {
        // A store that lost a record has it counted out with its page, and again when it ends in memory.
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The way of messages into a store. Dropping it lets the thread finish what it has and end.
pub(crate) struct Journal {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) work_or_end: Condvar,
    pub(super) room: WaitQueue,
    pub(super) capacity: Capacity,
    /// Half of each id, which no other start of the socket has.
    start: [u8; ID_BYTES / 2],
    /// True once the thread has ended, and the store is closed.
    pub(super) ended: watch::Sender<bool>,
    restored: usize,
    /// Bounds of the dead letters that it keeps, if it keeps any.
    pub(super) letters: Option<DeadLetterBounds>,
    /// For how long a dead letter that is sent once more waits for its peer.
    pub(super) absent: Duration,
    /// Who is told that commits fail, and that they succeed again.
    pub(super) watcher: OnceLock<FailureWatcher>,
    /// Who takes what comes into memory.
    pub(super) page_taker: OnceLock<PageTaker>,
    /// True while some messages are not in memory.
    pub(super) has_tail: AtomicBool,
}

/// Is told the error when commits begin to fail, and `None` when they succeed again.
pub(crate) type FailureWatcher = Box<dyn Fn(Option<StoreError>) + Send + Sync>;

/// Takes the messages of the tail whose turn it is, on the thread of the store and with no lock held.
pub(crate) type PageTaker = Box<dyn Fn(Paged) + Send + Sync>;

/// The next of a page.
pub(crate) enum Paged {
    Message(Record, Stored),
    /// The record at this place cannot be read.
    Unreadable(u64),
    End,
}

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
    pub(super) residence: Residence,
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
            tail,
            restored_bytes,
        } = start;
        let random = MessageId::random();
        let (start, _) = random
            .as_bytes()
            .split_first_chunk()
            .expect("an id is longer");
        Self {
            shared: Arc::new(Shared {
                has_tail: AtomicBool::new(!tail.is_empty()),
                state: Mutex::new(State {
                    next_place,
                    messages: restored,
                    bytes: restored_bytes,
                    tail,
                    damaged,
                    ..State::default()
                }),
                work_or_end: Condvar::new(),
                room: WaitQueue::new(),
                capacity,
                start: *start,
                ended: watch::Sender::new(false),
                restored,
                letters,
                absent,
                watcher: OnceLock::new(),
                page_taker: OnceLock::new(),
            }),
        }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Where senders wait for room.
    pub(crate) fn room(&self) -> &WaitQueue {
        &self.shared.room
    }

    /// A message is to be stored, `by_mode` or for a peer. If it is `awaited`, somebody is to be told what came of it: `make` yields it
    /// and how.
    pub(crate) fn add(
        &self,
        payload: usize,
        by_mode: bool,
        waits_until: Option<Instant>,
        awaited: bool,
        make: impl FnOnce(Stored, MessageId) -> (Record, Option<WhenDone>),
    ) -> Result<(), JournalRefusal> {
        let mut state = self.shared.state.lock();
        if let Some(failure) = state.failure.as_ref().filter(|_| !awaited) {
            return Err(JournalRefusal::Failing(failure.clone()));
        }
        let stored = (self.shared).admit(&mut state, payload, by_mode, waits_until)?;
        let (place, cost, residence) = (stored.place, stored.cost, stored.residence);
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
            residence,
        });
        drop(state);
        self.shared.work_or_end.notify_one();
        Ok(())
    }

    /// A message that was found in the store.
    pub(crate) fn restored(
        &self,
        place: u64,
        record: &Record,
        waits_until: Option<Instant>,
    ) -> Stored {
        let residence = match record.peer {
            None => self.shared.state.lock().tail.residence_of(place),
            Some(_) => Residence::Apart,
        };
        Stored {
            place,
            cost: record.cost(),
            residence,
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
            damaged: state.damaged,
            tail: state.tail.load(),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Stored {
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    /// True if the message comes into memory only when its turn comes.
    pub(crate) fn is_in_tail(&self) -> bool {
        self.residence == Residence::Tail
    }

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
            state.end(stored.place, stored.cost, stored.residence);
            state.work.removals.push(stored.place);
            state.awaited |= state.tail.ask(false);
            self.note_end_of_tail(&state);
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

    /// A message is to be in the store, if there is room: its place there. It counts from now on.
    pub(super) fn admit(
        self: &Arc<Self>,
        state: &mut State,
        payload: usize,
        by_mode: bool,
        waits_until: Option<Instant>,
    ) -> Result<Stored, JournalRefusal> {
        let cost = cost(payload);
        self.check_room(state, cost)?;
        let (place, residence) = state.take_place(cost, by_mode);
        self.note_tail(residence);
        Ok(Stored {
            place,
            cost,
            residence,
            shared: Arc::clone(self),
            waits_until,
        })
    }

    /// Says why a message is not taken, if it is not.
    fn check_room(&self, state: &State, cost: usize) -> Result<(), JournalRefusal> {
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
        work.page = work.page.or_else(|| state.tail.begin_page());
        state.waiting_letters = Capacity::new(0, 0);
        state.awaited = false;
        state.due = None;
        let goes_on = !state.closing;
        drop(state);
        self.room.notify();
        goes_on
    }

    /// Messages that somebody waited for, and that were not committed, make room.
    pub(super) fn give_up(&self, failed: &[Addition]) {
        let mut state = self.state.lock();
        for addition in failed {
            state.end(addition.place, addition.cost, addition.residence);
        }
        // What stands behind them may have been waiting for them alone.
        state.awaited |= state.tail.ask(false);
        self.note_end_of_tail(&state);
        drop(state);
        self.room.notify();
    }

    pub(super) fn count_commits(&self, commits: u64) {
        self.state.lock().commits += commits;
    }
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
