//! Messages that may be the reason why the peer ends its connections: they are sent one at a time.

use std::time::Instant;

use super::attempt::Refused;
use super::entry::{Entry, take};
use super::limits::Bound;
use super::link::{Link, wake_writer};
use super::state::LinkState;
use crate::clock;
use crate::engine::{Blame, Standing};
use crate::sync::MutexGuard;

impl Link {
    /// True if the peer has ended connections on which this message was sent.
    #[inline]
    pub(crate) fn is_suspect_of(&self, entry: &Entry) -> bool {
        entry.blame_at(self.peer()).is_some()
    }

    /// True if the peer has ended so many connections on which this message was sent among others that it is to be sent when they
    /// are through.
    #[inline]
    pub(crate) fn hides_among_others(&self, entry: &Entry) -> bool {
        entry
            .blame_at(self.peer())
            .is_some_and(Blame::hides_among_others)
    }

    /// Takes a message that is under suspicion for this peer, whatever the room: it was accepted before.
    #[cold]
    pub(super) fn push_suspect(
        &self,
        entry: &mut Entry,
        standing: Standing,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        if !state.is_open() {
            return Err(Refused::Closed);
        }
        let trials = state.trials.get_or_insert_default();
        match standing {
            Standing::Apart(quiet) => trials.apart.push((clock::now() + quiet, take(entry))),
            Standing::Alone | Standing::Free => trials.waiting.push_back(take(entry)),
        }
        self.clock().request_sweep();
        // What it would free is taken: by this message, or by the sweep that it asks for.
        let _ = self.go_on_with_trials(state);
        Ok(())
    }

    /// Sends the next suspect, if nothing is in flight any more. True if none is left that keeps others waiting,
    /// which the caller announces.
    #[cold]
    #[must_use]
    pub(super) fn go_on_with_trials(&self, mut state: MutexGuard<'_, LinkState>) -> bool {
        let mut freed = false;
        if state.in_flight.len() == 0
            && state.is_open()
            && let Some(trials) = &mut state.trials
        {
            freed = trials.block_others() && trials.waiting.is_empty();
            let now = clock::now();
            trials.end_trial(now);
            let next = trials.waiting.pop_front();
            trials.began = next.is_some().then_some(now);
            match next {
                Some(mut entry) => self.queue(&mut state, &mut entry, Bound::Unlimited),
                None => {
                    if trials.apart.is_empty() {
                        state.trials = None;
                    }
                    state.note_room();
                }
            }
        }
        wake_writer(state);
        freed
    }

    /// The connection lasts: those that were set apart for so long have their last trial. Yields true if nobody waits
    /// for a trial any more, which the caller announces, and those that have expired meanwhile, whose room is free as well.
    #[cold]
    pub(crate) fn sweep_trials(&self, now: Instant) -> (bool, Vec<Entry>) {
        let mut state = self.lock();
        let Some(trials) = &mut state.trials else {
            return (false, Vec::new());
        };
        let expired = trials.take_expired(now);
        if trials.began.is_none() {
            let peer = self.peer();
            for (until, mut entry) in std::mem::take(&mut trials.apart) {
                if until > now {
                    trials.apart.push((until, entry));
                } else {
                    entry.blame_of(peer).handle_quiet();
                    trials.waiting.push_back(entry);
                }
            }
        }
        if !expired.is_empty() {
            state.note_room();
        }
        (self.go_on_with_trials(state), expired)
    }
}
