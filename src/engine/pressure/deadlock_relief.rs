//! Both ends of a link wait for each other, and neither can go first.
//!
//! Senders here wait for room. Room comes when the peer's handlers finish, and those wait for room
//! towards us, which comes when our handlers finish, and those are among the senders. Every bound is
//! kept and nothing will ever move. A sweep notices, and the link gives way: it takes more, twice as
//! much each time, until something moves. When it has taken all that it may and still nothing does,
//! the connection ends, and the outbox takes over. All links of a socket take no more above their bounds than it
//! has for that.

use std::time::Duration;

/// Time without movement before the link takes more.
const PATIENCE: Duration = Duration::from_millis(500);

/// Greatest factor on the bound of a link: it then takes about as much as the outbox by default.
const MOST: u32 = 64;

/// Time without movement at the greatest factor before the connection ends.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// The state of a socket at a sweep, as far as it concerns a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Movement {
    /// Senders wait for room, and messages for our handlers.
    pub(crate) both_wait: bool,
    /// Messages wait for our handlers, or are with them.
    pub(crate) handlers_have_work: bool,
    /// Time without movement after which a connection ends whose acknowledgements are awaited by handlers.
    pub(crate) ack_patience: Duration,
    /// Changes whenever one of our handlers has finished.
    pub(crate) handled: u64,
    /// Bytes that the links of the socket may still take above their bounds.
    pub(crate) left: usize,
}

/// The state of a link at a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outflow {
    /// Changes whenever the peer has taken something off the link.
    pub(crate) gone: u64,
    /// True if the content of the link is within its bound.
    pub(crate) within_bound: bool,
    /// Somebody awaits an acknowledgement of the peer, and the peer one of ours.
    pub(crate) acks_awaited: bool,
    /// Bytes of the bound of the link.
    pub(crate) bound_bytes: usize,
}

/// The step of a link at a standstill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relief {
    /// Nothing: it moves, or has not stood still for long.
    None,
    /// The link takes more now, which those who wait are to be told.
    Room,
    /// There is no help but to end the connection.
    End,
}

/// The machine. It takes its memory while both ends wait.
#[derive(Debug)]
pub(super) struct DeadlockRelief {
    factor: u32,
    standstill: Option<Box<Standstill>>,
}

#[derive(Debug)]
struct Standstill {
    /// When it was found, or something moved last, or the bound was raised.
    since: Duration,
    /// What had moved at both ends by the last sweep.
    seen: (u64, u64),
}

impl DeadlockRelief {
    pub(super) const fn new() -> Self {
        Self {
            factor: 1,
            standstill: None,
        }
    }

    /// Factor on the bound of the link.
    #[inline]
    pub(super) const fn factor(&self) -> usize {
        self.factor as usize
    }

    pub(super) const fn is_watched(&self) -> bool {
        self.factor > 1 || self.standstill.is_some()
    }

    pub(super) fn handle_sweep(
        &mut self,
        now: Duration,
        movement: Movement,
        outflow: Outflow,
    ) -> Relief {
        let acks_awaited = movement.handlers_have_work && outflow.acks_awaited;
        if !movement.both_wait && !acks_awaited {
            self.standstill = None;
            return self.handle_movement(outflow);
        }
        let seen = (outflow.gone, movement.handled);
        let found = || Box::new(Standstill { since: now, seen });
        let standstill = self.standstill.get_or_insert_with(found);
        if std::mem::replace(&mut standstill.seen, seen) != seen {
            standstill.since = now;
            return self.handle_movement(outflow);
        }
        let stood = now.saturating_sub(standstill.since);
        if acks_awaited && stood >= movement.ack_patience {
            return Relief::End;
        }
        if !movement.both_wait {
            return Relief::None;
        }
        let more = (self.factor as usize).saturating_mul(outflow.bound_bytes);
        let may_grow = self.factor < MOST && more <= movement.left;
        if may_grow && stood >= PATIENCE {
            self.factor *= 2;
            standstill.since = now;
            return Relief::Room;
        }
        if !may_grow && stood >= LAST_PATIENCE {
            return Relief::End;
        }
        Relief::None
    }

