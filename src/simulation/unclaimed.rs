//! Messages that a socket gives up before anybody has subscribed.

use std::collections::BTreeSet;

use super::executor::Owner;
use super::ledger::Number;

/// What became of messages at sockets whose handlers subscribe late.
#[derive(Debug, Default)]
pub(super) struct Unclaimed {
    late: BTreeSet<Owner>,
    /// Acknowledged, and not handled: a dead letter is to say so.
    acknowledged: BTreeSet<(Owner, Number)>,
    /// Dead letters.
    buried: BTreeSet<(Owner, Number)>,
}

impl Unclaimed {
    /// The handler of a socket subscribes so late that messages may be given up before.
    pub(super) fn note_late(&mut self, owner: Owner) {
        self.late.insert(owner);
    }

    /// A socket acknowledges a message that no handler has finished. False if that is not for want of one.
    pub(super) fn may_acknowledge(&mut self, number: Number, by: Owner) -> bool {
        self.acknowledged.insert((by, number));
        self.late.contains(&by)
    }

    /// A socket announces that nobody receives a message.
    pub(super) fn bury(&mut self, number: Number, by: Owner) {
        assert!(
            self.late.contains(&by),
            "{by} gave up {number:?} before anybody could subscribe"
        );
        self.buried.insert((by, number));
    }

    /// All dead letters of a socket have come.
    pub(super) fn settle(&self, by: Owner) {
        let lost = self.acknowledged.difference(&self.buried);
        let lost: Vec<_> = lost.filter(|(owner, _)| *owner == by).collect();
        assert!(lost.is_empty(), "acknowledged in silence: {lost:?}");
    }
}
