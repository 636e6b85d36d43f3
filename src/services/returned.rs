//! Tells that their instances have not handled, on their way to another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::message::address_in;
use crate::engine::service::{KeyHash, ProcessStart};
use crate::link::Entry;

/// Time after which another attempt is made for a message that nobody takes now.
const AGAIN: Duration = Duration::from_millis(50);

/// Tells that wait, and bytes of them, from which on new ones wait behind them.
const MANY: usize = 1024;
const MANY_BYTES: usize = 1024 * 1024;

/// A tell that has come back.
#[derive(Debug)]
pub(super) struct ReturnedTell {
    pub(super) entry: Entry,
    key: Option<KeyHash>,
    /// The process that may have handled it, and until when it is waited for.
    home: Option<(ProcessStart, Instant)>,
}

impl ReturnedTell {
    /// One that surely was not handled.
    pub(super) fn unhandled(entry: Entry) -> Self {
        let key = address_in(&entry.payload).and_then(|address| address.key);
        Self {
            entry,
            key: key.map(KeyHash),
            home: None,
        }
    }

    /// One that may have been handled: it goes back to the same process, if that comes back in time.
    pub(super) fn perhaps_handled(entry: Entry, home: Option<(ProcessStart, Instant)>) -> Self {
        Self {
            home,
            ..Self::unhandled(entry)
        }
    }

    pub(super) fn key(&self) -> Option<KeyHash> {
        self.key
    }

    /// The process that it is kept for.
    pub(super) fn home(&self, now: Instant) -> Option<ProcessStart> {
        let (start, until) = self.home?;
        (now < until).then_some(start)
    }

    pub(super) fn next_attempt(&self, now: Instant) -> Instant {
        let again = now + AGAIN;
        match self.home {
            Some((_, until)) if until > now => until.min(again),
            Some(_) | None => again,
        }
    }
}

/// Tells that have come back, in their order.
#[derive(Debug, Default)]
pub(super) struct ReturnedTells {
    tells: VecDeque<ReturnedTell>,
    /// Bytes of all payloads.
    bytes: usize,
}

impl ReturnedTells {
    pub(super) fn is_empty(&self) -> bool {
        self.tells.is_empty()
    }

    /// True if one with this key waits.
    pub(super) fn hold(&self, key: Option<KeyHash>) -> bool {
        self.tells.iter().any(|tell| tell.key() == key)
    }

    /// True if nothing new is taken until some of them are gone.
    pub(super) fn are_many(&self) -> bool {
        self.tells.len() >= MANY || self.bytes >= MANY_BYTES
    }

    /// Messages that wait, and their bytes.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.tells.len(), self.bytes)
    }

    pub(super) fn push(&mut self, mut tell: ReturnedTell) {
        tell.entry.detach();
        self.bytes += tell.entry.payload.len();
        self.tells.push_back(tell);
    }

    pub(super) fn take_all(&mut self) -> Vec<ReturnedTell> {
        std::mem::take(self).tells.into()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock;
    use crate::limits::DeliveryGuarantee;
    use crate::link::Target;

    #[test]
    fn a_tell_that_waits_keeps_nothing_of_the_read_that_it_came_with() {
        let read = Bytes::from(vec![7; 64 * 1024]);
        let (service, once) = (Target::Service, DeliveryGuarantee::AtLeastOnce);
        let entry = Entry::new(service, once, read.slice(10..110));
        let mut tells = ReturnedTells::default();
        tells.push(ReturnedTell::unhandled(entry));
        assert!(read.is_unique());
        assert_eq!(tells.load(), (1, 100));
    }

    #[test]
    fn a_tell_that_nobody_takes_is_tried_again_later_whether_or_not_its_home_is_waited_for() {
        let now = clock::now();
        let tell = |home| ReturnedTell {
            entry: Entry::new(
                Target::Service,
                DeliveryGuarantee::AtLeastOnce,
                Bytes::new(),
            ),
            key: None,
            home,
        };
        let start = ProcessStart([1; 8]);
        let soon = now + AGAIN / 2;
        assert_eq!(tell(None).next_attempt(now), now + AGAIN);
        assert_eq!(tell(Some((start, soon))).next_attempt(now), soon);
        assert_eq!(tell(Some((start, now))).next_attempt(now), now + AGAIN);
        assert_eq!(
            tell(Some((start, soon))).next_attempt(now + AGAIN),
            now + 2 * AGAIN
        );
    }
}
