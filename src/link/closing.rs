//! The end of a link, and what it leaves.

use std::collections::{HashSet, VecDeque};
use std::task::Waker;
use std::time::Instant;

use super::block::Unwritten;
use super::entry::Entry;
use super::in_flight::InFlight;
use super::link::Link;
use super::resend_ring::Unacknowledged;
use super::state::{CloseCause, LinkCounts, LinkPhase};
use super::uptime::Uptime;
use super::write_batch::WriteBatch;
use crate::engine::{PeerEnd, Written};
use crate::id::{Identity, MessageId};

/// The remains of a closed link, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Transmitted or not, but not acknowledged.
    pub(crate) unacknowledged: VecDeque<Unacknowledged>,
    /// At most once, and handed to the kernel in part.
    pub(crate) half_written: Option<Entry>,
    /// At most once, and not handed to the kernel.
    pub(crate) unsent: VecDeque<Entry>,
    /// When the message was queued that was alone in flight for its trial.
    trial_began: Option<Instant>,
    /// The peer's messages had to wait for it to read our replies, and need wait no longer.
    pub(crate) relieved: bool,
    pub(crate) counts: LinkCounts,
}

impl Link {
    /// Takes nothing more; the writer ends its side when everything is written.
    pub(crate) fn finish(&self) {
        self.end(LinkPhase::Finishing);
    }

    /// Ends the connection as soon as its writer looks.
    pub(crate) fn abort(&self) {
        self.end(LinkPhase::Closed(CloseCause::Ended));
    }

    pub(super) fn end(&self, phase: LinkPhase) {
        let mut state = self.lock();
        state.enter(phase);
        state.note_room();
        let wakers = [state.writer.take_parked(), state.writer.take_blocked()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.room.notify_all();
    }

    /// True if the link takes nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        !self.lock().is_open()
    }

    /// Why the connection is over, once it is.
    pub(crate) fn close_cause(&self) -> Option<CloseCause> {
        match self.lock().phase {
            LinkPhase::Open | LinkPhase::Finishing => None,
            LinkPhase::Closed(cause) => Some(cause),
        }
    }

    /// The connection is gone: takes nothing from now on and gives back what it had accepted. The
    /// caller holds the lock of the table, which those who wait for room take in their turn: they
    /// are told once it is free.
    pub(crate) fn close(&self, mut batch: WriteBatch) -> Leftovers {
        let mut leftovers = Leftovers::default();
        let peer = self.peer();
        let mut state = self.lock();
        state.enter(LinkPhase::Closed(CloseCause::Ended));
        state.note_room();
        state.writer.forget();
        leftovers.relieved = self.forgive();
        state
            .in_flight
            .take_all(peer, &mut leftovers.unacknowledged);
        let trials = state.trials.take();
        leftovers.trial_began = trials.as_ref().and_then(|trials| trials.began);
        let blocks = state.queue.take_all();
        leftovers.counts = state.counts();
        (state.sent, state.in_flight) = (0, InFlight::default());
        state.arrivals = None;
        drop(state);
        let mut unwritten = Unwritten::default();
        let written = batch.written.saturating_sub(batch.control.len());
        if let Some(block) = batch.finish() {
            let all = block.frames();
            block.into_unsent(written, peer, &mut unwritten);
            leftovers.counts.sent += all.saturating_sub(unwritten.frames) as u64;
        }
        for block in blocks {
            block.into_unsent(0, peer, &mut unwritten);
        }
        leftovers.take_unwritten(unwritten);
        let unsent_suspects = trials.into_iter().flat_map(|trials| trials.into_entries());
        leftovers
            .unacknowledged
            .extend(unsent_suspects.map(Unacknowledged::unsent));
        leftovers
    }
}

impl Leftovers {
    fn take_unwritten(&mut self, unwritten: Unwritten) {
        self.unsent = unwritten.messages;
        self.half_written = unwritten.half_written;
        if unwritten.requests.is_empty() {
            return;
        }
        let requests: HashSet<MessageId> = unwritten.requests.into_iter().collect();
        for left in &mut self.unacknowledged {
            let id = left.entry.extras.as_ref().and_then(|extras| extras.id);
            let queued = id.is_some_and(|id| requests.contains(&id));
            left.transmissions -= u32::from(queued);
        }
    }

    /// How the end of the connection by its peer tells for or against each message, in order.
    pub(crate) fn peer_ends(&self, peer: Identity, now: Instant, uptime: Uptime) -> Vec<PeerEnd> {
        let was_sent = |left: &&Unacknowledged| left.transmissions > 0;
        let mut all = Written::default();
        for left in self.unacknowledged.iter().filter(was_sent) {
            all.messages += 1;
            all.suspects += usize::from(left.entry.suspicion_at(peer).is_some());
        }
        let end = |left: &Unacknowledged| match left.transmissions {
            0 => all.end_of_others(),
            _ => all.end(|| match self.trial_began {
                Some(began) => now.saturating_duration_since(began),
                None => uptime.saturating_sub(left.sent),
            }),
        };
        self.unacknowledged.iter().map(end).collect()
    }
}
