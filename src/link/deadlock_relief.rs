//! Both ends of a link wait for each other, and neither can go first.
//!
//! Senders here wait for room. Room comes when the peer's handlers finish, and those wait for room
//! towards us, which comes when our handlers finish, and those are among the senders. Every bound is
//! kept and nothing will ever move. A sweep notices, and the link gives way: it takes more, twice as
//! much each time, until something moves. When it has taken all that it may and still nothing does,
//! the connection ends, and the outbox takes over.

use super::{Link, Uptime};

/// How long nothing has moved before the link takes more.
const PATIENCE: Uptime = Uptime::from_millis(500);

/// How many times its bound a link takes at most: about what the outbox takes by default.
const MOST: usize = 64;

/// How long nothing has moved at that mark before the connection ends.
const LAST_PATIENCE: Uptime = Uptime::from_secs(10);

/// What a sweep sees of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Movement {
    /// Senders wait for room, and messages for our handlers.
    pub(crate) both_wait: bool,
    /// Changes whenever one of our handlers has finished.
    pub(crate) handled: u64,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relief {
    /// Nothing: it moves, or has not stood still for long.
    None,
    /// The link takes more now, which those who wait are to be told.
    Room,
    /// There is no help but to end the connection.
    End,
}

/// How a link copes with it.
#[derive(Debug)]
pub(super) struct DeadlockRelief {
    factor: usize,
    since: Option<Uptime>,
    seen: (u64, u64),
}

impl DeadlockRelief {
    pub(super) const fn new() -> Self {
        Self {
            factor: 1,
            since: None,
            seen: (0, 0),
        }
    }

    /// How many times its bound the link takes.
    #[inline]
    pub(super) const fn factor(&self) -> usize {
        self.factor
    }

    /// `gone` changes whenever the peer has taken something off the link; `within_bound` says
    /// whether what it has left is within the bound.
    pub(super) fn handle_sweep(
        &mut self,
        now: Uptime,
        movement: Movement,
        gone: u64,
        within_bound: bool,
    ) -> Relief {
        let seen = (gone, movement.handled);
        let moved = std::mem::replace(&mut self.seen, seen) != seen;
        if moved || !movement.both_wait {
            self.since = None;
            if within_bound {
                self.factor = 1;
            }
            return Relief::None;
        }
        let stood = now.saturating_sub(*self.since.get_or_insert(now));
        if self.factor < MOST && stood >= PATIENCE {
            self.factor *= 2;
            self.since = Some(now);
            return Relief::Room;
        }
        if self.factor >= MOST && stood >= LAST_PATIENCE {
            return Relief::End;
        }
        Relief::None
    }
}

impl Link {
    /// Looks whether both ends wait for each other, and does something about it.
    pub(crate) fn handle_standstill(&self, now: Uptime, movement: Movement) -> Relief {
        let mut state = self.state.lock();
        let waiting = state.unacked.as_ref().map_or(0, |ring| ring.len());
        // What is resent is sent again without having got anywhere.
        let gone = match waiting {
            0 => state.counts.sent,
            _ => state.counts.acknowledged,
        };
        let within_bound =
            waiting <= state.limits.unacked_messages && state.queue.bytes() <= state.share;
        let relief = state
            .standstill
            .handle_sweep(now, movement, gone, within_bound);
        if relief == Relief::Room {
            state.note_room();
        }
        if relief == Relief::End {
            state.stalled = true;
            drop(state);
            self.abort();
        }
        relief
    }

    /// Whether the next sweep of the router has something to look at: messages whose acknowledgement is
    /// due, a bound that was raised and is to come down again, or a standstill that may have ended.
    pub(crate) fn is_restless(&self) -> bool {
        let state = self.state.lock();
        let waiting = state.unacked.as_ref().is_some_and(|ring| ring.len() > 0);
        waiting
            || state.catching_up.is_some()
            || state.standstill.factor > 1
            || state.standstill.since.is_some()
    }

    /// How many times its bound the link takes, because both ends wait for each other.
    #[cfg(all(test, not(aiomsg_loom)))]
    pub(crate) fn standstill_factor(&self) -> usize {
        self.state.lock().standstill.factor()
    }

    /// Whether the connection ends because both ends waited for each other.
    pub(crate) fn has_stalled(&self) -> bool {
        self.state.lock().stalled
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    const STUCK: Movement = Movement {
        both_wait: true,
        handled: 7,
    };

    fn sweep(
        standstill: &mut DeadlockRelief,
        seconds: u64,
        movement: Movement,
        gone: u64,
    ) -> Relief {
        standstill.handle_sweep(Uptime::from_secs(seconds), movement, gone, false)
    }

    #[test]
    fn a_link_at_a_standstill_takes_twice_as_much_each_time_and_ends_at_last() {
        let mut standstill = DeadlockRelief::new();
        assert_eq!(sweep(&mut standstill, 100, STUCK, 3), Relief::None);
        assert_eq!(sweep(&mut standstill, 100, STUCK, 3), Relief::None);
        for doubling in 1..=6 {
            assert_eq!(
                sweep(&mut standstill, 100 + doubling, STUCK, 3),
                Relief::Room
            );
            assert_eq!(standstill.factor(), 1 << doubling);
        }
        assert_eq!(sweep(&mut standstill, 115, STUCK, 3), Relief::None);
        assert_eq!(sweep(&mut standstill, 116, STUCK, 3), Relief::End);
    }

    #[test]
    fn what_moves_at_either_end_is_no_standstill() {
        let mut standstill = DeadlockRelief::new();
        for second in 0..100 {
            assert_eq!(sweep(&mut standstill, second, STUCK, second), Relief::None);
        }
        for second in 100..200 {
            let handles = Movement {
                handled: second,
                ..STUCK
            };
            assert_eq!(sweep(&mut standstill, second, handles, 3), Relief::None);
        }
        let nobody_waits = Movement {
            both_wait: false,
            ..STUCK
        };
        for second in 200..300 {
            assert_eq!(
                sweep(&mut standstill, second, nobody_waits, 3),
                Relief::None
            );
        }
        assert_eq!(standstill.factor(), 1);
    }

    #[test]
    fn the_bound_holds_again_once_the_link_is_within_it() {
        let mut standstill = DeadlockRelief::new();
        for second in 0..4 {
            sweep(&mut standstill, second, STUCK, 3);
        }
        assert_eq!(standstill.factor(), 4);
        sweep(&mut standstill, 5, STUCK, 4);
        assert_eq!(standstill.factor(), 4, "it holds more than its bound");
        standstill.handle_sweep(Uptime::from_secs(6), STUCK, 5, true);
        assert_eq!(standstill.factor(), 1);
    }
}
