//! Acknowledgements that arrive, and messages that are resent or given up for want of one.

use std::time::Instant;

use bytes::Bytes;

use super::block::FrameRoute;
use super::entry::{Entry, Extras};
use super::in_flight::GivenUp;
use super::link::{Link, wake_writer};
use super::uptime::Uptime;
use crate::id::MessageId;
use crate::wire::NotHandled;

/// Messages that were open, and that their peer has refused.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// What those carried whose end it is.
    pub(crate) closed: Vec<(Option<Box<Extras>>, NotHandled)>,
    /// Messages to a service that another instance may handle.
    pub(crate) elsewhere: Vec<(Entry, NotHandled)>,
    /// Room has become free.
    pub(crate) freed: bool,
}

impl Link {
    /// The peer acknowledged these messages. Yields what they carried, and whether room has become free, which is
    /// for the caller to announce.
    pub(crate) fn acknowledge(&self, ids: &[MessageId], now: Uptime) -> (bool, Vec<Extras>) {
        let mut state = self.lock();
        let (closed, extras) = state.in_flight.acknowledge(ids, now);
        if closed > 0 {
            state.note_room();
        }
        let mut freed = closed > 0;
        if state.trials.is_some() {
            // What was on trial may have been given up before.
            freed |= self.go_on_with_trials(state);
        }
        (freed, extras)
    }

    /// The peer refused these messages, which need no acknowledgement any more. Yields what those carried that
    /// were open here.
    pub(crate) fn handle_refused(
        &self,
        refused: &[(MessageId, NotHandled)],
        now: Uptime,
    ) -> Refusals {
        let mut state = self.lock();
        let mut closed = Vec::new();
        let mut elsewhere = Vec::new();
        for &(id, reason) in refused {
            if reason.leaves_it_to_others()
                && let Some(entry) = state.in_flight.withdraw(id)
            {
                elsewhere.push((entry, reason));
                continue;
            }
            let extras = state.in_flight.close(id, now);
            closed.extend(extras.map(|extras| (extras, reason)));
        }
        let mut freed = !closed.is_empty() || !elsewhere.is_empty();
        if freed {
            state.note_room();
        }
        if state.trials.is_some() {
            freed |= self.go_on_with_trials(state);
        }
        Refusals {
            closed,
            elsewhere,
            freed,
        }
    }

    /// Resends overdue messages, and yields those that are given up.
    pub(crate) fn handle_sweep(
        &self,
        now: Uptime,
        instant: Instant,
        resend_limit: Option<u32>,
    ) -> Vec<(Entry, GivenUp)> {
        let mut state = self.lock();
        if state.in_flight.len() == 0 {
            return Vec::new();
        }
        // What still waits to be written is not lost, whatever its age; but it may expire.
        let may_resend = state.queue.has_nothing_to_take();
        let due = (state.in_flight).handle_sweep(now, instant, resend_limit, may_resend);
        let route = FrameRoute::in_turn(state.reads);
        for (id, entry) in due.resend {
            // What the peer does not read was counted when it was sent first.
            let envelope = match state.reads {
                true => self.envelope_for_peer(&state, &entry),
                false => Bytes::new(),
            };
            state.queue_request(id, &envelope, &entry, route);
        }
        if !due.given_up.is_empty() {
            state.note_room();
            if state.trials.is_some() {
                // One that was on trial keeps no others waiting any more. The caller announces the room.
                let _ = self.go_on_with_trials(state);
                return due.given_up;
            }
        }
        wake_writer(state);
        due.given_up
    }
}
