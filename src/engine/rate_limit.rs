//! Limit on the connection rate of each address.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Addresses that are remembered. Whoever has more than these at once is not held back by counting
/// them, and must not make us remember them all.
const MOST_ADDRESSES: usize = 65_536;

/// Allows so many connections of one address within a period, and after that one for each share of
/// the period that passes.
#[derive(Debug)]
pub(crate) struct RateLimit {
    /// Between two connections, in the long run.
    spacing: Duration,
    /// Time by which an address may be ahead of the rate.
    lead: Duration,
    /// When each address would be back in its pace.
    even_at: HashMap<u64, Instant>,
    swept: Option<Instant>,
}

impl RateLimit {
    /// At most `connections` at once, and as many in each `period` in the long run.
    pub(crate) fn new(connections: u32, period: Duration) -> Self {
        let spacing = period / connections.max(1);
        Self {
            spacing,
            lead: period.saturating_sub(spacing),
            even_at: HashMap::new(),
            swept: None,
        }
    }

    /// An address has connected. Whether it may.
    pub(crate) fn handle_accept(&mut self, now: Instant, address: u64) -> bool {
        if self.even_at.len() >= MOST_ADDRESSES && !self.even_at.contains_key(&address) {
            self.forget_even(now);
            if self.even_at.len() >= MOST_ADDRESSES {
                return true;
            }
        }
        let even_at = self.even_at.entry(address).or_insert(now);
        let ahead = even_at.saturating_duration_since(now);
        if ahead > self.lead {
            return false;
        }
        *even_at = now + ahead + self.spacing;
        true
    }

    /// Forgets addresses that are back in their pace, but does not look for them all the time.
    fn forget_even(&mut self, now: Instant) {
        let recently = |swept: Instant| now.saturating_duration_since(swept) < self.spacing;
        if !self.swept.is_some_and(recently) {
            self.even_at.retain(|_, even_at| *even_at > now);
            self.swept = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_burst_is_allowed_and_then_one_for_each_share_of_the_period() {
        let start = Instant::now();
        let mut pace = RateLimit::new(4, millis(1000));
        let mut at = |when: u64| pace.handle_accept(start + millis(when), 1);
        assert_eq!(
            [0, 0, 0, 0, 0].map(&mut at),
            [true, true, true, true, false]
        );
        assert_eq!([249, 250, 251].map(&mut at), [false, true, false]);
        assert_eq!(
            [2000, 2000, 2000, 2000, 2000].map(&mut at),
            [true, true, true, true, false]
        );
    }

    #[test]
    fn one_address_does_not_cost_another_its_pace() {
        let now = Instant::now();
        let mut pace = RateLimit::new(1, millis(1000));
        assert!(pace.handle_accept(now, 1));
        assert!(!pace.handle_accept(now, 1));
        assert!(pace.handle_accept(now, 2));
    }

    #[test]
    fn no_more_than_so_many_addresses_are_remembered() {
        let start = Instant::now();
        let mut pace = RateLimit::new(1, millis(1000));
        let crowd = MOST_ADDRESSES as u64;
        for address in 0..crowd + 10 {
            assert!(pace.handle_accept(start, address));
        }
        assert_eq!(pace.even_at.len(), MOST_ADDRESSES);
        assert!(!pace.handle_accept(start, 0), "the first ones are known");
        assert!(pace.handle_accept(start + millis(1000), crowd + 20));
        assert_eq!(pace.even_at.len(), 1, "the others are back in their pace");
    }

    proptest! {
        /// In no stretch of one period does an address get more than twice its number, and it is
        /// never refused when it has had less than its number in the last period.
        #[test]
        fn nobody_gets_more_than_twice_or_less_than_once(
            gaps in prop::collection::vec(0..400_u64, 1..100),
            connections in 1..6_u32,
        ) {
            let period = millis(1000);
            let mut now = Instant::now();
            let mut pace = RateLimit::new(connections, period);
            let mut let_in: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += millis(gap);
                let allowed = pace.handle_accept(now, 1);
                let recent = let_in.iter().filter(|then| now - **then < period).count();
                if allowed {
                    let_in.push(now);
                    prop_assert!(recent < 2 * connections as usize);
                } else {
                    prop_assert!(recent >= connections as usize);
                }
            }
        }
    }
}
