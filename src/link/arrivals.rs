//! Messages that arrive by a link: finding repetitions, and acknowledging.

use super::answers::Answers;
use super::link::Link;
use super::owner::LinkOwner;
use crate::engine::{Arrivals, IdRun, Repetition, Sighting};
use crate::id::MessageId;
use crate::limits::AckPolicy;
use crate::wire::{NotHandled, Verdict};

impl Link {
    /// True if messages that come by this link are looked up before they are handed on.
    #[inline]
    pub(crate) fn dedupes(&self) -> bool {
        self.answers.is_some()
    }

    /// True if messages that come by this link are acknowledged when they enter the inbox.
    #[inline]
    pub(crate) fn acknowledges_receipt(&self) -> bool {
        let answers = self.answers.as_ref();
        answers.is_some_and(|answers| answers.policy() == AckPolicy::OnReceipt)
    }

    /// Messages that want an acknowledgement have come. Yields those that this very connection has brought
    /// before.
    #[inline]
    pub(crate) fn handle_requests(&self, runs: &[IdRun]) -> Vec<Repetition> {
        let mut again = Vec::new();
        if !runs.is_empty() {
            let mut state = self.state.lock();
            let arrivals = (state.arrivals).get_or_insert_with(|| Box::new(Arrivals::new()));
            arrivals.handle_arrivals(runs, &mut again);
            // What is finished is acknowledged once more; what is in hand has one acknowledgement to come.
            let in_hand = again.iter().filter(|(.., seen)| *seen == Sighting::InHand);
            let all: usize = runs.iter().map(IdRun::len).sum();
            state.unanswered += all - in_hand.count();
        }
        again
    }

    /// Bytes that it takes to know repetitions.
    pub(crate) fn remembered_bytes(&self) -> usize {
        let state = self.state.lock();
        state
            .arrivals
            .as_ref()
            .map_or(0, |arrivals| arrivals.bytes())
    }

    /// A message that wants an acknowledgement has come, and is none of those. Says whether the peer has sent
    /// it before.
    pub(crate) fn handle_arrival(&self, owner: &dyn LinkOwner, id: MessageId) -> Sighting {
        let peer = self.peer();
        let answers = self.answers.as_ref();
        answers.map_or(Sighting::New, |answers| {
            answers.handle_arrival(owner, peer, id)
        })
    }

    /// Messages enter the inboxes of all that get them, under a policy that acknowledges that.
    pub(crate) fn handle_receipt(&self, ids: &[MessageId]) {
        if ids.is_empty() {
            return;
        }
        self.remember_finished(ids, Ok(()));
        self.push_acks(ids);
    }

    /// Messages are dropped before anybody could handle them, and without an acknowledgement: if
    /// they come again, they are to be delivered.
    pub(crate) fn handle_loss(&self, ids: &[MessageId]) {
        let mut state = self.state.lock();
        state.unanswered = state.unanswered.saturating_sub(ids.len());
        if let Some(arrivals) = &mut state.arrivals {
            ids.iter().for_each(|&id| arrivals.handle_loss(id));
        }
        drop(state);
        if let Some(seen) = self.answers.as_ref().and_then(|answers| answers.seen()) {
            ids.iter().for_each(|&id| seen.handle_loss(id));
        }
    }

    /// Messages are finished: acknowledges them.
    #[inline]
    pub(crate) fn handle_finished(&self, ids: &[MessageId]) {
        match &self.answers {
            None => {
                self.push_acks(ids);
            }
            Some(answers) => self.finish_by_policy(answers, ids, Ok(())),
        }
    }

    /// Messages end without having been handled: says so to who knows that, and acknowledges them.
    #[cold]
    pub(crate) fn refuse(&self, ids: &[MessageId], reason: NotHandled) {
        match &self.answers {
            None => {
                self.push_verdict(ids, Err(reason));
            }
            Some(answers) => self.finish_by_policy(answers, ids, Err(reason)),
        }
    }

    #[cold]
    fn finish_by_policy(&self, answers: &Answers, ids: &[MessageId], verdict: Verdict) {
        if let Some(redelivery) = answers.redelivery() {
            redelivery.end(ids, verdict);
            return;
        }
        if answers.policy() == AckPolicy::OnReceipt {
            return;
        }
        let remembered = self.remember_finished(ids, verdict);
        if self.push_verdict(ids, verdict) || !remembered {
            return;
        }
        // The connection is gone. If the peer is back, it may have resent them by its new one, where
        // they were absorbed; if it has not, it ignores the acknowledgements.
        if let Some(owner) = self.owner() {
            owner.push_verdict_to(self.peer(), ids, verdict);
        }
    }

    /// False where nothing is remembered.
    fn remember_finished(&self, ids: &[MessageId], verdict: Verdict) -> bool {
        let seen = self.answers.as_ref().and_then(|answers| answers.seen());
        let Some(seen) = seen else {
            return false;
        };
        seen.handle_finish(self.clock().uptime(), ids, verdict);
        true
    }
}
