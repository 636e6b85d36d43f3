//! The place of a message in its chunk, and what came of its deliveries so far.

/// Where a message is, so that it can be delivered again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bookmark {
    pub(super) at: usize,
    pub(super) messages: usize,
    pub(super) ordinal: usize,
    /// A whole word, because padding is copied in parts, for which the processor waits.
    deliveries: u64,
}

impl Bookmark {
    #[inline]
    pub(super) const fn new(
        at: usize,
        messages: usize,
        ordinal: usize,
        deliveries: Deliveries,
    ) -> Self {
        Self {
            at,
            messages,
            ordinal,
            deliveries: deliveries.0 as u64,
        }
    }

    /// What came of its deliveries.
    pub(super) const fn deliveries(&self) -> Deliveries {
        Deliveries(self.deliveries as u16)
    }

    /// Failed deliveries of the message.
    pub(crate) fn attempts(&self) -> u32 {
        (self.deliveries().0 & !PUT_OFF).into()
    }

    /// True if a handler has had the message, and failed or put it off.
    #[inline]
    pub(crate) const fn was_delivered(&self) -> bool {
        self.deliveries != 0
    }
}

/// Deliveries of a message that failed, of which those beyond a number are not told apart; and whether a handler has put it off.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deliveries(u16);

const PUT_OFF: u16 = 1 << 15;

impl Deliveries {
    pub(super) const fn and_a_failed_one(self) -> Self {
        match self.0 & !PUT_OFF == !PUT_OFF {
            true => self,
            false => Self(self.0 + 1),
        }
    }

    pub(super) const fn and_put_off(self) -> Self {
        Self(self.0 | PUT_OFF)
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn to_be_put_off_is_no_failure_and_failures_are_counted_to_an_end() {
        let mark = |deliveries| Bookmark::new(0, 1, 0, deliveries);
        let mut deliveries = Deliveries::default();
        assert!(!mark(deliveries).was_delivered());
        deliveries = deliveries.and_put_off();
        assert!(mark(deliveries).was_delivered());
        assert_eq!(mark(deliveries).attempts(), 0);
        for _ in 0..100_000 {
            deliveries = deliveries.and_a_failed_one();
        }
        assert_eq!(mark(deliveries).attempts(), u32::from(!PUT_OFF));
        assert!(mark(Deliveries::default().and_a_failed_one()).was_delivered());
    }
}
