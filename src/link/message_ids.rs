//! Ids of messages that lead back to their running number.

use crate::id::{ID_BYTES, MessageId};

/// The ids of one link: eight random bytes of its own, and a running number. That they count on lets a receiver of this
/// crate tell repetitions cheaply (`engine::Arrivals`).
#[derive(Debug)]
pub(super) struct IdSequence {
    own: u64,
}

impl IdSequence {
    pub(super) fn random() -> Self {
        let random = MessageId::random();
        let (own, _) = random.as_bytes().split_at(8);
        Self::new(read(own))
    }

    pub(super) const fn new(own: u64) -> Self {
        Self { own }
    }

    /// The id of a running number.
    #[inline]
    pub(super) fn id_of(&self, number: u64) -> MessageId {
        let mut bytes = [0; ID_BYTES];
        bytes[..8].copy_from_slice(&self.own.to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        MessageId::from_bytes(bytes)
    }

    /// The running number of an id, if it is of this link.
    #[inline]
    pub(super) fn number_of(&self, id: MessageId) -> Option<u64> {
        let (own, number) = id.as_bytes().split_at(8);
        (read(own) == self.own).then(|| read(number))
    }
}

#[inline]
fn read(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_leads_back_to_its_number_and_only_on_its_own_link(own: u64, number: u64) {
            let ids = IdSequence::new(own);
            prop_assert_eq!(ids.number_of(ids.id_of(number)), Some(number));
            let others = IdSequence::new(own.wrapping_add(1));
            prop_assert_eq!(others.number_of(ids.id_of(number)), None);
        }
    }
}
