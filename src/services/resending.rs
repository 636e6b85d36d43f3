//! Sends tells again that their instances have not handled.

use std::sync::Arc;
use std::time::Instant;

use super::followed::{Followed, Pick};
use super::offers::sooner;
use super::returned::{ReturnedTell, ReturnedTells};
use crate::link::Link;

/// What became of an attempt to send a message that has come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is on its way, or will never be.
    Done,
    /// There is no room now.
    Later,
}

impl Followed {
    /// Messages have come back from an instance that has not handled them.
    pub(super) fn take_back(&self, tells: Vec<ReturnedTell>) {
        self.state.lock().returned.extend(tells);
    }

    /// Messages that have come back and wait.
    pub(crate) fn returned(&self) -> usize {
        self.state.lock().returned.len()
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
        mut push: impl FnMut(&Link, &mut ReturnedTell) -> Sent,
    ) -> Option<Instant> {
        let mut waiting = self.take_returned();
        if waiting.is_empty() {
            return None;
        }
        let mut kept = ReturnedTells::default();
        let mut next = None;
        for mut tell in waiting.drain(..) {
            if kept.holds_back(&tell) {
                kept.push(tell);
                continue;
            }
            let sent = match self.link_for(&tell, now) {
                Some(link) => push(&link, &mut tell),
                None => Sent::Later,
            };
            if sent == Sent::Later {
                sooner(&mut next, Some(tell.next_attempt(now)));
                kept.push(tell);
            }
        }
        let mut state = self.state.lock();
        // What came back meanwhile is behind.
        kept.extend(state.returned.take_all());
        state.returned = kept;
        let is_empty = state.returned.is_empty();
        drop(state);
        if is_empty {
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
        match self.choose(tell.key(), |_| false) {
            Pick::Instance(picked) => Some(Arc::clone(picked.link())),
            Pick::Busy { .. } | Pick::Nobody => None,
        }
    }
}
