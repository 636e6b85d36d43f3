//! Metadata of messages, and the envelope in which it travels in front of a payload (docs/ENVELOPE.md).
//!
//! ```text
//! | a1 'E' 'N' 'V' | version | flags | length ×2 | trace ×25 ? | content type ? | count | (name, value) … |
//! ```

use std::fmt;

use bytes::Bytes;

use super::envelope::TraceContext;
use crate::error::MetadataError;

/// First bytes of every envelope. No text in UTF-8 begins with them.
const MAGIC: [u8; 4] = *b"\xa1ENV";
const VERSION: u8 = 1;

/// Flag: a trace context follows.
const TRACED: u8 = 1;
/// Flag: a content type follows, behind the trace context.
const TYPED: u8 = 2;

/// Bytes in front of the fields: magic, version, flags and length.
const HEAD_BYTES: usize = 8;
const TRACE_BYTES: usize = 25;

/// The envelope of a message without metadata whose payload looks like one.
pub(crate) const EMPTY_ENVELOPE: &[u8] = b"\xa1ENV\x01\x00\x00\x01\x00";

/// Content type, trace context and headers that go along with a message.
///
/// A message has some if its sender gave it some
/// ([`Sending::header`](crate::Sending::header), [`content_type`](crate::Sending::content_type),
/// [`trace`](crate::Sending::trace)), and if the receiver
/// [reads metadata](crate::SocketBuilder::read_metadata); docs/ENVELOPE.md has the bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    trace: Option<TraceContext>,
    content_type: Option<Box<str>>,
    count: usize,
    /// The headers as they travel: for each the length of its name in one byte, the name, the length of its value in two,
    /// the value.
    headers: Vec<u8>,
    /// What was set and cannot travel.
    fault: Option<MetadataError>,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers().map(|(name, _)| name).collect();
        f.debug_struct("Metadata")
            .field("content_type", &self.content_type)
            .field("trace", &self.trace)
            .field("headers", &names)
            .finish()
    }
}

impl Metadata {
    /// The most headers that one message has.
    pub const MAX_HEADERS: usize = 64;
    /// The most bytes that all metadata of one message takes on the wire.
    pub const MAX_BYTES: usize = 8192;

