//! The order and the pace of TCP attempts at the addresses of one name (RFC 8305 §4 and §5).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pause between the starts of two attempts, the Connection Attempt Delay of RFC 8305 §5. A failure
/// ends it early.
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The pause before an address that is tried last, while others are underway.
const LAST_DELAY: Duration = Duration::from_secs(2);

/// An address that can be raced: equal ones are the same, and its family is known.
pub(crate) trait Raced: Copy + PartialEq {
    /// True for IPv6, false for IPv4.
    fn is_v6(&self) -> bool;
}

/// The next thing to do in a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RaceStep<A> {
    /// Start an attempt at this address.
    Start(A),
    /// Attempts are underway, and another one starts at this time, if there is one left.
    Wait(Option<Instant>),
    /// Every address has been tried and none is left underway.
    Over,
}

/// Races TCP attempts at all addresses of a name.
///
/// Attempts start one after the other, while earlier ones are still underway. Only one address at a time
/// gets beyond TCP, because HELLO asks for admission: the race pauses when an attempt has connected. It
/// goes on at once with [`poll`](Self::poll), if what followed failed. The attempts that were
/// underway then are given up, and are made again after those that were not tried yet.
#[derive(Debug)]
pub(crate) struct ConnectRace<A> {
    waiting: VecDeque<A>,
    /// Those that are tried when no other is left.
    last: VecDeque<A>,
    underway: Vec<A>,
    next_start: Option<Instant>,
}

impl<A: Raced> ConnectRace<A> {
    /// A race of these addresses, the preferred one first. Families alternate, beginning with
    /// that of the first one; an address that comes twice is tried once.
    pub(crate) fn new(addresses: impl IntoIterator<Item = A>) -> Self {
        let (mut first, mut second): (VecDeque<A>, VecDeque<A>) = Default::default();
        for address in addresses {
            let family = match first.front() {
                Some(front) if front.is_v6() != address.is_v6() => &mut second,
                _ => &mut first,
            };
            if !family.contains(&address) {
                family.push_back(address);
            }
        }
        let mut waiting = VecDeque::with_capacity(first.len() + second.len());
        while !first.is_empty() || !second.is_empty() {
            waiting.extend(first.pop_front());
            waiting.extend(second.pop_front());
        }
        Self {
            waiting,
            last: VecDeque::new(),
            underway: Vec::new(),
            next_start: None,
        }
    }

    /// The same, but that those of `last` are tried after all others, in their order there.
    pub(crate) fn with_last(mut self, last: &[A]) -> Self {
        let is_here = |address: &&A| self.waiting.contains(address);
        self.last = last.iter().filter(is_here).copied().collect();
        self.waiting.retain(|address| !self.last.contains(address));
        self
    }

    /// The addresses that are underway or wait for their turn.
    pub(crate) fn left(&self) -> impl Iterator<Item = &A> {
        let waiting = self.waiting.iter().chain(&self.last);
        self.underway.iter().chain(waiting)
    }

    /// The next thing to do at `now`.
    pub(crate) fn poll(&mut self, now: Instant) -> RaceStep<A> {
        if self.underway.is_empty() || self.next_start.is_none_or(|start| start <= now) {
            let next = self.waiting.pop_front();
            if let Some(address) = next.or_else(|| self.last.pop_front()) {
                self.underway.push(address);
                self.next_start = Some(now + self.delay());
                return RaceStep::Start(address);
            }
            if self.underway.is_empty() {
                return RaceStep::Over;
            }
        }
        let is_one_left = !self.waiting.is_empty() || !self.last.is_empty();
        RaceStep::Wait(self.next_start.filter(|_| is_one_left))
    }

    /// Pause after the attempt that starts now.
    fn delay(&self) -> Duration {
        match self.waiting.is_empty() {
            true => LAST_DELAY,
            false => ATTEMPT_DELAY,
        }
    }

    /// An attempt failed: the next one starts without waiting, unless it is of those that are tried last.
    pub(crate) fn handle_failed(&mut self, address: A) {
        self.underway.retain(|other| *other != address);
        if !self.waiting.is_empty() {
            self.next_start = None;
        }
    }

