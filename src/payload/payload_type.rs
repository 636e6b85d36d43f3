//! Payload types: how their values become messages, and messages values.

use bytes::{Bytes, BytesMut};

use super::codec::Codec;
use super::filter::Filter;
#[cfg(all(doc, feature = "protobuf"))]
use super::format::Protobuf;
#[cfg(any(feature = "json", all(doc, feature = "serde")))]
use super::format::Serde;
use super::format::{Format, Raw};
use crate::error::{DecodeError, EncodeError};

/// A type that messages are sent from and received as.
///
/// [`Bytes`] and [`String`] are, as they stand. A type of yours becomes one by naming its format,
/// and a topic if the socket receives other types too:
///
/// ```
/// # #[cfg(feature = "json")] {
/// use actix_aiomsg::{Payload, payload::Serde};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Order {
///     id: u64,
/// }
///
/// impl Payload for Order {
///     type Format = Serde;
///     const TOPIC: &'static str = "order ";
/// }
/// # }
/// ```
///
/// The macro `payload!` writes these lines for several types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how it travels as a message",
    label = "this type is no `Payload`",
    note = "for a serde type write `actix_aiomsg::payload!({Self} = \"topic \");`, or without a topic `actix_aiomsg::payload!({Self});`",
    note = "for any other type, write `impl Payload for {Self} {{ type Format = …; }}`; `Bytes` and `String` are payloads as they stand"
)]
pub trait Payload: Sized + 'static {
    /// Format in which values travel: [`Serde`], by the codec of the socket or the
    /// subscription, [`Protobuf`], [`Raw`], or a format of your own.
    type Format: Format<Self>;

    /// Prefix of every payload of this type, and of no other type that the same sockets
    /// carry; it is not part of the value. End it with a character that no topic has inside,
    /// or `order` is the beginning of `orders`. Default: none, and every payload is of this type.
    const TOPIC: &'static str = "";

    /// Filter for payloads of this type. Default: those that begin with the topic.
    fn filter() -> Filter {
        Filter::topic(Self::TOPIC)
    }
}

impl Payload for Bytes {
    type Format = Raw;
}

impl Payload for String {
    type Format = Raw;
}

/// Any JSON value.
#[cfg(feature = "json")]
impl Payload for serde_json::Value {
    type Format = Serde;
}

impl Codec {
    /// The payload that a value travels as by this codec, its topic included.
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded, as a map with keys that are no strings in JSON.
    pub fn encode<T: Payload>(self, value: &T) -> Result<Bytes, EncodeError> {
        encode(value, self)
    }

    /// Reads a payload that was encoded by this codec.
    ///
    /// # Errors
    ///
    /// When it is not a payload of this type.
    pub fn decode<T: Payload>(self, payload: Bytes) -> Result<T, DecodeError> {
        decode(payload, self)
    }
}

/// The payload that a value travels as, its topic included.
pub(crate) fn encode<T: Payload>(value: &T, codec: Codec) -> Result<Bytes, EncodeError> {
    if T::TOPIC.is_empty()
        && let Some(raw) = T::Format::raw(value)
    {
        return Ok(raw);
    }
    let mut out = Vec::with_capacity(T::TOPIC.len() + 64);
    put(value, codec, &mut out)?;
    Ok(out.into())
}

/// Appends the payload that a value travels as, its topic included.
fn put<T: Payload>(value: &T, codec: Codec, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend_from_slice(T::TOPIC.as_bytes());
    T::Format::encode(value, codec, out)
}

/// Reads a payload. It is sliced, not copied, where the format allows that.
#[inline]
pub(crate) fn decode<T: Payload>(payload: Bytes, codec: Codec) -> Result<T, DecodeError> {
    if T::TOPIC.is_empty() {
        return T::Format::decode(payload, codec);
    }
    if !payload.starts_with(T::TOPIC.as_bytes()) {
        return Err(DecodeError::new(format!(
            "it does not begin with the topic {:?}",
            T::TOPIC
        )));
    }
    T::Format::decode(payload.slice(T::TOPIC.len()..), codec)
}

/// A value that can be sent as an answer: bytes of any kind, or a reference to a value of a [`Payload`] type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer as it stands",
    label = "this type is no `IntoPayload`",
    note = "a value of a `Payload` type is handed over by reference: `message.reply(&answer)`",
    note = "a serde type becomes a `Payload` by `actix_aiomsg::payload!({Self} = \"topic \");`"
)]
pub trait IntoPayload {
    /// The topic of the payload's type. Default: none.
    const TOPIC: &'static str = "";

    /// The payload as it travels.
    ///
    /// # Errors
    ///
    /// When the value cannot be encoded.
    fn into_payload(self, codec: Codec) -> Result<Bytes, EncodeError>;
}

impl<T: Payload> IntoPayload for &T {
    const TOPIC: &'static str = T::TOPIC;

    fn into_payload(self, codec: Codec) -> Result<Bytes, EncodeError> {
        encode(self, codec)
    }
}

macro_rules! bytes_of_any_kind {
    ($($type:ty),+) => {$(
        impl IntoPayload for $type {
            #[inline]
            fn into_payload(self, _: Codec) -> Result<Bytes, EncodeError> {
                Ok(self.into())
            }
        }
    )+};
}

bytes_of_any_kind!(
    Bytes,
    BytesMut,
    Vec<u8>,
    Box<[u8]>,
    String,
    &'static str,
    &'static [u8]
);
