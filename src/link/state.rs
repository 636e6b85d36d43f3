//! State of a link under its lock.

use super::block::FrameRoute;
use super::entry::Entry;
use super::full_links::RefusalPlace;
use super::in_flight::InFlight;
use super::limits::{Bound, Bounds};
use super::send_queue::SendQueue;
use super::trial_queue::TrialQueue;
use super::writer::Writer;
use crate::engine::Arrivals;
use crate::engine::pressure::{Fit, Pressure};
use crate::id::MessageId;
use crate::limits::{Capacity, DeliveryGuarantee};
use crate::wire::{self, Verdict};

/// The parts of a link that one lock guards.
#[derive(Debug)]
pub(super) struct LinkState {
    pub(super) phase: LinkPhase,
    /// The peer reads metadata: what begins as an envelope is one.
    pub(super) reads: bool,
    pub(super) bounds: Bounds,
    pub(super) queue: SendQueue,
    pub(super) in_flight: InFlight,
    pub(super) pressure: Pressure,
    pub(super) writer: Writer,
    /// While a message in turn has been refused, and no room has come since.
    pub(super) refusal: Option<RefusalPlace>,
    /// Messages that were written since the link was opened.
    pub(super) sent: u64,
    /// What the connection has brought, once anything has come that wants an acknowledgement.
    pub(super) arrivals: Option<Box<Arrivals>>,
    /// Messages that the connection has brought and whose acknowledgement the peer still waits for.
    pub(super) unanswered: usize,
    /// Messages that may be the reason why the peer ends its connections, if there are any.
    pub(super) trials: Option<Box<TrialQueue>>,
}

/// Where a link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkPhase {
    /// Takes and sends.
    Open,
    /// Takes nothing more, sends what it has, then ends the writing side.
    Finishing,
    /// The connection is gone, or about to be.
    Closed(CloseCause),
}

/// Why a link was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCause {
    /// The connection has ended, or the socket ends it.
    Ended,
    /// Its queue was full, under a policy that disconnects slow peers.
    Overflow,
    /// Both ends waited for each other, and no relief helped.
    Standstill,
}

/// Counts of a link.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct LinkCounts {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) resent: u64,
}

impl std::ops::AddAssign for LinkCounts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.resent += other.resent;
    }
}

/// Present content of a link.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct LinkLoad {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    pub(crate) unacknowledged: usize,
    pub(crate) unacknowledged_bytes: usize,
    /// Bytes of control frames that wait to be written.
    pub(crate) control_bytes: usize,
}

impl std::ops::AddAssign for LinkLoad {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.unacknowledged += other.unacknowledged;
        self.unacknowledged_bytes += other.unacknowledged_bytes;
        self.control_bytes += other.control_bytes;
    }
}

impl LinkState {
    /// Messages that the connection has brought are finished.
    #[inline]
    pub(super) fn note_finished(&mut self, ids: &[MessageId], verdict: Verdict) {
        self.unanswered = self.unanswered.saturating_sub(ids.len());
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.handle_finished(ids, verdict, self.bounds.remembered());
        }
    }

    pub(super) fn counts(&self) -> LinkCounts {
        LinkCounts {
            sent: self.sent,
            acknowledged: self.in_flight.acknowledged(),
            resent: self.in_flight.resent(),
        }
    }

    /// Queues a message that wants an acknowledgement.
    pub(super) fn queue_request(
        &mut self,
        id: MessageId,
        envelope: &[u8],
        entry: &Entry,
        route: FrameRoute,
    ) {
        let header = wire::data_req_header(id, envelope.len() + entry.payload.len());
        self.queue.push_wrapped(&header, envelope, entry, route);
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.phase == LinkPhase::Open
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.phase, LinkPhase::Closed(_))
    }

    /// Moves on to `phase`; the first cause of the end is the one that counts.
    pub(super) fn enter(&mut self, phase: LinkPhase) {
        if !self.is_closed() {
            self.phase = phase;
        }
    }

    #[inline]
    pub(super) fn has_room(&self, entry: &Entry, bound: Bound) -> bool {
        self.has_room_in(self.bounds.queue(), entry, bound)
    }

    /// True if a message has room, if the queue may hold so much.
    #[inline]
    pub(super) fn has_room_in(&self, queue: Capacity, entry: &Entry, bound: Bound) -> bool {
        let Some(factor) = bound.factor() else {
            return true;
        };
        let factor = factor.max(self.pressure.factor());
        self.queue.fits(entry.payload.len(), queue, factor) && self.fits_in_flight(entry, factor)
    }

    #[inline]
    fn fits_in_flight(&self, entry: &Entry, factor: usize) -> bool {
        match entry.guarantee {
            DeliveryGuarantee::AtMostOnce => true,
            DeliveryGuarantee::AtLeastOnce => {
                let bound = self.bounds.in_flight();
                self.in_flight.fits(entry.payload.len(), bound, factor)
                    && !self.waits_for_trials(factor)
            }
        }
    }

    /// True if what wants an acknowledgement, at `factor` times the bound, waits until suspects have been tried.
    #[inline]
    pub(super) fn waits_for_trials(&self, factor: usize) -> bool {
        let bound = self.bounds.in_flight();
        (self.trials.as_ref()).is_some_and(|trials| !trials.admit_another(bound, factor))
    }

    /// The room of the link for a message: it fits, or a part of the link is full.
    pub(super) fn fit(&self, queue: Capacity, entry: &Entry) -> Fit {
        if self.has_room_in(queue, entry, Bound::Link) {
            Fit::Fits
        } else if self.fits_in_flight(entry, 1) {
            Fit::QueueFull
        } else {
            Fit::InFlightFull
        }
    }

    /// True if a block without room for this message waits for a writer that is awake, and that the
    /// kernel has not stopped.
    #[inline]
    pub(super) fn has_work_for_writer(&self, entry: &Entry) -> bool {
        self.queue.begins_with_full_block(&entry.payload) && self.writer.is_running()
    }

    /// The link may have got room, or takes nothing more: senders in turn are to look at it again.
    #[inline]
    pub(super) fn note_room(&mut self) {
        if let Some(refusal) = self.refusal.take() {
            refusal.note_room();
        }
    }

    /// Messages that the peer has yet to take, or to acknowledge.
    pub(super) fn held(&self) -> usize {
        self.queue.frames() + self.in_flight.len()
    }
}
