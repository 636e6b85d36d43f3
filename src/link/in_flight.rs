//! The messages of a link whose acknowledgement is due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::entry::{Entry, Extras};
pub(crate) use super::resend_ring::GivenUp;
use super::resend_ring::{Due, ResendRing, Unacknowledged};
use super::uptime::Uptime;
use crate::id::{Identity, MessageId};
use crate::limits::Capacity;

/// Messages that are kept until they are acknowledged. A link takes its memory for them when the first one
/// is sent.
#[derive(Debug, Default)]
pub(super) struct InFlight(Option<Box<ResendRing>>);

impl InFlight {
    /// Messages whose acknowledgement is due.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |ring| ring.len())
    }

    /// Messages that were acknowledged since the link was opened.
    pub(super) fn acknowledged(&self) -> u64 {
        self.0.as_ref().map_or(0, |ring| ring.acknowledged)
    }

    /// Messages that were resent since then.
    pub(super) fn resent(&self) -> u64 {
        self.0.as_ref().map_or(0, |ring| ring.resent)
    }

    /// True if somebody awaits the acknowledgement of one of them.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.as_ref().is_some_and(|ring| ring.is_awaited())
    }

    /// Messages whose acknowledgement is due, and their payload bytes.
    pub(super) fn held(&self) -> Capacity {
        let ring = self.0.as_ref();
        ring.map_or(Capacity::new(0, 0), |ring| {
            Capacity::new(ring.len(), ring.bytes())
        })
    }

    /// True if a payload of so many bytes has room, at `factor` times the bound.
    #[inline]
    pub(super) fn fits(&self, payload: usize, bound: Capacity, factor: usize) -> bool {
        let Some(ring) = &self.0 else { return true };
        let most = bound.messages.saturating_mul(factor);
        ring.len() == 0
            || (ring.len() < most && ring.bytes() + payload <= bound.bytes.saturating_mul(factor))
    }

    /// Remembers a message that is being transmitted and says which id it goes by.
    pub(super) fn insert(
        &mut self,
        entry: &mut Entry,
        now: Uptime,
        resend_after: Duration,
    ) -> MessageId {
        self.0
            .get_or_insert_with(|| Box::new(ResendRing::new(resend_after)))
            .insert(entry, now)
    }

    /// The peer acknowledged these messages. Yields how many of them were open here, and what they carried.
    pub(super) fn acknowledge(&mut self, ids: &[MessageId], now: Uptime) -> (usize, Vec<Extras>) {
        let mut closed = 0;
        let mut extras = Vec::new();
        let Some(ring) = &mut self.0 else {
            return (closed, extras);
        };
        for &id in ids {
            if let Some(carried) = ring.acknowledge(id, now) {
                closed += 1;
                extras.extend(carried.map(|carried| *carried));
            }
        }
        ring.acknowledged += closed as u64;
        (closed, extras)
    }

    /// The peer is through with a message. `None` if that is not open here; otherwise what it carried.
    pub(super) fn close(&mut self, id: MessageId, now: Uptime) -> Option<Option<Box<Extras>>> {
        let ring = self.0.as_mut()?;
        let extras = ring.acknowledge(id, now)?;
        ring.acknowledged += 1;
        Some(extras)
    }

    /// Takes the messages to resend, and those to give up.
    pub(super) fn handle_sweep(
        &mut self,
        now: Uptime,
        instant: Instant,
        resend_limit: Option<u32>,
        may_resend: bool,
    ) -> Due {
        match &mut self.0 {
            Some(ring) if ring.len() > 0 => {
                let due = ring.handle_sweep(now, instant, resend_limit, may_resend);
                ring.resent += due.resend.len() as u64;
                due
            }
            Some(_) | None => Due::default(),
        }
    }

    /// True if the outbox has a message in its store whose acknowledgement is due here.
    pub(super) fn is_stored(&self, id: MessageId) -> bool {
        self.0.as_ref().is_some_and(|ring| ring.is_stored(id))
    }

    /// Takes out a message that was never transmitted. `None` for one that is being resent, which stays, and
    /// for one that is not open here.
    pub(super) fn forget(&mut self, id: MessageId) -> Option<Entry> {
        self.0.as_mut()?.forget(id)
    }

    /// Takes out a message to a service that its peer has not handled. `None` for any other, which stays.
    pub(super) fn withdraw(&mut self, id: MessageId) -> Option<Entry> {
        self.0.as_mut()?.withdraw(id)
    }

    /// Sets the time that messages wait for their acknowledgement from now on.
    pub(super) fn set_resend_after(&mut self, resend_after: Duration) {
        if let Some(ring) = &mut self.0 {
            ring.set_resend_after(resend_after);
        }
    }

    /// Everything that is still open, in order, as when the connection has died.
    pub(super) fn take_all(&mut self, peer: Identity, out: &mut VecDeque<Unacknowledged>) {
        if let Some(ring) = &mut self.0 {
            ring.take_all(peer, out);
        }
    }
}
