//! Messages that arrive by a link: finding repetitions, and acknowledging.

use std::sync::Arc;

use super::answers::{Answers, Redelivery};
use super::dedupe::PeerDedupe;
use super::link::Link;
use super::owner::LinkOwner;
use crate::engine::{Arrivals, IdRun, Repetition, Sighting};
use crate::id::MessageId;
use crate::limits::AckPolicy;
use crate::outbox::WindowMark;
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
    pub(crate) fn handle_receipt(self: &Arc<Self>, ids: &[MessageId]) {
        if !ids.is_empty() {
            self.finish_all(ids, Ok(()));
        }
    }

    /// New messages go to handlers. On a socket whose dedupe window outlives the process, a note of that is committed first:
    /// `when_noted` is called then. False on other sockets, which call nothing.
    pub(crate) fn note_in_hand(
        &self,
        ids: &[MessageId],
        when_noted: impl FnOnce() + Send + 'static,
    ) -> bool {
        let Some(seen) = self.seen().filter(|seen| seen.is_stored()) else {
            return false;
        };
        seen.mark(ids, WindowMark::InHand, when_noted);
        true
    }

    /// True if a message in hand was in hand already when an earlier start of the socket ended.
    pub(crate) fn was_in_hand(&self, id: MessageId) -> bool {
        self.seen().is_some_and(|seen| seen.is_again(id))
    }

    fn seen(&self) -> Option<&PeerDedupe> {
        self.answers.as_ref().and_then(|answers| answers.seen())
    }

    /// Messages are dropped before anybody could handle them, and without an acknowledgement: if
    /// they come again, they are to be delivered.
    pub(crate) fn handle_loss(&self, ids: &[MessageId]) {
        self.forget_arrivals(ids);
        let Some(seen) = self.seen() else { return };
        ids.iter().for_each(|&id| seen.handle_loss(id));
        // If the peer is back, it may have sent them again by its new connection, where they were absorbed.
        if self.is_closed()
            && let Some(owner) = self.owner()
        {
            owner.forget_arrivals_from(self.peer(), ids);
        }
    }

    /// Messages that were in hand are new if they come again.
    pub(crate) fn forget_arrivals(&self, ids: &[MessageId]) {
        let mut state = self.state.lock();
        let Some(arrivals) = &mut state.arrivals else {
            return;
        };
        let lost = ids.iter().filter(|&&id| arrivals.handle_loss(id)).count();
        state.unanswered = state.unanswered.saturating_sub(lost);
    }

    /// Messages are finished: acknowledges them.
    #[inline]
    pub(crate) fn handle_finished(self: &Arc<Self>, ids: &[MessageId]) {
        match &self.answers {
            None => {
                self.push_acks(ids);
            }
            Some(answers) => self.finish_by_policy(answers, ids, Ok(())),
        }
    }

    /// Messages end without having been handled: says so to who knows that, and acknowledges them.
    #[cold]
    pub(crate) fn refuse(self: &Arc<Self>, ids: &[MessageId], reason: NotHandled) {
        match &self.answers {
            None => {
                self.push_verdict(ids, Err(reason));
            }
            Some(answers) => self.finish_by_policy(answers, ids, Err(reason)),
        }
    }

    /// Messages have come to their end before they were in any inbox, where [their receipt](Self::handle_receipt) would have been
    /// acknowledged: acknowledges them under every policy.
    #[cold]
    pub(crate) fn finish_unread(self: &Arc<Self>, ids: &[MessageId], verdict: Verdict) {
        if ids.is_empty() {
            return;
        }
        match self.redelivery() {
            Some(redelivery) => redelivery.end(ids, verdict),
            None => self.finish_all(ids, verdict),
        }
    }

    /// True if its messages are delivered once more, and nobody would send them again.
    pub(crate) fn is_redelivery(&self) -> bool {
        self.redelivery().is_some()
    }

    fn redelivery(&self) -> Option<&Redelivery> {
        self.answers.as_ref()?.redelivery()
    }

    #[cold]
    fn finish_by_policy(self: &Arc<Self>, answers: &Answers, ids: &[MessageId], verdict: Verdict) {
        if let Some(redelivery) = answers.redelivery() {
            redelivery.end(ids, verdict);
            return;
        }
        if answers.policy() != AckPolicy::OnReceipt {
            self.finish_all(ids, verdict);
        }
    }

    /// Acknowledges messages once it is remembered that they are finished: in the store, where the window is kept there.
    fn finish_all(self: &Arc<Self>, ids: &[MessageId], verdict: Verdict) {
        match self.seen().filter(|seen| seen.is_stored()) {
            None => self.finish_remembered(ids, verdict),
            Some(seen) => {
                let (link, all) = (Arc::clone(self), ids.to_vec());
                let when_done = move || link.finish_remembered(&all, verdict);
                seen.mark(ids, WindowMark::Finished(verdict), when_done);
            }
        }
    }

    fn finish_remembered(&self, ids: &[MessageId], verdict: Verdict) {
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
        let Some(seen) = self.seen() else {
            return false;
        };
        seen.handle_finish(self.clock().uptime(), ids, verdict);
        true
    }
}
