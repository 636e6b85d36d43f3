//! A dead letter as it is kept.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

use super::record::{DamagedRecord, Record, checked, put_envelope, sealed, take, take_envelope};
use crate::clock;
use crate::event::DeadLetterReason;
use crate::excerpt::{Excerpt, beginning};
use crate::id::{Identity, MessageId};
use crate::limits::DeliveryGuarantee;

/// The layout that is written of letters without metadata.
const LAYOUT: u8 = 1;
/// The layout of those with metadata, which stands in front of the payload, behind its length in two bytes.
const LAYOUT_WITH_METADATA: u8 = 2;

const FLAG_PEER: u8 = 1;
const FLAG_MESSAGE: u8 = 2;
const FLAG_DETAIL: u8 = 4;
const FLAG_RECEIVED: u8 = 8;
const FLAG_AT_LEAST_ONCE: u8 = 16;
const FLAG_TO_SERVICE: u8 = 32;

/// Bytes of a detail that are kept.
const DETAIL_BYTES: usize = 1024;

/// A dead letter that a [dead-letter queue](crate::outbox::DeadLetterBounds) keeps. `{:?}` shows the beginning of its payload.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptLetter {
    /// Its number in the queue, which no other letter of this queue ever has.
    pub id: u64,
    /// The message.
    pub payload: Bytes,
    /// The peer that it was for or, if it was received, that it came from; `None` where the send mode was to choose, or it was for a service.
    pub peer: Option<Identity>,
    /// The reason why it did not arrive.
    pub reason: DeadLetterReason,
    /// Text of the error, of which the first 1,024 bytes are kept.
    pub detail: Option<String>,
    /// True if this socket received the message, and false if it was to send it.
    pub received: bool,
    /// The id of the message, if it was sent at least once and had one. Sent again, it has the same.
    pub message: Option<MessageId>,
    /// When it became a dead letter.
    pub buried: SystemTime,
}

/// A dead letter on its way into a queue, and in it. Times are milliseconds of the wall clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) payload: Bytes,
    pub(crate) peer: Option<Identity>,
    pub(crate) reason: DeadLetterReason,
    pub(crate) detail: Option<String>,
    pub(crate) received: bool,
    pub(crate) at_least_once: bool,
    /// True if it was to go to an instance of a service, whose name is in the payload.
    pub(crate) to_service: bool,
    pub(crate) message: Option<MessageId>,
    /// The envelope of its metadata; empty if it has none.
    pub(crate) envelope: Bytes,
    pub(crate) buried: u64,
}

impl Letter {
    /// Bytes that it counts as.
    pub(super) fn cost(&self) -> usize {
        let detail = self.detail.as_ref().map_or(0, String::len);
        self.payload.len() + self.envelope.len() + detail.min(DETAIL_BYTES) + 64
    }

    /// The bytes of the letter at its place, with a checksum over both.
    pub(super) fn encode(&self, place: u64) -> Vec<u8> {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let detail = self.detail.as_deref();
        let detail = detail.map(|detail| beginning(detail, DETAIL_BYTES));
        let flags = flag(self.peer.is_some(), FLAG_PEER)
            | flag(self.message.is_some(), FLAG_MESSAGE)
            | flag(detail.is_some(), FLAG_DETAIL)
            | flag(self.received, FLAG_RECEIVED)
            | flag(self.at_least_once, FLAG_AT_LEAST_ONCE)
            | flag(self.to_service, FLAG_TO_SERVICE);
        let mut bytes = Vec::with_capacity(64 + self.cost());
        let layout = match self.envelope.is_empty() {
            true => LAYOUT,
            false => LAYOUT_WITH_METADATA,
        };
        bytes.extend([layout, flags, code_of(self.reason)]);
        bytes.extend(self.buried.to_be_bytes());
        bytes.extend(self.peer.iter().flat_map(Identity::as_bytes));
        bytes.extend(self.message.iter().flat_map(MessageId::as_bytes));
        if let Some(detail) = detail {
            bytes.extend((detail.len() as u16).to_be_bytes());
            bytes.extend(detail.as_bytes());
        }
        put_envelope(&mut bytes, &self.envelope);
        bytes.extend_from_slice(&self.payload);
        sealed(place, bytes)
    }