    /// No metadata.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a header; one of the same name is replaced. Names are told apart by case.
    ///
    /// A name is 1 to 255 bytes long. What is longer, or too much in all, is an error of the send:
    /// [`SendError::Metadata`](crate::error::SendError::Metadata).
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.set_header(name, value);
        self
    }

    /// Sets the media type of the payload, such as `application/json`: 1 to 255 bytes.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &str) -> Self {
        self.set_content_type(content_type);
        self
    }

    /// Sets the trace that the message belongs to.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.set_trace(trace);
        self
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        let (Ok(name_bytes @ 1..), Ok(value_bytes)) =
            (u8::try_from(name.len()), u16::try_from(value.len()))
        else {
            let fault = match name.len() {
                1..=255 => MetadataError::Value(name.to_owned()),
                _ => MetadataError::Name(name.to_owned()),
            };
            self.fault.get_or_insert(fault);
            return;
        };
        self.remove(name);
        self.count += 1;
        self.headers.push(name_bytes);
        self.headers.extend_from_slice(name.as_bytes());
        self.headers.extend_from_slice(&value_bytes.to_be_bytes());
        self.headers.extend_from_slice(value.as_bytes());
    }

    fn remove(&mut self, name: &str) {
        let mut at = 0;
        while let Some((known, _, rest)) = read_header(&self.headers[at..]) {
            let next = self.headers.len() - rest.len();
            if known == name {
                self.headers.drain(at..next);
                self.count -= 1;
                return;
            }
            at = next;
        }
    }

    pub(crate) fn set_content_type(&mut self, content_type: &str) {
        match content_type.len() {
            1..=255 => self.content_type = Some(content_type.into()),
            _ => {
                let fault = MetadataError::ContentType(content_type.to_owned());
                self.fault.get_or_insert(fault);
            }
        }
    }

    pub(crate) const fn set_trace(&mut self, trace: TraceContext) {
        self.trace = Some(trace);
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers();
        all.find_map(|(known, value)| (known == name).then_some(value))
    }

    /// All headers, in the order in which they were set.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.headers[..];
        std::iter::from_fn(move || {
            let (name, value, behind) = read_header(rest)?;
            rest = behind;
            Some((name, value))
        })
    }

    /// The media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The trace that the message belongs to.
    #[must_use]
    pub const fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// True if nothing is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.trace.is_none()
            && self.content_type.is_none()
            && self.count == 0
            && self.fault.is_none()
    }

    /// The bytes in front of the payload; none where nothing is set.
    pub(crate) fn envelope(self) -> Result<Bytes, MetadataError> {
        if self.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.count > Self::MAX_HEADERS {
            return Err(MetadataError::TooMany(self.count));
        }
        let mut out = Vec::with_capacity(HEAD_BYTES + TRACE_BYTES + 64 + self.headers.len());
        out.extend_from_slice(&MAGIC);
        let traced = self.trace.map_or(0, |_| TRACED);
        let typed = self.content_type.as_ref().map_or(0, |_| TYPED);
        out.extend_from_slice(&[VERSION, traced | typed, 0, 0]);
        if let Some(trace) = &self.trace {
            out.extend_from_slice(&trace.trace_id);
            out.extend_from_slice(&trace.span_id);
            out.push(trace.flags);
        }
        if let Some(content_type) = &self.content_type {
            out.push(u8::try_from(content_type.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(content_type.as_bytes());
        }
        out.push(u8::try_from(self.count).unwrap_or(u8::MAX));
        out.extend_from_slice(&self.headers);
        match u16::try_from(out.len() - HEAD_BYTES) {
            Ok(length) if out.len() <= Self::MAX_BYTES => {
                out[6..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
                Ok(out.into())
            }
            _ => Err(MetadataError::TooLarge(out.len())),
        }
    }
}

/// A payload begins as an envelope does, and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its metadata envelope is malformed")]
pub(crate) struct BadEnvelope;

/// True if a payload begins as an envelope does: only inside of one it goes to whoever reads metadata.
#[inline]
pub(crate) fn begins_as_envelope(payload: &[u8]) -> bool {
    payload.starts_with(&MAGIC)
}

/// The length of the envelope that a payload begins with; 0 if it does not.
pub(crate) fn envelope_length(payload: &[u8]) -> Result<usize, BadEnvelope> {
    let Some(rest) = payload.strip_prefix(&MAGIC) else {
        return Ok(0);
    };
    let (&[version, _, high, low], fields) = rest.split_first_chunk().ok_or(BadEnvelope)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = HEAD_BYTES + length;
    if version == 0 || whole > Metadata::MAX_BYTES || length == 0 || length > fields.len() {
        return Err(BadEnvelope);
    }
    Ok(whole)
}

/// Reads the envelope that a payload begins with, and yields it with its length; nothing and 0 for any other payload. The
/// metadata of a later version is left out, and bytes behind the headers are.
pub(crate) fn read_envelope(payload: &[u8]) -> Result<(Metadata, usize), BadEnvelope> {
    let length = envelope_length(payload)?;
    let mut read = Metadata::default();
    if length == 0 || payload[MAGIC.len()] > VERSION {
        return Ok((read, length));
    }
    let flags = payload[MAGIC.len() + 1];
    let mut rest = &payload[HEAD_BYTES..length];
    read.read_fields(flags, &mut rest).ok_or(BadEnvelope)?;
    Ok((read, length))
}

impl Metadata {
    fn read_fields(&mut self, flags: u8, rest: &mut &[u8]) -> Option<()> {
        if flags & TRACED != 0 {
            self.trace = Some(TraceContext {
                trace_id: take_chunk(rest)?,
                span_id: take_chunk(rest)?,
                flags: take_chunk::<1>(rest)?[0],
            });
        }
        if flags & TYPED != 0 {
            let [length] = take_chunk(rest)?;
            let content_type = take_text(rest, length.into())?;
            self.content_type = (length > 0).then(|| content_type.into());
        }
        let [count] = take_chunk(rest)?;
        self.count = usize::from(count);
        if self.count > Self::MAX_HEADERS {
            return None;
        }
        let headers = *rest;
        for _ in 0..count {
            let (name, _, behind) = read_header(rest)?;
            if name.is_empty() {
                return None;
            }
            *rest = behind;
        }
        self.headers = headers[..headers.len() - rest.len()].to_vec();
        Some(())
    }
}

/// A header, and the bytes behind it.
fn read_header(mut bytes: &[u8]) -> Option<(&str, &str, &[u8])> {
    let [name] = take_chunk(&mut bytes)?;
    let name = take_text(&mut bytes, name.into())?;
    let value = u16::from_be_bytes(take_chunk(&mut bytes)?);
    let value = take_text(&mut bytes, value.into())?;
    Some((name, value, bytes))
}

fn take_chunk<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (&chunk, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(chunk)
}

fn take_text<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a str> {
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
