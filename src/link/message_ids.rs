//! Ids of messages that lead back to their running number.

use crate::id::{ID_BYTES, MessageId};

/// Rounds of the permutation, each with a different part of the key.
const ROUNDS: u32 = 4;

/// The ids of one link: eight bytes of its own, and a running number under a keyed permutation, so that ids
/// are unique and not to be guessed.
#[derive(Debug)]
pub(super) struct IdSequence {
    own: u64,
    key: u64,
}

impl IdSequence {
    pub(super) fn random() -> Self {
        let random = MessageId::random();
        let (own, key) = random.as_bytes().split_at(8);
        Self::new(read(own), read(key))
    }

    pub(super) const fn new(own: u64, key: u64) -> Self {
        Self { own, key }
    }

    /// The id of a running number.
    pub(super) fn id_of(&self, number: u64) -> MessageId {
        let mut bytes = [0; ID_BYTES];
        bytes[..8].copy_from_slice(&self.own.to_le_bytes());
        bytes[8..].copy_from_slice(&scramble(number, self.key).to_le_bytes());
        MessageId::from_bytes(bytes)
    }

    /// The running number of an id, if it is of this link.
    pub(super) fn number_of(&self, id: MessageId) -> Option<u64> {
        let (own, number) = id.as_bytes().split_at(8);
        (read(own) == self.own).then(|| unscramble(read(number), self.key))
    }
}

fn read(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

fn round(half: u32, key: u64, round: u32) -> u32 {
    let mixed =
        (u64::from(half) ^ key.rotate_left(round * 16 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        .wrapping_shr(32) as u32
}

/// A keyed permutation of all 64-bit numbers (a Feistel network).
fn scramble(number: u64, key: u64) -> u64 {
    let (mut left, mut right) = ((number >> 32) as u32, number as u32);
    for r in 0..ROUNDS {
        (left, right) = (right, left ^ round(right, key, r));
    }
    u64::from(left) << 32 | u64::from(right)
}

fn unscramble(number: u64, key: u64) -> u64 {
    let (mut left, mut right) = ((number >> 32) as u32, number as u32);
    for r in (0..ROUNDS).rev() {
        (left, right) = (right ^ round(left, key, r), left);
    }
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_leads_back_to_its_number_and_only_on_its_own_link(own: u64, key: u64, number: u64) {
            let ids = IdSequence::new(own, key);
            prop_assert_eq!(ids.number_of(ids.id_of(number)), Some(number));
            let others = IdSequence::new(own.wrapping_add(1), key);
            prop_assert_eq!(others.number_of(ids.id_of(number)), None);
        }
    }
}
