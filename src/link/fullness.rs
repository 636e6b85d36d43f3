//! How full a link is, for whoever inspects its socket.

use std::time::Duration;

use super::link::Link;
use super::state::LinkCounts;
use crate::limits::Capacity;

/// How full a link is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fullness {
    pub(crate) counts: LinkCounts,
    /// Messages and bytes that may wait to be written.
    pub(crate) bound: Capacity,
    /// Three quarters of one of its bounds are taken, or a message was refused of late.
    pub(crate) is_full: bool,
    /// Since when published messages have found it full, without it having drained to half: the uptime of the process.
    pub(crate) pressed_since: Option<Duration>,
}

impl Link {
    /// How full the link is.
    pub(crate) fn fullness(&self) -> Fullness {
        let load = self.load();
        let state = self.state.lock();
        let (bound, in_flight) = (state.bounds.queue(), state.bounds.in_flight());
        let queued = Capacity::new(load.frames, load.bytes);
        let unacknowledged = Capacity::new(load.unacknowledged, load.unacknowledged_bytes);
        let pressed_since = state.pressure.pressed_since();
        Fullness {
            counts: state.counts(),
            bound,
            is_full: pressed_since.is_some()
                || state.refusal.is_some()
                || mostly_fills(queued, bound)
                || mostly_fills(unacknowledged, in_flight),
            pressed_since,
        }
    }
}

fn mostly_fills(held: Capacity, bound: Capacity) -> bool {
    let mostly = |held: usize, bound: usize| held > 0 && held >= bound - bound / 4;
    mostly(held.messages, bound.messages) || mostly(held.bytes, bound.bytes)
}
