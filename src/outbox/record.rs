//! A message as it is stored.

use bytes::Bytes;

use crate::id::{ID_BYTES, Identity, MessageId};

/// The layout that is written of messages without metadata.
const LAYOUT: u8 = 1;
/// The layout of those with metadata, which stands in front of the payload, behind its length in two bytes.
const LAYOUT_WITH_METADATA: u8 = 2;

const FLAG_PEER: u8 = 1;
const FLAG_EXPIRES: u8 = 2;
const CHECKSUM_BYTES: usize = 4;

/// One message that is kept until it is acknowledged. Times are milliseconds of the wall clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: MessageId,
    /// The peer that it is for; `None` for whomever is next in turn.
    pub(crate) peer: Option<Identity>,
    /// When it was accepted.
    pub(crate) accepted: u64,
    /// When it is no longer worth sending.
    pub(crate) expires: Option<u64>,
    /// The envelope of its metadata; empty if it has none.
    pub(crate) envelope: Bytes,
    pub(crate) payload: Bytes,
}

/// A record is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DamagedRecord;

/// The key of a record: its place in the order of commits.
pub(crate) fn key_of(place: u64) -> [u8; 8] {
    place.to_be_bytes()
}

/// The place of a key, if it is one.
pub(crate) fn place_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

impl Record {
    /// The bytes of the record at its place, with a checksum over both.
    pub(crate) fn encode(&self, place: u64) -> Vec<u8> {
        let mut flags = 0;
        if self.peer.is_some() {
            flags |= FLAG_PEER;
        }
        if self.expires.is_some() {
            flags |= FLAG_EXPIRES;
        }
        let content = self.envelope.len() + self.payload.len();
        let mut bytes = Vec::with_capacity(2 + 2 * ID_BYTES + 16 + 2 + content + 4);
        let layout = match self.envelope.is_empty() {
            true => LAYOUT,
            false => LAYOUT_WITH_METADATA,
        };
        bytes.extend([layout, flags]);
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.accepted.to_be_bytes());
        bytes.extend(self.peer.iter().flat_map(Identity::as_bytes));
        bytes.extend(self.expires.iter().flat_map(|time| time.to_be_bytes()));
        put_envelope(&mut bytes, &self.envelope);
        bytes.extend_from_slice(&self.payload);
        sealed(place, bytes)
    }

    /// Bytes that it counts as.
    pub(super) fn cost(&self) -> usize {
        cost(self.payload.len() + self.envelope.len())
    }

    /// Reads what [`encode`](Self::encode) has written for this place.
    pub(crate) fn decode(place: u64, bytes: &[u8]) -> Result<Self, DamagedRecord> {
        let mut rest = checked(place, bytes)?;
        let [layout, flags] = take(&mut rest)?;
        if !matches!(layout, LAYOUT | LAYOUT_WITH_METADATA) {
            return Err(DamagedRecord);
        }
        let id = MessageId::from_bytes(take(&mut rest)?);
        let accepted = u64::from_be_bytes(take(&mut rest)?);
        let peer = match flags & FLAG_PEER {
            0 => None,
            _ => Some(Identity::from_bytes(take(&mut rest)?)),
        };
        let expires = match flags & FLAG_EXPIRES {
            0 => None,
            _ => Some(u64::from_be_bytes(take(&mut rest)?)),
        };
        let envelope = match layout {
            LAYOUT_WITH_METADATA => take_envelope(&mut rest)?,
            _ => Bytes::new(),
        };
        Ok(Self {
            id,
            peer,
            accepted,
            expires,
            envelope,
            payload: Bytes::copy_from_slice(rest),
        })
    }
}

/// Bytes that a message counts as, by those of its payload and its metadata.
pub(super) fn cost(payload: usize) -> usize {
    payload + 64
}

/// The bytes of a record at its place, and a checksum over both.
pub(super) fn sealed(place: u64, mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(&key_of(place), &bytes);
    bytes.extend(checksum.to_be_bytes());
    bytes
}

