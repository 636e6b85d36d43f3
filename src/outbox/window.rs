//! The dedupe window of a socket in the store of its outbox: which messages it has in hand, and what became of those that
//! are finished.

use super::record::checksum;
use super::store::{Change, Table};
use crate::id::{ID_BYTES, Identity, MessageId};
use crate::wire::{NotHandled, Verdict};

/// The layout that is written.
const LAYOUT: u8 = 1;

const KEY_BYTES: usize = 2 * ID_BYTES;
const VALUE_BYTES: usize = 14;
const CHECKSUM_BYTES: usize = 4;

const IN_HAND: u8 = 0;
const HANDLED: u8 = 1;
const NOT_HANDLED: u8 = 2;

/// What is to be done once a change of the window is committed.
pub(crate) type WhenCommitted = Box<dyn FnOnce() + Send>;

/// What the window knows of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowMark {
    /// They go to a handler.
    InHand,
    Finished(Verdict),
    /// Nothing more.
    Forgotten,
}

/// A change of the window, for messages of one peer.
pub(super) struct WindowChange {
    pub(super) peer: Identity,
    pub(super) ids: Vec<MessageId>,
    pub(super) mark: WindowMark,
    /// When that was, in milliseconds of the wall clock.
    pub(super) wall: u64,
    pub(super) when_done: Option<WhenCommitted>,
}

/// A message that the window of an earlier start knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownMessage {
    pub(crate) peer: Identity,
    pub(crate) id: MessageId,
    /// When it came or was finished, in milliseconds of the wall clock.
    pub(crate) wall: u64,
    /// What became of it; `None` if it was in hand when the socket ended.
    pub(crate) verdict: Option<Verdict>,
}

impl KnownMessage {
    fn key(&self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..ID_BYTES].copy_from_slice(self.peer.as_bytes());
        key[ID_BYTES..].copy_from_slice(self.id.as_bytes());
        key
    }

    fn value(&self, key: &[u8; KEY_BYTES]) -> [u8; VALUE_BYTES] {
        let (stage, reason) = match self.verdict {
            None => (IN_HAND, 0),
            Some(Ok(())) => (HANDLED, 0),
            Some(Err(reason)) => (NOT_HANDLED, reason.to_byte()),
        };
        let mut value = [0; VALUE_BYTES];
        value[0] = LAYOUT << 4 | stage;
        value[1] = reason;
        value[2..10].copy_from_slice(&self.wall.to_be_bytes());
        let checksum = checksum(key, &value[..VALUE_BYTES - CHECKSUM_BYTES]);
        value[10..].copy_from_slice(&checksum.to_be_bytes());
        value
    }

    /// Reads an entry of the table; `None` if it is not as it was written.
    pub(super) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let key: [u8; KEY_BYTES] = key.try_into().ok()?;
        let value: [u8; VALUE_BYTES] = value.try_into().ok()?;
        let (content, sum) = value.split_last_chunk::<CHECKSUM_BYTES>()?;
        let [head, reason, wall @ ..] = content else {
            return None;
        };
        if checksum(&key, content) != u32::from_be_bytes(*sum) {
            return None;
        }
        let verdict = match (head >> 4, head & 0xF) {
            (LAYOUT, IN_HAND) => None,
            (LAYOUT, HANDLED) => Some(Ok(())),
            (LAYOUT, NOT_HANDLED) => Some(Err(NotHandled::from_byte(*reason))),
            _ => return None,
        };
        let (peer, id) = key.split_first_chunk::<ID_BYTES>()?;
        Some(Self {
            peer: Identity::from_bytes(*peer),
            id: MessageId::from_bytes(id.try_into().ok()?),
            wall: u64::from_be_bytes(wall.try_into().ok()?),
            verdict,
        })
    }
}

/// A change of one entry, as bytes.
pub(super) struct WindowEntry {
    key: [u8; KEY_BYTES],
    value: Option<[u8; VALUE_BYTES]>,
}

impl WindowEntry {
    /// The entries that a change concerns.
    pub(super) fn all_of(change: &WindowChange) -> impl Iterator<Item = Self> {
        change.ids.iter().map(|&id| {
            let (peer, wall) = (change.peer, change.wall);
            let known = |verdict| KnownMessage {
                peer,
                id,
                wall,
                verdict,
            };
            let (known, stays) = match change.mark {
                WindowMark::InHand => (known(None), true),
                WindowMark::Finished(verdict) => (known(Some(verdict)), true),
                WindowMark::Forgotten => (known(None), false),
            };
            let key = known.key();
            let value = stays.then(|| known.value(&key));
            Self { key, value }
        })
    }

    pub(super) fn as_change(&self) -> Change<'_> {
        let (table, key) = (Table::Window, &self.key[..]);
        match &self.value {
            Some(value) => Change::Put { table, key, value },
            None => Change::Remove { table, key },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(peer: [u8; 16], id: [u8; 16], wall: u64, stage: u8) -> KnownMessage {
        KnownMessage {
            peer: Identity::from_bytes(peer),
            id: MessageId::from_bytes(id),
            wall,
            verdict: match stage {
                0 => None,
                1 => Some(Ok(())),
                reason => Some(Err(NotHandled::from_byte(reason))),
            },
        }
    }

    proptest! {
        #[test]
        fn what_the_window_knows_comes_back_as_it_was_and_changed_bytes_are_found(
            peer: [u8; 16], id: [u8; 16], wall: u64, stage in 0..12_u8, at: prop::sample::Index, bit in 0..8u32,
        ) {
            let known = known(peer, id, wall, stage);
            let key = known.key();
            let value = known.value(&key);
            prop_assert_eq!(KnownMessage::decode(&key, &value), Some(known));
            let mut all = [&key[..], &value[..]].concat();
            let at = at.index(all.len());
            all[at] ^= 1 << bit;
            let (key, value) = all.split_at(KEY_BYTES);
            prop_assert_eq!(KnownMessage::decode(key, value), None);
        }

        #[test]
        fn any_bytes_of_a_window_can_be_read(key: Vec<u8>, value: Vec<u8>) {
            let _ = KnownMessage::decode(&key, &value);
        }
    }

    /// A file that is written today is read by every later version.
    #[test]
    fn the_bytes_of_a_window_are_these() {
        let known = known([1; 16], [2; 16], 1_700_000_000_000, 1);
        let key = known.key();
        assert_eq!(key, [[1; 16], [2; 16]].concat()[..]);
        let value = known.value(&key).map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(value, "11000000018bcfe5680021e83a2a");
    }
}
