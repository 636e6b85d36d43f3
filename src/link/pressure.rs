//! A link under pressure: it carries out what [`Pressure`](crate::engine::pressure::Pressure) decides.

use super::link::Link;
use super::state::{CloseCause, LinkPhase};
use super::uptime::Uptime;
use crate::engine::pressure::{Backlog, CatchUpStep, Movement, Outflow, Relief};

impl Link {
    /// The peer's backlog is in the link. False if there was none.
    pub(crate) fn start_catching_up(&self, now: Uptime) -> bool {
        let mut state = self.lock();
        let something = state.held() > 0;
        if something {
            let sent = state.sent;
            state.pressure.start_catching_up(now, sent);
        }
        something
    }

    /// Progress of the peer with its backlog. Suspects that keep others waiting are a backlog of which it takes
    /// nothing: without it they would never be found out.
    pub(crate) fn backlog(&self, now: Uptime) -> Backlog {
        let state = self.lock();
        match state.pressure.backlog(now, state.held()) {
            Backlog::None if state.waits_for_trials(1) => Backlog::Stalled,
            backlog => backlog,
        }
    }

    /// Looks how far the peer has come with what had waited for it. True if those who wait for the link are
    /// to be told.
    pub(crate) fn watch_backlog(&self, now: Uptime) -> bool {
        let mut state = self.lock();
        let (sent, held) = (state.sent, state.held());
        match state.pressure.handle_catch_up(now, sent, held) {
            CatchUpStep::None => false,
            CatchUpStep::TellSenders => true,
        }
    }

    /// Looks whether both ends wait for each other, and does something about it.
    pub(crate) fn handle_standstill(&self, now: Uptime, movement: Movement) -> Relief {
        let mut state = self.state.lock();
        let waiting = state.in_flight.len();
        let bound = state.bounds.queue();
        let in_flight = state.bounds.in_flight();
        let outflow = Outflow {
            acks_awaited: movement.handlers_have_work
                && state.unanswered > 0
                && state.in_flight.is_awaited(),
            bound_bytes: relief_of(bound.bytes, in_flight.bytes, waiting),
            // What is resent is sent again without having got anywhere.
            gone: match waiting {
                0 => state.sent,
                _ => state.in_flight.acknowledged(),
            },
            within_bound: waiting <= in_flight.messages
                && state.queue.queued().bytes <= bound.bytes,
        };
        let relief = state.pressure.handle_movement(now, movement, outflow);
        match relief {
            Relief::None => {}
            Relief::Room => state.note_room(),
            Relief::End => {
                drop(state);
                self.end(LinkPhase::Closed(CloseCause::Standstill));
            }
        }
        relief
    }

    /// True if the router's next sweep has something to do: resend messages whose acknowledgement is overdue,
    /// or look at the pressure.
    pub(crate) fn is_restless(&self) -> bool {
        let state = self.state.lock();
        state.in_flight.len() > 0 || state.pressure.is_watched() || state.trials.is_some()
    }

    /// Bytes that the link takes above its bound, because both ends wait for each other.
    pub(crate) fn relief_bytes(&self) -> usize {
        let state = self.state.lock();
        let (queue, in_flight) = (state.bounds.queue(), state.bounds.in_flight());
        let bound = relief_of(queue.bytes, in_flight.bytes, state.in_flight.len());
        (state.pressure.factor() - 1).saturating_mul(bound)
    }

    /// Factor on the bound of the link, raised while both ends wait for each other.
    #[cfg(all(test, not(aiomsg_loom)))]
    pub(crate) fn relief_factor(&self) -> usize {
        self.state.lock().pressure.factor()
    }
}

/// Bytes of a bound that relief multiplies: of the queue, and of what waits for acknowledgements if any does.
const fn relief_of(queue: usize, in_flight: usize, unacknowledged: usize) -> usize {
    match unacknowledged {
        0 => queue,
        _ => queue.saturating_add(in_flight),
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
#[path = "pressure_tests.rs"]
mod tests;
