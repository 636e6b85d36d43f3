//! Families of types by how they become bytes.

use bytes::Bytes;

use super::codec::Codec;
use crate::error::{DecodeError, EncodeError};

/// Turns values of `T` into bytes and back. Implement it for a format of your own.
pub trait Format<T> {
    /// True if the value is the payload itself.
    #[doc(hidden)]
    const IS_RAW: bool = false;

    /// Appends the value. `codec` is that of the socket or the subscription, for formats that
    /// leave it a choice.
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded.
    fn encode(value: &T, codec: Codec, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Reads a value. Whatever the bytes are, this must neither panic nor allocate much more than
    /// they are.
    ///
    /// # Errors
    ///
    /// When the bytes are not such a value.
    fn decode(bytes: Bytes, codec: Codec) -> Result<T, DecodeError>;

    /// The bytes of a value that has them already.
    #[doc(hidden)]
    fn raw(_: &T) -> Option<Bytes> {
        None
    }
}

/// Bytes as they are, and text as UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

impl Format<Bytes> for Raw {
    const IS_RAW: bool = true;

    fn encode(value: &Bytes, _: Codec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    #[inline]
    fn decode(bytes: Bytes, _: Codec) -> Result<Bytes, DecodeError> {
        Ok(bytes)
    }

    fn raw(value: &Bytes) -> Option<Bytes> {
        Some(value.clone())
    }
}

impl Format<String> for Raw {
    fn encode(value: &String, _: Codec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(bytes: Bytes, _: Codec) -> Result<String, DecodeError> {
        String::from_utf8(bytes.into()).map_err(DecodeError::new)
    }
}

/// Types that serde knows, by the codec of the socket or the subscription.
#[cfg(feature = "serde")]
#[derive(Debug, Clone, Copy)]
pub struct Serde;

#[cfg(feature = "serde")]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Format<T> for Serde {
    fn encode(value: &T, codec: Codec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        codec.put(value, out)
    }

    fn decode(bytes: Bytes, codec: Codec) -> Result<T, DecodeError> {
        codec.read(&bytes)
    }
}

/// Protocol Buffers, for messages that prost has generated.
#[cfg(feature = "protobuf")]
#[derive(Debug, Clone, Copy)]
pub struct Protobuf;

#[cfg(feature = "protobuf")]
impl<T: prost::Message + Default> Format<T> for Protobuf {
    fn encode(value: &T, _: Codec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        value.encode(out).map_err(EncodeError::new)
    }

    fn decode(bytes: Bytes, _: Codec) -> Result<T, DecodeError> {
        T::decode(bytes).map_err(DecodeError::new)
    }
}
