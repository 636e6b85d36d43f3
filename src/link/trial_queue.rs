//! Messages of one link that may be the reason why the peer ends its connections.

use std::collections::VecDeque;
use std::time::Instant;

use super::entry::{Entry, take};
use super::limits::REPLY_FACTOR;
use crate::limits::Capacity;

/// Suspects of one connection.
#[derive(Debug, Default)]
pub(super) struct TrialQueue {
    /// To be sent alone, one after the other.
    pub(super) waiting: VecDeque<Entry>,
    /// Set apart until the connection has lasted so long.
    pub(super) apart: Vec<(Instant, Entry)>,
    /// When the one was queued that is in flight now.
    pub(super) began: Option<Instant>,
}

impl TrialQueue {
    /// True if nothing else that wants an acknowledgement is to be sent now.
    pub(super) fn block_others(&self) -> bool {
        self.began.is_some() || !self.waiting.is_empty()
    }

    /// True if a message that is under no suspicion may be sent at `factor` times this bound of what is in flight. Suspects
    /// may be as much again, so that a peer that takes nothing and ends each connection does not get ever more of them.
    #[cold]
    pub(super) fn admit_another(&self, bound: Capacity, factor: usize) -> bool {
        let is_reply = factor >= REPLY_FACTOR;
        let (messages, bytes) = self.held();
        let most = Capacity::new(
            bound.messages.saturating_mul(factor),
            bound.bytes.saturating_mul(factor),
        );
        (is_reply || !self.block_others())
            && (messages <= 1 || Capacity::new(messages, bytes).is_within(most))
    }

    /// The one that was in flight is not any more, and the connection lasts. While another was on trial, no time has
    /// passed for those that are set apart.
    pub(super) fn end_trial(&mut self, now: Instant) {
        if let Some(began) = self.began.take() {
            let took = now.saturating_duration_since(began);
            self.apart.iter_mut().for_each(|(until, _)| *until += took);
        }
    }

    /// Takes those that are no longer worth sending.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Entry> {
        let mut expired = Vec::new();
        let mut stays = |entry: &mut Entry| {
            let is_over = entry.is_expired(now);
            if is_over {
                expired.push(take(entry));
            }
            !is_over
        };
        self.waiting.retain_mut(&mut stays);
        self.apart.retain_mut(|(_, entry)| stays(entry));
        expired
    }

    /// Messages that are not in flight, and their payload bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        let apart = self.apart.iter().map(|(_, entry)| entry);
        let all = self.waiting.iter().chain(apart);
        all.fold((0, 0), |(messages, bytes), entry| {
            let held = entry.payload.len() + entry.envelope().len();
            (messages + 1, bytes + held)
        })
    }

    /// Everything that was not sent.
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        let apart = self.apart.into_iter().map(|(_, entry)| entry);
        self.waiting.into_iter().chain(apart)
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::limits::DeliveryGuarantee;
    use crate::link::Target;

    #[test]
    fn those_that_expire_are_taken_out_wherever_they_wait() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mortal = |seconds| {
            let payload = Bytes::from_static(b"mortal");
            let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtLeastOnce, payload);
            entry.extras.get_or_insert_default().expires = Some(after(seconds));
            entry
        };
        let mut trials = TrialQueue {
            waiting: [mortal(1), mortal(9)].into(),
            apart: vec![(after(30), mortal(2)), (after(30), mortal(9))],
            ..TrialQueue::default()
        };
        assert_eq!(trials.take_expired(begin).len(), 0);
        assert_eq!(trials.take_expired(after(2)).len(), 2);
        assert_eq!(trials.held().0, 2);
    }

    #[test]
    fn nothing_joins_suspects_that_are_as_much_as_may_be_in_flight() {
        let later = Instant::now() + Duration::from_secs(30);
        let suspect = || {
            let payload = Bytes::from_static(b"suspect");
            Entry::new(Target::Mode, DeliveryGuarantee::AtLeastOnce, payload)
        };
        let bound = Capacity::new(3, 14);
        let mut trials = TrialQueue::default();
        for (suspects, others_go, replies_go) in [
            (1, true, true),
            (2, true, true),
            (3, false, true),
            (16, false, true),
            (17, false, false),
        ] {
            trials.apart = (0..suspects).map(|_| (later, suspect())).collect();
            let admitted = |factor| trials.admit_another(bound, factor);
            let expected = (others_go, replies_go);
            assert_eq!(
                (admitted(1), admitted(REPLY_FACTOR)),
                expected,
                "{suspects}"
            );
        }
        trials.apart.clear();
        trials.waiting = [suspect()].into();
        assert!(!trials.admit_another(bound, 1));
        assert!(trials.admit_another(bound, REPLY_FACTOR));
    }

    #[test]
    fn those_that_are_set_apart_wait_for_as_long_as_another_is_tried() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let entry = Entry::new(
            Target::Mode,
            DeliveryGuarantee::AtLeastOnce,
            Bytes::from_static(b"apart"),
        );
        let mut trials = TrialQueue {
            apart: vec![(after(10), entry)],
            ..TrialQueue::default()
        };
        trials.end_trial(after(3));
        assert_eq!(trials.apart[0].0, after(10), "none was on trial");
        trials.began = Some(after(4));
        assert!(trials.block_others());
        trials.end_trial(after(9));
        assert_eq!(trials.apart[0].0, after(15));
        assert!(!trials.block_others());
    }
}
