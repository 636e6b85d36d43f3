//! Codecs of serde types.

#[cfg(feature = "serde")]
use crate::error::{DecodeError, EncodeError};

#[cfg(any(feature = "messagepack", feature = "postcard"))]
const TRAILING: &str = "there are bytes behind the value";

/// Encoding of serde types. It is a setting of the socket, which a subscription may
/// override; both ends must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// JSON, the default where the feature `json` is on.
    #[cfg(feature = "json")]
    Json,
    /// MessagePack, structs as maps with their fields' names.
    #[cfg(feature = "messagepack")]
    MessagePack,
    /// Postcard: compact, without names, for ends that share their types.
    #[cfg(feature = "postcard")]
    Postcard,
    /// None: values of serde types are refused. The default without any codec's feature.
    RawOnly,
}

impl Default for Codec {
    #[allow(unreachable_code, reason = "the first codec that is built in")]
    fn default() -> Self {
        #[cfg(feature = "json")]
        return Self::Json;
        #[cfg(feature = "messagepack")]
        return Self::MessagePack;
        #[cfg(feature = "postcard")]
        return Self::Postcard;
        Self::RawOnly
    }
}

impl Codec {
    #[cfg(feature = "serde")]
    #[cfg_attr(
        not(any(feature = "json", feature = "messagepack", feature = "postcard")),
        expect(unused_variables, clippy::ptr_arg, reason = "there is no codec")
    )]
    pub(super) fn put<T: serde::Serialize>(
        self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            #[cfg(feature = "json")]
            Self::Json => serde_json::to_writer(out, value).map_err(EncodeError::new),
            #[cfg(feature = "messagepack")]
            Self::MessagePack => {
                rmp_serde::encode::write_named(out, value).map_err(EncodeError::new)
            }
            #[cfg(feature = "postcard")]
            Self::Postcard => postcard::to_extend(value, std::mem::take(out))
                .map(|whole| *out = whole)
                .map_err(EncodeError::new),
            Self::RawOnly => Err(EncodeError::new("the socket has no codec for serde types")),
        }
    }

    /// All of `payload` must be the value.
    #[cfg(feature = "serde")]
    #[cfg_attr(
        not(any(feature = "json", feature = "messagepack", feature = "postcard")),
        expect(unused_variables, reason = "there is no codec")
    )]
    pub(super) fn read<T: serde::de::DeserializeOwned>(
        self,
        payload: &[u8],
    ) -> Result<T, DecodeError> {
        match self {
            #[cfg(feature = "json")]
            Self::Json => serde_json::from_slice(payload).map_err(DecodeError::new),
            #[cfg(feature = "messagepack")]
            Self::MessagePack => {
                // By way of a reader, which says what is left. It takes no memory for a length that is
                // only announced.
                let mut rest = payload;
                let value = rmp_serde::from_read(&mut rest).map_err(DecodeError::new)?;
                match rest {
                    [] => Ok(value),
                    _ => Err(DecodeError::new(TRAILING)),
                }
            }
            #[cfg(feature = "postcard")]
            Self::Postcard => match postcard::take_from_bytes(payload).map_err(DecodeError::new)? {
                (value, []) => Ok(value),
                (_, _) => Err(DecodeError::new(TRAILING)),
            },
            Self::RawOnly => Err(DecodeError::new("the socket has no codec for serde types")),
        }
    }
}
