//! Remembers the addresses of an endpoint whose connections end soon after they are up.

use std::time::Duration;

use super::redial::HEALTHY;

/// The most that are remembered. Names have fewer addresses.
const MOST: usize = 64;

/// Addresses whose last connection was up for a moment only, the latest last. Others of the same endpoint are tried before
/// them: whoever greets and closes would hide a good one for ever.
#[derive(Debug)]
pub(crate) struct ShortLived<A>(Vec<A>);

impl<A> Default for ShortLived<A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<A: PartialEq> ShortLived<A> {
    /// A connection to this address has ended, and was up for so long.
    pub(crate) fn handle_ended(&mut self, address: A, lasted: Duration) {
        self.0.retain(|other| *other != address);
        if lasted < HEALTHY {
            if self.0.len() == MOST {
                self.0.remove(0);
            }
            self.0.push(address);
        }
    }

    /// The addresses, in the order in which they are to be tried after all others.
    pub(crate) fn addresses(&self) -> &[A] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(5);

    #[test]
    fn who_ends_at_once_is_tried_after_those_who_did_so_before_until_one_lasts() {
        let mut short = ShortLived::default();
        for address in [1, 2, 1, 3] {
            short.handle_ended(address, MOMENT);
        }
        assert_eq!(short.addresses(), [2, 1, 3]);
        short.handle_ended(1, HEALTHY);
        assert_eq!(short.addresses(), [2, 3]);
    }

    #[test]
    fn of_many_the_earliest_is_forgotten() {
        let mut short = ShortLived::default();
        for address in 0..=MOST {
            short.handle_ended(address, MOMENT);
        }
        assert_eq!(short.addresses().len(), MOST);
        assert_eq!(short.addresses()[0], 1);
    }
}
