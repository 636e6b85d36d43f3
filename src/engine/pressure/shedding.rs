//! A full link that nobody waits for drops messages, until it has drained to half its bound.

use crate::limits::Capacity;

/// The message to drop when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Those that have waited longest and that the writer has not taken. Where there are none, or the first is in the store of the outbox, the
    /// new one.
    Oldest,
    /// The new one.
    Newest,
}

/// Room of a link for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Fits,
    /// Too much waits to be written.
    QueueFull,
    /// Too much waits for its acknowledgement.
    InFlightFull,
}

/// The message that has waited longest and that the writer has not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oldest {
    /// There is none.
    None,
    AtMostOnce,
    AtLeastOnce,
    /// The outbox has it in its store, and is to lose nothing.
    Stored,
}

/// Step of a link with a new message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShedStep {
    Take,
    /// Drop the oldest one, and ask again.
    DropOldest,
    DropNew,
}

impl Shed {
    /// The next step for a new message, which fits or not.
    pub(crate) const fn next_step(self, fit: Fit, oldest: Oldest) -> ShedStep {
        match (self, fit, oldest) {
            (_, Fit::Fits, _) => ShedStep::Take,
            (Self::Newest, _, _) | (Self::Oldest, _, Oldest::None | Oldest::Stored) => {
                ShedStep::DropNew
            }
            // Only what waits for an acknowledgement makes room among what does.
            (Self::Oldest, Fit::InFlightFull, Oldest::AtMostOnce) => ShedStep::DropNew,
            (Self::Oldest, Fit::QueueFull, Oldest::AtMostOnce)
            | (Self::Oldest, _, Oldest::AtLeastOnce) => ShedStep::DropOldest,
        }
    }
}

/// State of a link that may drop messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shedding {
    Off,
    On(Shed),
}

impl Shedding {
    #[inline]
    pub(super) const fn shed(self) -> Option<Shed> {
        match self {
            Self::Off => None,
            Self::On(shed) => Some(shed),
        }
    }

    /// So much is left to be written.
    #[inline]
    pub(super) fn handle_written(&mut self, queued: Capacity, bound: Capacity) {
        if queued.is_at_most_half_of(bound) {
            *self = Self::Off;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_until_the_new_message_fits() {
        let next = |fit, oldest| Shed::Oldest.next_step(fit, oldest);
        for oldest in [Oldest::None, Oldest::AtMostOnce, Oldest::AtLeastOnce] {
            assert_eq!(next(Fit::Fits, oldest), ShedStep::Take);
        }
        assert_eq!(
            next(Fit::QueueFull, Oldest::AtMostOnce),
            ShedStep::DropOldest
        );
        assert_eq!(
            next(Fit::QueueFull, Oldest::AtLeastOnce),
            ShedStep::DropOldest
        );
        assert_eq!(next(Fit::QueueFull, Oldest::None), ShedStep::DropNew);
        assert_eq!(next(Fit::QueueFull, Oldest::Stored), ShedStep::DropNew);
    }

    #[test]
    fn nothing_is_dropped_that_makes_no_room_for_the_new_message() {
        let next = |oldest| Shed::Oldest.next_step(Fit::InFlightFull, oldest);
        assert_eq!(next(Oldest::AtLeastOnce), ShedStep::DropOldest);
        assert_eq!(next(Oldest::AtMostOnce), ShedStep::DropNew);
        assert_eq!(next(Oldest::None), ShedStep::DropNew);
        assert_eq!(next(Oldest::Stored), ShedStep::DropNew);
    }

    #[test]
    fn where_the_newest_goes_nothing_else_does() {
        for oldest in [Oldest::None, Oldest::AtMostOnce, Oldest::AtLeastOnce] {
            let next = |fit| Shed::Newest.next_step(fit, oldest);
            assert_eq!(next(Fit::Fits), ShedStep::Take);
            assert_eq!(next(Fit::QueueFull), ShedStep::DropNew);
            assert_eq!(next(Fit::InFlightFull), ShedStep::DropNew);
        }
    }

    #[test]
    fn a_link_stops_dropping_when_half_of_its_bound_is_free() {
        let bound = Capacity::new(10, 1000);
        let mut shedding = Shedding::On(Shed::Oldest);
        shedding.handle_written(Capacity::new(1, 501), bound);
        assert_eq!(shedding.shed(), Some(Shed::Oldest));
        shedding.handle_written(Capacity::new(6, 100), bound);
        assert_eq!(shedding.shed(), Some(Shed::Oldest));
        shedding.handle_written(Capacity::new(5, 500), bound);
        assert_eq!(shedding.shed(), None);
    }
}
