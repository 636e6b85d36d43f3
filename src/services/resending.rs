//! Sends tells again that their instances have not handled.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::followed::{Followed, Pick};
use super::member::Purpose;
use super::returned::{ReturnedTell, ReturnedTells};
use crate::clock::sooner;
use crate::link::{Entry, Link};

/// What became of an attempt to send a message that has come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is on its way, or will never be.
    Done,
    /// There is no room now.
    Later,
}

impl Followed {
    /// A message has come back from an instance that has not handled it.
    pub(super) fn take_back(&self, tell: ReturnedTell) {
        self.state.lock().returned.push(tell);
    }

    /// Takes a message that was a dead letter, behind those that have come back. False if there are many of them, or if the socket is not
    /// `open`, which is looked at under the lock: what is in here when the socket closes is a dead letter again.
    pub(super) fn take_redriven(&self, entry: Entry, open: impl FnOnce() -> bool) -> bool {
        let mut state = self.state.lock();
        let takes = !state.returned.are_many() && open();
        if takes {
            state.returned.push(ReturnedTell::unhandled(entry));
        }
        takes
    }

    /// True while it must not be forgotten: it was offered, or has messages.
    pub(super) fn is_needed(&self) -> bool {
        let state = self.state.lock();
        state.was_offered || !state.returned.is_empty()
    }

    /// Messages that have come back and wait, and their bytes.
    pub(crate) fn returned(&self) -> (usize, usize) {
        self.state.lock().returned.load()
    }

    /// Takes out all messages that have come back, as when the socket closes.
    pub(super) fn take_returned(&self) -> Vec<ReturnedTell> {
        self.state.lock().returned.take_all()
    }

    /// Sends messages that have come back, each by `push`, to its instance if that is there again, or else to the one that
    /// is chosen now. Yields when there is more to do.
    pub(super) fn send_returned(
        self: &Arc<Self>,
        now: Instant,
        mut push: impl FnMut(Option<&Link>, &mut ReturnedTell) -> Sent,
    ) -> Option<Instant> {
        let mut state = self.state.lock();
        let mut waiting = state.returned.take_all();
        if waiting.is_empty() {
            return None;
        }
        state.resending = waiting.iter().map(ReturnedTell::key).collect();
        drop(state);
        let before = waiting.len();
        let mut kept = ReturnedTells::default();
        // Keys of which one waits, that the others must not overtake.
        let mut held_back = HashSet::new();
        let mut next = None;
        for mut tell in waiting.drain(..) {
            let link = match held_back.contains(&tell.key()) {
                true => None,
                false => self.link_for(&tell, now),
            };
            // Also without an instance: its time may be over.
            if push(link.as_deref(), &mut tell) == Sent::Later {
                sooner(&mut next, Some(tell.next_attempt(now)));
                held_back.insert(tell.key());
                kept.push(tell);
            }
        }
        let has_sent = kept.load().0 < before;
        let mut state = self.state.lock();
        // What came back meanwhile is behind.
        for tell in state.returned.take_all() {
            kept.push(tell);
        }
        state.returned = kept;
        state.resending.clear();
        let goes_on = has_sent && std::mem::take(&mut state.kept_back);
        drop(state);
        if goes_on {
            self.changed.notify_waiters();
        }
        next
    }

    fn link_for(self: &Arc<Self>, tell: &ReturnedTell, now: Instant) -> Option<Arc<Link>> {
        if let Some(start) = tell.home(now) {
            let state = self.state.lock();
            let mut members = state.members.iter();
            let same = members.find(|m| m.start == start && m.instance.may_be_asked());
            return same.map(|member| Arc::clone(&member.link));
        }
        match self.choose_in(self.state.lock(), tell.key(), Purpose::Tell, |_| false) {
            Pick::Instance(picked) => Some(Arc::clone(picked.link())),
            Pick::Busy { .. } | Pick::Nobody => None,
        }
    }
}