    fn handle_movement(&mut self, outflow: Outflow) -> Relief {
        if outflow.within_bound {
            self.factor = 1;
        }
        Relief::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUCK: Movement = Movement {
        both_wait: true,
        handlers_have_work: true,
        ack_patience: Duration::from_secs(60),
        handled: 7,
        left: 10_000,
    };

    const ABOVE_BOUND: Outflow = Outflow {
        gone: 3,
        within_bound: false,
        acks_awaited: false,
        bound_bytes: 100,
    };

    fn sweep(relief: &mut DeadlockRelief, seconds: u64, movement: Movement) -> Relief {
        sweep_with(relief, seconds, movement, ABOVE_BOUND)
    }

    fn sweep_with(
        relief: &mut DeadlockRelief,
        seconds: u64,
        movement: Movement,
        outflow: Outflow,
    ) -> Relief {
        relief.handle_sweep(Duration::from_secs(seconds), movement, outflow)
    }

    #[test]
    fn a_link_at_a_standstill_takes_twice_as_much_each_time_and_ends_at_last() {
        let mut relief = DeadlockRelief::new();
        assert_eq!(sweep(&mut relief, 100, STUCK), Relief::None);
        assert_eq!(sweep(&mut relief, 100, STUCK), Relief::None);
        for doubling in 1..=6 {
            assert_eq!(sweep(&mut relief, 100 + doubling, STUCK), Relief::Room);
            assert_eq!(relief.factor(), 1 << doubling);
        }
        assert_eq!(sweep(&mut relief, 115, STUCK), Relief::None);
        assert_eq!(sweep(&mut relief, 116, STUCK), Relief::End);
    }

    #[test]
    fn a_link_takes_no_more_than_what_the_socket_has_left_and_ends_then() {
        let mut relief = DeadlockRelief::new();
        let left = |left| Movement { left, ..STUCK };
        assert_eq!(sweep(&mut relief, 100, left(300)), Relief::None);
        assert_eq!(sweep(&mut relief, 101, left(300)), Relief::Room);
        assert_eq!(sweep(&mut relief, 102, left(200)), Relief::Room);
        assert_eq!(sweep(&mut relief, 103, left(0)), Relief::None);
        assert_eq!(relief.factor(), 4);
        assert_eq!(sweep(&mut relief, 104, left(399)), Relief::None);
        assert_eq!(sweep(&mut relief, 105, left(400)), Relief::Room);
        assert_eq!(sweep(&mut relief, 114, left(0)), Relief::None);
        assert_eq!(sweep(&mut relief, 115, left(0)), Relief::End);
    }

    #[test]
    fn handlers_that_await_acknowledgements_end_the_connection_when_nothing_moves_for_their_patience()
     {
        let mut relief = DeadlockRelief::new();
        let nobody_sends = Movement {
            both_wait: false,
            ..STUCK
        };
        let awaited = |gone| Outflow {
            gone,
            acks_awaited: true,
            ..ABOVE_BOUND
        };
        let mut at = |second, movement, outflow| sweep_with(&mut relief, second, movement, outflow);
        assert_eq!(at(100, nobody_sends, awaited(3)), Relief::None);
        assert_eq!(at(159, nobody_sends, awaited(3)), Relief::None);
        assert_eq!(at(159, nobody_sends, awaited(4)), Relief::None);
        assert_eq!(at(218, nobody_sends, awaited(4)), Relief::None);
        assert_eq!(at(219, nobody_sends, awaited(4)), Relief::End);
        let idle = Movement {
            handlers_have_work: false,
            ..nobody_sends
        };
        assert_eq!(at(300, idle, awaited(4)), Relief::None);
        assert_eq!(
            at(900, idle, awaited(4)),
            Relief::None,
            "the peer is merely slow"
        );
    }

    #[test]
    fn what_moves_at_either_end_is_no_standstill() {
        let mut relief = DeadlockRelief::new();
        for second in 0..100 {
            let takes = Outflow {
                gone: second,
                ..ABOVE_BOUND
            };
            let step = sweep_with(&mut relief, second, STUCK, takes);
            assert_eq!(step, Relief::None);
        }
        for second in 100..200 {
            let handles = Movement {
                handled: second,
                ..STUCK
            };
            assert_eq!(sweep(&mut relief, second, handles), Relief::None);
        }
        let nobody_waits = Movement {
            both_wait: false,
            ..STUCK
        };
        for second in 200..300 {
            assert_eq!(sweep(&mut relief, second, nobody_waits), Relief::None);
        }
        assert_eq!(relief.factor(), 1);
        assert!(!relief.is_watched());
    }

    #[test]
    fn the_bound_holds_again_once_the_link_is_within_it() {
        let mut relief = DeadlockRelief::new();
        for second in 0..3 {
            sweep(&mut relief, second, STUCK);
        }
        assert_eq!(relief.factor(), 4);
        let takes = Outflow {
            gone: 4,
            ..ABOVE_BOUND
        };
        sweep_with(&mut relief, 5, STUCK, takes);
        assert_eq!(relief.factor(), 4, "it holds more than its bound");
        assert!(relief.is_watched());
        let drained = Outflow {
            gone: 5,
            within_bound: true,
            ..ABOVE_BOUND
        };
        sweep_with(&mut relief, 6, STUCK, drained);
        assert_eq!(relief.factor(), 1);
    }
}