    /// An attempt has connected. The others that are underway are to be given up.
    pub(crate) fn handle_connected(&mut self, address: A) {
        self.underway.retain(|other| *other != address);
        self.waiting.extend(self.underway.drain(..));
        self.next_start = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The family and the number of an address.
    type Address = (char, u8);

    impl Raced for Address {
        fn is_v6(&self) -> bool {
            self.0 == '6'
        }
    }

    use RaceStep::{Over, Start, Wait};

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    /// All that is started, each attempt failing at once.
    fn order(addresses: &[Address]) -> Vec<Address> {
        let now = Instant::now();
        let mut race = ConnectRace::new(addresses.iter().copied());
        let mut order = Vec::new();
        while let Start(address) = race.poll(now) {
            order.push(address);
            race.handle_failed(address);
        }
        order
    }

    #[test]
    fn those_that_are_tried_last_wait_for_all_others() {
        let start = Instant::now();
        let addresses = [('6', 1), ('4', 1), ('6', 2), ('4', 2)];
        let last = [('4', 1), ('4', 9), ('6', 1)];
        let mut race = ConnectRace::new(addresses).with_last(&last);
        assert_eq!(race.left().count(), 4);
        assert_eq!(race.poll(start), Start(('6', 2)));
        assert_eq!(race.poll(after(start, 250)), Start(('4', 2)));
        race.handle_failed(('6', 2));
        // The other is far away.
        assert_eq!(race.poll(after(start, 300)), Wait(Some(after(start, 2250))));
        race.handle_failed(('4', 2));
        assert_eq!(race.poll(after(start, 310)), Start(('4', 1)));
        race.handle_connected(('4', 1));
        assert_eq!(race.poll(after(start, 320)), Start(('6', 1)));
        race.handle_failed(('6', 1));
        assert_eq!(race.poll(after(start, 320)), Over);
    }

    #[test]
    fn families_alternate_beginning_with_the_preferred_one() {
        let resolved = [('6', 1), ('6', 2), ('6', 3), ('4', 1), ('4', 2)];
        let raced = [('6', 1), ('4', 1), ('6', 2), ('4', 2), ('6', 3)];
        assert_eq!(order(&resolved), raced);
        assert_eq!(
            order(&[('4', 1), ('4', 2), ('6', 1)]),
            [('4', 1), ('6', 1), ('4', 2)]
        );
        assert_eq!(order(&[('4', 1), ('4', 1)]), [('4', 1)]);
        assert_eq!(order(&[]), []);
    }

    #[test]
    fn attempts_start_a_quarter_of_a_second_apart() {
        let start = Instant::now();
        let mut race = ConnectRace::new([('4', 1), ('4', 2), ('4', 3)]);
        assert_eq!(race.poll(start), Start(('4', 1)));
        assert_eq!(race.poll(start), Wait(Some(after(start, 250))));
        assert_eq!(race.poll(after(start, 249)), Wait(Some(after(start, 250))));
        assert_eq!(race.poll(after(start, 251)), Start(('4', 2)));
        assert_eq!(race.poll(after(start, 251)), Wait(Some(after(start, 501))));
        assert_eq!(race.poll(after(start, 501)), Start(('4', 3)));
        assert_eq!(race.poll(after(start, 9_000)), Wait(None));
    }

    #[test]
    fn a_failure_starts_the_next_attempt_at_once() {
        let start = Instant::now();
        let mut race = ConnectRace::new([('4', 1), ('4', 2), ('4', 3)]);
        assert_eq!(race.poll(start), Start(('4', 1)));
        race.handle_failed(('4', 1));
        assert_eq!(race.poll(after(start, 1)), Start(('4', 2)));
        assert_eq!(race.poll(after(start, 1)), Wait(Some(after(start, 251))));
        assert_eq!(race.poll(after(start, 251)), Start(('4', 3)));
        race.handle_failed(('4', 2));
        assert_eq!(race.poll(after(start, 300)), Wait(None));
        race.handle_failed(('4', 3));
        assert_eq!(race.poll(after(start, 300)), Over);
    }

    #[test]
    fn after_a_failed_handshake_the_untried_come_before_those_given_up() {
        let start = Instant::now();
        let mut race = ConnectRace::new([('4', 1), ('4', 2), ('4', 3)]);
        assert_eq!(race.poll(start), Start(('4', 1)));
        assert_eq!(race.poll(after(start, 250)), Start(('4', 2)));
        race.handle_connected(('4', 2));
        // Its handshake takes 8 s and fails.
        assert_eq!(race.poll(after(start, 8_260)), Start(('4', 3)));
        assert_eq!(
            race.poll(after(start, 8_260)),
            Wait(Some(after(start, 8_510)))
        );
        assert_eq!(race.poll(after(start, 8_510)), Start(('4', 1)));
        race.handle_failed(('4', 3));
        race.handle_connected(('4', 1));
        assert_eq!(race.poll(after(start, 8_600)), Over);
    }

    proptest! {
        /// Whatever happens to attempts, each address comes to an end, and only one that was given up is
        /// started again.
        #[test]
        fn every_address_is_tried_to_an_end(count in 0_u8..9, ends in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 200)) {
            let mut now = Instant::now();
            let mut race = ConnectRace::new((0..count).map(|n| (if n % 3 == 0 { '6' } else { '4' }, n)));
            let (mut underway, mut ended): (Vec<Address>, Vec<Address>) = Default::default();
            for (connects, which) in ends {
                match race.poll(now) {
                    Start(address) => {
                        prop_assert!(!underway.contains(&address) && !ended.contains(&address));
                        underway.push(address);
                    }
                    Wait(_) if connects && underway.len() > 1 => {
                        let address = underway.swap_remove(which.index(underway.len()));
                        race.handle_connected(address);
                        underway.clear();
                        ended.push(address);
                    }
                    Wait(_) => {
                        let address = underway.swap_remove(which.index(underway.len()));
                        race.handle_failed(address);
                        ended.push(address);
                    }
                    Over => {
                        prop_assert_eq!(ended.len(), usize::from(count));
                        return Ok(());
                    }
                }
                now += Duration::from_millis(which.index(300) as u64);
            }
            prop_assert!(false, "the race is not over");
        }
    }
}
