//! The peer of a link as a subscriber that publishers wait for: it carries out what
//! [`Pressure`](crate::engine::pressure::Pressure) decides.

use std::time::Duration;

use super::entry::Entry;
use super::link::Link;
use crate::engine::pressure::{Tolerance, Verdict};
use crate::sync::Ordering;

/// A link that has no room for a published message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FullLink {
    pub(crate) verdict: Verdict,
    /// How long such messages have waited for it lately, if that is to be told.
    pub(crate) noticed: Option<Duration>,
}

impl Link {
    /// What is to be done about the link, if it has no room for a published message.
    pub(crate) fn full_for(
        &self,
        entry: &Entry,
        now: Duration,
        tolerance: Tolerance,
    ) -> Option<FullLink> {
        let mut state = self.lock();
        if self.takes(&state, entry) != Some(false) {
            return None;
        }
        self.waited_for.store(true, Ordering::Relaxed);
        let (noticed, verdict) = state.pressure.handle_full(now, tolerance);
        Some(FullLink { verdict, noticed })
    }

    /// Nobody waits for the link until it has drained to half, or its peer shows signs of life: meanwhile
    /// the oldest messages are dropped where there is no room.
    pub(crate) fn give_up(&self, now: Duration) {
        self.lock().pressure.give_up(now);
    }

    /// Whether publishers wait for the peer, so that its signs of life are told.
    #[inline]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waited_for.load(Ordering::Relaxed)
    }

    /// The kernel took so many bytes for the peer.
    #[cold]
    pub(crate) fn note_accepted(&self, now: Duration, bytes: usize) {
        self.state.lock().pressure.handle_sign_of_life(now, bytes);
    }

    /// The peer's handlers were through with so many messages of this connection (WIRE §10, TAKEN).
    pub(crate) fn note_taken(&self, now: Duration, messages: u64) {
        if self.is_waited_for() {
            self.state.lock().pressure.handle_taken(now, messages);
        }
    }

    /// Our handlers were through with so many more messages of the peer.
    #[inline]
    pub(crate) fn note_handled(&self, messages: usize) {
        self.peer.note_handled(messages);
    }

    /// Messages of the peer that our handlers were through with, on this connection.
    pub(crate) fn handled(&self) -> u64 {
        self.peer.handled()
    }

    /// How long published messages have waited for the peer: lately, and in all.
    pub(crate) fn waited(&self, now: Duration) -> (Duration, Duration) {
        self.state.lock().pressure.waited(now)
    }
}
