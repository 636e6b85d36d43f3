//! The part of an ask envelope that only messages to services have (docs/ASK.md).

use std::time::Duration;

use super::envelope::{AskEnvelope, AskId, AskKind};
use crate::wire::NotHandled;

/// The service that a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceAddress<'a> {
    pub(crate) name: &'a str,
    /// The hash of the key by which the instance was chosen.
    pub(crate) key: Option<u64>,
}

const UNKEYED: u8 = 0;
const KEYED: u8 = 1;
/// Bytes of an address without its name.
const FIXED_BYTES: usize = 2 + size_of::<u64>();

impl<'a> ServiceAddress<'a> {
    /// Reads the address that the body of an envelope begins with, and yields it with the body behind.
    pub(crate) fn read(body: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&length, rest) = body.split_first()?;
        let (name, rest) = rest.split_at_checked(length.into())?;
        let name = std::str::from_utf8(name).ok()?;
        let (&keyed, rest) = rest.split_first()?;
        let (key, rest) = match keyed {
            UNKEYED => (None, rest),
            KEYED => {
                let (&key, rest) = rest.split_first_chunk()?;
                (Some(u64::from_be_bytes(key)), rest)
            }
            _ => return None,
        };
        Some((Self { name, key }, rest))
    }

    /// A payload of this envelope, this address and `body`. The name is at most 255 bytes.
    pub(crate) fn write(&self, envelope: &AskEnvelope, body: &[u8]) -> Vec<u8> {
        let mut out = envelope.begin(FIXED_BYTES + self.name.len() + body.len());
        out.push(u8::try_from(self.name.len()).expect("names are checked where they are given"));
        out.extend_from_slice(self.name.as_bytes());
        match self.key {
            None => out.push(UNKEYED),
            Some(key) => {
                out.push(KEYED);
                out.extend_from_slice(&key.to_be_bytes());
            }
        }
        out.extend_from_slice(body);
        out
    }
}

/// Why an ask was not handled, and when it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AskRefusal {
    pub(crate) reason: NotHandled,
    /// Time after which the provider may have room; zero if it does not say.
    pub(crate) retry_after: Duration,
}

impl AskRefusal {
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let (&reason, rest) = body.split_first()?;
        let (&millis, _) = rest.split_first_chunk()?;
        Some(Self {
            reason: NotHandled::from_byte(reason),
            retry_after: Duration::from_millis(u32::from_be_bytes(millis).into()),
        })
    }

    /// The payload that refuses the ask of this id.
    pub(crate) fn write(&self, id: AskId) -> Vec<u8> {
        let [a, b, c, d] = u32::try_from(self.retry_after.as_millis())
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        let body = [self.reason.to_byte(), a, b, c, d];
        AskEnvelope::new(AskKind::Refused, id).write(&body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_service_ask_is_laid_out_as_documented() {
        let envelope = AskEnvelope::new(AskKind::ServiceAsk, *b"0123456789abcdef");
        let mut address = ServiceAddress {
            name: "inventory",
            key: None,
        };
        let payload = address.write(&envelope, b"body");
        assert_eq!(
            payload,
            b"\xa1ASK\x05\x000123456789abcdef\0\0\0\0\x09inventory\0body"
        );
        let (_, body) = AskEnvelope::read(&payload).unwrap();
        assert_eq!(ServiceAddress::read(body), Some((address, &b"body"[..])));

        address.key = Some(0x0102_0304_0506_0708);
        let envelope = AskEnvelope::new(AskKind::ServiceTell, [0; 16]);
        let payload = address.write(&envelope, b"x");
        assert_eq!(
            payload[26..],
            *b"\x09inventory\x01\x01\x02\x03\x04\x05\x06\x07\x08x"
        );
        let (_, body) = AskEnvelope::read(&payload).unwrap();
        assert_eq!(ServiceAddress::read(body), Some((address, &b"x"[..])));
    }

    #[test]
    fn a_refusal_is_laid_out_as_documented() {
        let refusal = AskRefusal {
            reason: NotHandled::Busy,
            retry_after: Duration::from_millis(258),
        };
        let payload = refusal.write([7; 16]);
        assert_eq!(payload[26..], [4, 0, 0, 1, 2]);
        let (envelope, body) = AskEnvelope::read(&payload).unwrap();
        assert_eq!((envelope.kind, envelope.id), (AskKind::Refused, [7; 16]));
        assert_eq!(AskRefusal::read(body), Some(refusal));
        assert_eq!(AskRefusal::read(&body[..4]), None);
    }

    #[test]
    fn an_address_that_is_cut_short_or_no_text_is_none() {
        let whole = b"\x02ab\x01\x01\x02\x03\x04\x05\x06\x07\x08";
        assert!(ServiceAddress::read(whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(ServiceAddress::read(&whole[..length]), None);
        }
        assert_eq!(ServiceAddress::read(b"\x01\xff\0"), None);
        assert_eq!(ServiceAddress::read(b"\x01a\x02"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (ServiceAddress::read(&bytes), AskRefusal::read(&bytes));
        }
    }
}