    /// Reads what [`encode`](Self::encode) has written for this place.
    pub(super) fn decode(place: u64, bytes: &[u8]) -> Result<Self, DamagedRecord> {
        let mut rest = checked(place, bytes)?;
        let [layout, flags, code] = take(&mut rest)?;
        if !matches!(layout, LAYOUT | LAYOUT_WITH_METADATA) {
            return Err(DamagedRecord);
        }
        let has = |flag| flags & flag != 0;
        let buried = u64::from_be_bytes(take(&mut rest)?);
        let peer = match has(FLAG_PEER) {
            true => Some(Identity::from_bytes(take(&mut rest)?)),
            false => None,
        };
        let message = match has(FLAG_MESSAGE) {
            true => Some(MessageId::from_bytes(take(&mut rest)?)),
            false => None,
        };
        let detail = match has(FLAG_DETAIL) {
            true => {
                let length = u16::from_be_bytes(take(&mut rest)?).into();
                let (text, tail) = rest.split_at_checked(length).ok_or(DamagedRecord)?;
                rest = tail;
                let text = std::str::from_utf8(text).map_err(|_| DamagedRecord)?;
                Some(text.to_owned())
            }
            false => None,
        };
        let envelope = match layout {
            LAYOUT_WITH_METADATA => take_envelope(&mut rest)?,
            _ => Bytes::new(),
        };
        Ok(Self {
            payload: Bytes::copy_from_slice(rest),
            envelope,
            peer,
            reason: reason_of(code).ok_or(DamagedRecord)?,
            detail,
            received: has(FLAG_RECEIVED),
            at_least_once: has(FLAG_AT_LEAST_ONCE),
            to_service: has(FLAG_TO_SERVICE),
            message,
            buried,
        })
    }

    /// True if it can be a message of a store, which has none to services and none that were received.
    pub(super) fn is_storable(&self) -> bool {
        !self.received && !self.to_service
    }

    /// What it was promised.
    pub(crate) fn guarantee(&self) -> DeliveryGuarantee {
        match self.at_least_once {
            true => DeliveryGuarantee::AtLeastOnce,
            false => DeliveryGuarantee::AtMostOnce,
        }
    }

    /// The message that it is when it is sent again, by its own id, or else by this one.
    pub(super) fn again(&self, id: MessageId) -> Record {
        Record {
            id: self.message.unwrap_or(id),
            peer: self.peer,
            accepted: clock::wall(),
            expires: None,
            envelope: self.envelope.clone(),
            payload: self.payload.clone(),
        }
    }

    pub(crate) fn kept(self, id: u64) -> KeptLetter {
        KeptLetter {
            id,
            payload: self.payload,
            peer: self.peer,
            reason: self.reason,
            detail: self.detail,
            received: self.received,
            message: self.message,
            buried: clock::of_wall(self.buried),
        }
    }
}

#[cfg(feature = "json")]
impl KeptLetter {
    /// The letter as one line of JSON, without its end: an object of `id`, `reason` (its
    /// [name](DeadLetterReason::name)), `detail`, `peer` and `message` (in hex), `received`, `buried` (milliseconds since 1970) and the
    /// payload, as `text` if it is that, or as `hex`. What there is none of is left out.
    #[must_use]
    pub fn to_json(&self) -> String {
        use serde_json::Value;
        let mut object = serde_json::Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("id", self.id.into());
        put("reason", self.reason.name().into());
        if let Some(detail) = &self.detail {
            put("detail", detail.as_str().into());
        }
        if let Some(peer) = self.peer {
            put("peer", peer.to_string().into());
        }
        put("received", self.received.into());
        if let Some(message) = self.message {
            put("message", message.to_string().into());
        }
        let buried = self.buried.duration_since(SystemTime::UNIX_EPOCH);
        let millis = buried.unwrap_or_default().as_millis();
        put("buried", u64::try_from(millis).unwrap_or(u64::MAX).into());
        match std::str::from_utf8(&self.payload) {
            Ok(text) => put("text", text.into()),
            Err(_) => {
                let hex: String = self.payload.iter().map(|b| format!("{b:02x}")).collect();
                put("hex", hex.into())
            }
        };
        Value::Object(object).to_string()
    }
}

impl fmt::Debug for KeptLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptLetter")
            .field("id", &self.id)
            .field("payload", &Excerpt(&self.payload))
            .field("peer", &self.peer)
            .field("reason", &self.reason)
            .field("detail", &self.detail)
            .field("received", &self.received)
            .field("message", &self.message)
            .field("buried", &self.buried)
            .finish()
    }
}

/// The number of a reason in a file, which never changes.
const fn code_of(reason: DeadLetterReason) -> u8 {
    match reason {
        DeadLetterReason::Expired => 1,
        DeadLetterReason::ResendLimit => 2,
        DeadLetterReason::Overflow => 3,
        DeadLetterReason::PeerGone => 4,
        DeadLetterReason::HalfWritten => 5,
        DeadLetterReason::PeerCannotTake => 6,
        DeadLetterReason::Closed => 7,
        DeadLetterReason::Poison => 8,
        DeadLetterReason::Rejected => 9,
        DeadLetterReason::Undecodable => 10,
        DeadLetterReason::Unwanted => 11,
        DeadLetterReason::Unclaimed => 12,
    }
}

