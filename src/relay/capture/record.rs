//! The bytes of a recording.

use std::time::Duration;

use bytes::Bytes;

use crate::id::{ID_BYTES, Identity};

const MAGIC: [u8; 7] = *b"\xa1AIOCAP";
pub(super) const VERSION: u8 = 1;
/// Bytes in front of the first record.
pub(super) const HEADER_BYTES: usize = 16;
/// Bytes of the length and the checksum of a record.
pub(super) const RECORD_HEAD_BYTES: usize = 8;
/// Bytes of a record between its head and the payload.
pub(super) const RECORD_FIELD_BYTES: usize = 8 + ID_BYTES;

/// One message of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapturedMessage {
    /// Time since the recording began, to the microsecond.
    pub after: Duration,
    /// The peer that the message came from.
    pub peer: Identity,
    /// The payload.
    pub payload: Bytes,
}

/// The first bytes of a recording that begins at this time of the wall clock.
pub(super) fn header(began_millis: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..7].copy_from_slice(&MAGIC);
    header[7] = VERSION;
    header[8..].copy_from_slice(&began_millis.to_be_bytes());
    header
}

/// The version of a file, and when it was begun; `None` if it is no recording.
pub(super) fn read_header(header: &[u8; HEADER_BYTES]) -> Option<(u8, u64)> {
    let rest = header.strip_prefix(&MAGIC)?;
    let (&version, millis) = rest.split_first()?;
    Some((version, u64::from_be_bytes(millis.try_into().ok()?)))
}

impl CapturedMessage {
    /// The record of this message.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        let length = RECORD_FIELD_BYTES + self.payload.len();
        out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        out.extend([0; 4]);
        let micros = u64::try_from(self.after.as_micros()).unwrap_or(u64::MAX);
        out.extend(micros.to_be_bytes());
        out.extend(self.peer.as_bytes());
        out.extend_from_slice(&self.payload);
        let sum = crc32fast::hash(&out[begin + RECORD_HEAD_BYTES..]);
        out[begin + 4..begin + RECORD_HEAD_BYTES].copy_from_slice(&sum.to_be_bytes());
    }

    /// Reads what stands behind the head of a record. `None` if it is not as it was written.
    pub(super) fn read(sum: u32, body: Bytes) -> Option<Self> {
        if crc32fast::hash(&body) != sum {
            return None;
        }
        let (micros, rest) = body.split_first_chunk()?;
        let (peer, _) = rest.split_first_chunk()?;
        Some(Self {
            after: Duration::from_micros(u64::from_be_bytes(*micros)),
            peer: Identity::from_bytes(*peer),
            payload: body.slice(RECORD_FIELD_BYTES..),
        })
    }
}
