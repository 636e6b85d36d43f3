//! The two 16-byte names of the protocol (WIRE §3.3 and §3.4).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Bytes in an identity and in a message id.
pub(crate) const ID_BYTES: usize = 16;

macro_rules! sixteen_bytes {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Wraps sixteen bytes as they are.
            pub const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes.
            pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
                &self.0
            }

            /// A version 4 UUID from the operating system's random source.
            ///
            /// # Panics
            ///
            /// When the operating system has no random source, which no supported platform lacks.
            pub fn random() -> Self {
                let mut bytes = [0; ID_BYTES];
                getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
                bytes[6] = (bytes[6] & 0x0f) | 0x40;
                bytes[8] = (bytes[8] & 0x3f) | 0x80;
                Self(bytes)
            }
        }

        // As one number: an array would be hashed with its length in front.
        impl Hash for $name {
            #[inline]
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u128(u128::from_ne_bytes(self.0));
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl From<[u8; ID_BYTES]> for $name {
            fn from(bytes: [u8; ID_BYTES]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = ParseIdError;

            fn try_from(bytes: &[u8]) -> Result<Self, ParseIdError> {
                bytes.try_into().map(Self).map_err(|_| ParseIdError {
                    what: $what,
                    problem: Problem::Length(bytes.len()),
                })
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Reads 32 hexadecimal digits; hyphens, as in a printed UUID, are skipped.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self).map_err(|problem| ParseIdError {
                    what: $what,
                    problem,
                })
            }
        }
    };
}

/// Names one socket for its whole life, across all its connections (WIRE §3.3).
///
/// Random by default; [`SocketBuilder::identity`](crate::SocketBuilder::identity) fixes it.
/// Shown as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity([u8; ID_BYTES]);

sixteen_bytes!(Identity, "identity");

impl Identity {
    /// The identity that stands for a name: the first sixteen bytes of its SHA-256. Everybody who
    /// knows the name can compute it, in every language: it identifies, and proves nothing.
    ///
    /// That of an empty name, most likely of a variable that is unset, is refused when a socket is to start under it.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        Self(std::array::from_fn(|index| digest[index]))
    }

    pub(crate) fn stands_for_an_empty_name(self) -> bool {
        self == Self::from_name("")
    }
}

/// Names one at-least-once message of one sender (WIRE §3.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId([u8; ID_BYTES]);

sixteen_bytes!(MessageId, "message id");

/// A text or a byte slice is not an [`Identity`] or a [`MessageId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}: {problem}")]
pub struct ParseIdError {
    what: &'static str,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("wants 16 bytes, not {0}")]
    Length(usize),
    #[error("wants 32 hexadecimal digits, not {0}")]
    Digits(usize),
    #[error("{0:?} is not a hexadecimal digit")]
    Digit(char),
}

fn parse_hex(text: &str) -> Result<[u8; ID_BYTES], Problem> {
    let digits = text
        .chars()
        .filter(|&c| c != '-')
        .map(|c| c.to_digit(16).ok_or(Problem::Digit(c)))
        .collect::<Result<Vec<_>, _>>()?;
    if digits.len() != 2 * ID_BYTES {
        return Err(Problem::Digits(digits.len()));
    }
    let mut bytes = [0; ID_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair[0] << 4 | pair[1]).unwrap_or_default();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_what_it_shows() {
        let identity = Identity::random();
        assert_eq!(identity.to_string().parse(), Ok(identity));
        assert_eq!(identity.to_string().len(), 32);
    }

    #[test]
    fn a_printed_uuid_is_an_identity() {
        let parsed: Identity = "00112233-4455-6677-8899-aabbccddeeff".parse().unwrap();
        assert_eq!(parsed.as_bytes()[15], 0xff);
        assert_eq!(parsed.as_bytes()[1], 0x11);
    }

    #[test]
    fn a_wrong_identity_says_what_is_wrong() {
        let short = "0011".parse::<Identity>().unwrap_err().to_string();
        assert_eq!(
            short,
            "not a valid identity: wants 32 hexadecimal digits, not 4"
        );
        let odd = "zz"
            .repeat(16)
            .parse::<MessageId>()
            .unwrap_err()
            .to_string();
        assert_eq!(
            odd,
            "not a valid message id: 'z' is not a hexadecimal digit"
        );
        assert!(Identity::try_from(&[0_u8; 17][..]).is_err());
    }

    #[test]
    fn a_name_stands_for_the_beginning_of_its_sha_256() {
        let identity = Identity::from_name("abc");
        assert_eq!(identity.to_string(), "ba7816bf8f01cfea414140de5dae2223");
        assert!(!identity.stands_for_an_empty_name());
        assert!(Identity::from_name("").stands_for_an_empty_name());
    }

    #[test]
    fn random_names_are_version_4_uuids_and_differ() {
        let (a, b) = (MessageId::random(), MessageId::random());
        assert_ne!(a, b);
        assert_eq!(a.as_bytes()[6] >> 4, 4);
        assert_eq!(b.as_bytes()[8] >> 6, 2);
    }
}