/// The bytes of a record that was [`sealed`] for this place.
pub(super) fn checked(place: u64, bytes: &[u8]) -> Result<&[u8], DamagedRecord> {
    let (content, sum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(DamagedRecord)?;
    match checksum(&key_of(place), content) == u32::from_be_bytes(*sum) {
        true => Ok(content),
        false => Err(DamagedRecord),
    }
}

/// Takes so many bytes from the beginning.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DamagedRecord> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(DamagedRecord)?;
    *rest = tail;
    Ok(*head)
}

/// The envelope of metadata behind its length in two bytes; nothing of an empty one.
pub(super) fn put_envelope(bytes: &mut Vec<u8>, envelope: &[u8]) {
    if !envelope.is_empty() {
        let length = u16::try_from(envelope.len()).expect("metadata is bounded");
        bytes.extend(length.to_be_bytes());
        bytes.extend_from_slice(envelope);
    }
}

/// Takes an envelope that was [put](put_envelope) to the beginning.
pub(super) fn take_envelope(rest: &mut &[u8]) -> Result<Bytes, DamagedRecord> {
    let length = u16::from_be_bytes(take(rest)?);
    let (envelope, behind) = rest.split_at_checked(length.into()).ok_or(DamagedRecord)?;
    *rest = behind;
    Ok(Bytes::copy_from_slice(envelope))
}

/// A checksum over a key and what stands under it.
pub(super) fn checksum(key: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(peer: Option<[u8; 16]>, expires: Option<u64>, payload: Vec<u8>) -> Record {
        Record {
            id: MessageId::from_bytes([7; 16]),
            peer: peer.map(Identity::from_bytes),
            accepted: 1_700_000_000_000,
            expires,
            envelope: Bytes::new(),
            payload: payload.into(),
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(
            peer: Option<[u8; 16]>, expires: Option<u64>, envelope: Vec<u8>, payload: Vec<u8>, place: u64,
        ) {
            let mut record = record(peer, expires, payload);
            record.envelope = envelope.into();
            prop_assert_eq!(Record::decode(place, &record.encode(place)), Ok(record));
        }

        #[test]
        fn a_record_that_was_changed_cut_or_moved_is_damaged(
            payload: Vec<u8>, place: u64, at: prop::sample::Index, bit in 0..8u32, moved in 1u64..,
        ) {
            let bytes = record(Some([9; 16]), None, payload).encode(place);
            let mut flipped = bytes.clone();
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
            prop_assert_eq!(Record::decode(place, &flipped), Err(DamagedRecord));
            prop_assert_eq!(Record::decode(place, &bytes[..at]), Err(DamagedRecord));
            prop_assert_eq!(Record::decode(place.wrapping_add(moved), &bytes), Err(DamagedRecord));
        }

        #[test]
        fn any_bytes_can_be_read(place: u64, bytes: Vec<u8>) {
            let _ = Record::decode(place, &bytes);
        }
    }

    /// A file that is written today is read by every later version.
    #[test]
    fn the_bytes_of_a_record_are_these() {
        let record = record(Some([2; 16]), Some(5), b"hello".to_vec());
        let hex: String = record
            .encode(3)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "0103\
             07070707070707070707070707070707\
             0000018bcfe56800\
             02020202020202020202020202020202\
             0000000000000005\
             68656c6c6f\
             596fed77"
        );
    }

    #[test]
    fn the_bytes_of_a_record_with_metadata_are_these() {
        let mut record = record(None, None, b"hello".to_vec());
        record.envelope = Bytes::from_static(b"\xa1ENV\x01\x00\x00\x01\x00");
        let bytes = record.encode(3);
        let content = b"\x00\x09\xa1ENV\x01\x00\x00\x01\x00hello";
        assert_eq!(bytes[..2], [2, 0]);
        assert_eq!(&bytes[26..bytes.len() - 4], content);
        assert_eq!(Record::decode(3, &bytes), Ok(record));
    }
}
