//! Which dead letters are meant.

use std::collections::BTreeSet;

use super::letter::Letter;
use crate::event::DeadLetterReason;
use crate::id::Identity;

/// Which letters of a dead-letter queue are meant: those that fulfil all conditions that were set.
///
/// ```
/// use actix_aiomsg::event::DeadLetterReason;
/// use actix_aiomsg::outbox::LetterFilter;
///
/// let poison = LetterFilter::all().reason(DeadLetterReason::Poison);
/// let these = LetterFilter::ids([3, 5]);
/// # let _ = (poison, these);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a filter does nothing until a queue is asked with it"]
pub struct LetterFilter {
    ids: Option<BTreeSet<u64>>,
    after: Option<u64>,
    reason: Option<DeadLetterReason>,
    peer: Option<Identity>,
    received: Option<bool>,
}

impl LetterFilter {
    /// All letters.
    pub const fn all() -> Self {
        Self {
            ids: None,
            after: None,
            reason: None,
            peer: None,
            received: None,
        }
    }

    /// The letters of these ids.
    pub fn ids(ids: impl IntoIterator<Item = u64>) -> Self {
        Self {
            ids: Some(ids.into_iter().collect()),
            ..Self::all()
        }
    }

    /// Only those behind the letter of this id, so that a long list can be read in parts.
    pub const fn after(mut self, id: u64) -> Self {
        self.after = Some(id);
        self
    }

    /// Only those with this reason.
    pub const fn reason(mut self, reason: DeadLetterReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Only those that were for this peer, or came from it.
    pub const fn peer(mut self, peer: Identity) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Only those that the socket received or, with `false`, was to send.
    pub const fn received(mut self, received: bool) -> Self {
        self.received = Some(received);
        self
    }

    /// The first id that may be meant.
    pub(super) fn first(&self) -> u64 {
        let listed = self.ids.as_ref().and_then(|ids| ids.first().copied());
        let after = self.after.map_or(0, |id| id.saturating_add(1));
        listed.unwrap_or(0).max(after)
    }

    /// True if no letter from this id on is meant.
    pub(super) fn is_behind(&self, id: u64) -> bool {
        let last = self.ids.as_ref().map(|ids| ids.last().copied());
        last.is_some_and(|last| last.is_none_or(|last| id > last))
    }

    /// True if this letter is meant.
    pub(super) fn takes(&self, id: u64, letter: &Letter) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
            && self.after.is_none_or(|after| id > after)
            && self.reason.is_none_or(|reason| letter.reason == reason)
            && self.peer.is_none_or(|peer| letter.peer == Some(peer))
            && self
                .received
                .is_none_or(|received| letter.received == received)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_filter_takes_what_fulfils_all_its_conditions() {
        let peer = Identity::from_bytes([1; 16]);
        let letter = Letter {
            payload: Bytes::new(),
            peer: Some(peer),
            reason: DeadLetterReason::Poison,
            detail: None,
            received: true,
            at_least_once: false,
            to_service: false,
            message: None,
            envelope: Bytes::new(),
            buried: 0,
        };
        let takes = |filter: &LetterFilter| filter.takes(7, &letter);
        assert!(takes(&LetterFilter::all()));
        let all = LetterFilter::ids([5, 7])
            .after(6)
            .reason(DeadLetterReason::Poison)
            .peer(peer)
            .received(true);
        assert!(takes(&all));
        assert_eq!(
            (all.first(), all.is_behind(7), all.is_behind(8)),
            (7, false, true)
        );
        for filter in [
            LetterFilter::ids([6]),
            LetterFilter::ids([]),
            LetterFilter::all().after(7),
            LetterFilter::all().reason(DeadLetterReason::Expired),
            LetterFilter::all().peer(Identity::from_bytes([2; 16])),
            LetterFilter::all().received(false),
        ] {
            assert!(!takes(&filter), "{filter:?}");
        }
        assert!(LetterFilter::ids([]).is_behind(0));
        assert!(!LetterFilter::all().is_behind(u64::MAX));
    }
}
