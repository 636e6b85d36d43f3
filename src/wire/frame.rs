//! Frames: a four-byte length in front of an envelope (WIRE §2).

/// Bytes of the length prefix.
pub(crate) const PREFIX_BYTES: usize = 4;

/// One whole frame inside a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type byte and the body, without the length prefix. Empty for a malformed
    /// zero-length frame (WIRE §3.2).
    pub envelope: &'a [u8],
}

impl Frame<'_> {
    /// Bytes that the frame takes in the stream, its length prefix included.
    #[must_use]
    pub fn len(&self) -> usize {
        PREFIX_BYTES + self.envelope.len()
    }

    /// True if the envelope is empty, which WIRE §3.2 calls malformed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.envelope.is_empty()
    }
}

/// A length prefix announced more than the limit allows.
///
/// The prefix is judged as soon as its four bytes are there; nothing is allocated for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {announced} bytes was announced and the limit is {limit}")]
pub struct Oversize {
    /// Length that the prefix announced: bytes of the envelope, the type byte included.
    pub announced: u32,
    /// The limit it was judged by, in the same unit.
    pub limit: u32,
}

/// The result of [`walk`]: what a buffer starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk<'a> {
    /// A whole frame. Advance by [`Frame::len`] to look for the next one.
    Frame(Frame<'a>),
    /// No whole frame yet. The value is how many bytes the frame takes in all, prefix included,
    /// where the prefix is complete, and otherwise the four bytes of the prefix.
    Partial(usize),
}

/// Looks for one whole frame at the start of `buffer`; `max_envelope_bytes` bounds what a length
/// prefix may announce (WIRE §2.3).
///
/// # Errors
///
/// [`Oversize`] as soon as a prefix announces more than the limit.
#[inline]
pub fn walk(buffer: &[u8], max_envelope_bytes: u32) -> Result<Walk<'_>, Oversize> {
    let Some((prefix, rest)) = buffer.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(Walk::Partial(PREFIX_BYTES));
    };
    let announced = u32::from_be_bytes(*prefix);
    if announced > max_envelope_bytes {
        return Err(Oversize {
            announced,
            limit: max_envelope_bytes,
        });
    }
    let length = announced as usize;
    Ok(match rest.get(..length) {
        Some(envelope) => Walk::Frame(Frame { envelope }),
        None => Walk::Partial(PREFIX_BYTES + length),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_frame_is_found_and_measured() {
        let buffer = [0, 0, 0, 2, 3, b'x', 0, 0];
        let Ok(Walk::Frame(frame)) = walk(&buffer, 100) else {
            panic!("a frame")
        };
        assert_eq!(frame.envelope, [3, b'x']);
        assert_eq!(frame.len(), 6);
        assert_eq!(walk(&buffer[6..], 100), Ok(Walk::Partial(4)));
    }

    #[test]
    fn half_a_frame_tells_how_long_the_whole_will_be() {
        assert_eq!(walk(&[0, 0, 1], 100), Ok(Walk::Partial(4)));
        assert_eq!(walk(&[0, 0, 0, 50, 3], 100), Ok(Walk::Partial(54)));
    }

    #[test]
    fn the_limit_counts_the_type_byte_and_is_judged_on_the_prefix_alone() {
        assert!(walk(&[0, 0, 0, 100], 100).is_ok());
        assert_eq!(
            walk(&[0, 0, 0, 101], 100),
            Err(Oversize {
                announced: 101,
                limit: 100
            })
        );
        assert!(walk(&[0xff; 4], u32::MAX).is_ok());
    }

    #[test]
    fn a_zero_length_frame_is_a_frame() {
        let Ok(Walk::Frame(frame)) = walk(&[0, 0, 0, 0], 0) else {
            panic!("a frame")
        };
        assert!(frame.is_empty());
        assert_eq!(frame.len(), 4);
    }
}