fn reason_of(code: u8) -> Option<DeadLetterReason> {
    let mut all = DeadLetterReason::ALL.iter().copied();
    all.find(|reason| code_of(*reason) == code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters() -> impl Strategy<Value = Letter> {
        let ids = (
            any::<Option<[u8; 16]>>(),
            any::<Option<[u8; 16]>>(),
            any::<u64>(),
        );
        let rest = (
            any::<(Vec<u8>, Vec<u8>)>(),
            proptest::option::of(".{0,40}"),
            any::<(bool, bool, bool)>(),
            prop::sample::select(DeadLetterReason::ALL),
        );
        (ids, rest).prop_map(
            |((peer, message, buried), ((payload, envelope), detail, flags, reason))| Letter {
                payload: payload.into(),
                envelope: envelope.into(),
                peer: peer.map(Identity::from_bytes),
                reason,
                detail,
                received: flags.0,
                at_least_once: flags.1,
                to_service: flags.2,
                message: message.map(MessageId::from_bytes),
                buried,
            },
        )
    }

    proptest! {
        #[test]
        fn a_letter_comes_back_as_it_was(letter in letters(), place: u64) {
            let bytes = letter.encode(place);
            prop_assert_eq!(Letter::decode(place, &bytes), Ok(letter));
        }

        #[test]
        fn a_letter_that_was_changed_cut_or_moved_is_damaged(
            letter in letters(), place: u64, at: prop::sample::Index, bit in 0..8u32, moved in 1u64..,
        ) {
            let bytes = letter.encode(place);
            let mut flipped = bytes.clone();
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
            prop_assert_eq!(Letter::decode(place, &flipped), Err(DamagedRecord));
            prop_assert_eq!(Letter::decode(place, &bytes[..at]), Err(DamagedRecord));
            prop_assert_eq!(Letter::decode(place.wrapping_add(moved), &bytes), Err(DamagedRecord));
        }

        #[test]
        fn any_bytes_can_be_read_as_a_letter(place: u64, bytes: Vec<u8>) {
            let _ = Letter::decode(place, &sealed(place, bytes.clone()));
            let _ = Letter::decode(place, &bytes);
        }
    }

    /// A file that is written today is read by every later version.
    #[test]
    fn the_bytes_of_a_letter_are_these() {
        let letter = Letter {
            payload: Bytes::from_static(b"hello"),
            peer: Some(Identity::from_bytes([2; 16])),
            reason: DeadLetterReason::Poison,
            detail: Some("no".to_owned()),
            received: true,
            at_least_once: false,
            to_service: false,
            message: None,
            envelope: Bytes::new(),
            buried: 5,
        };
        let bytes = letter.encode(3);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "010d08\
             0000000000000005\
             02020202020202020202020202020202\
             00026e6f\
             68656c6c6f";
        assert_eq!(hex[..hex.len() - 8], *expected);
        let to_service = Letter {
            to_service: true,
            ..letter
        };
        assert_eq!(to_service.encode(3)[..3], [0x01, 0x2d, 0x08]);
    }

    #[cfg(feature = "json")]
    #[test]
    fn a_letter_is_one_line_of_json() {
        let mut letter = Letter {
            payload: Bytes::from_static(b"two\nlines"),
            peer: Some(Identity::from_bytes([2; 16])),
            reason: DeadLetterReason::PeerGone,
            detail: Some("why \"so\"".to_owned()),
            received: false,
            at_least_once: true,
            to_service: false,
            message: Some(MessageId::from_bytes([7; 16])),
            envelope: Bytes::new(),
            buried: 1_700_000_000_000,
        };
        let text: serde_json::Value =
            serde_json::from_str(&letter.clone().kept(3).to_json()).unwrap();
        assert_eq!(
            text,
            serde_json::json!({
                "id": 3, "reason": "peer_gone", "detail": "why \"so\"", "peer": "02".repeat(16), "received": false,
                "message": "07".repeat(16), "buried": 1_700_000_000_000_u64, "text": "two\nlines",
            })
        );
        letter.payload = Bytes::from_static(&[0xff, 0]);
        letter.message = None;
        let line = letter.kept(4).to_json();
        assert!(!line.contains('\n'));
        let text: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(text["hex"], "ff00");
        assert_eq!(text.get("message"), None);
    }
}
