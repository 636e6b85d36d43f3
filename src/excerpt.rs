//! Payloads as `{:?}` shows them: their beginning, and how long they are.

use std::fmt;

/// Bytes that are shown.
const SHOWN: usize = 64;

/// A payload of which a log is not to hold more than the beginning: an error that is printed has whatever could not be
/// sent in it.
pub(crate) struct Excerpt<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "b\"{}\"", shown.escape_ascii())?;
        match self.0.len() {
            all if all > SHOWN => write!(f, "… of {all} bytes"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_payload_is_shown_by_its_beginning_and_its_length() {
        assert_eq!(format!("{:?}", Excerpt(b"a\n\"\xff")), r#"b"a\n\"\xff""#);
        let long = format!("{:?}", Excerpt(&[b'x'; 1 << 20]));
        assert_eq!(
            long,
            format!("b\"{}\"… of 1048576 bytes", "x".repeat(SHOWN))
        );
    }
}
