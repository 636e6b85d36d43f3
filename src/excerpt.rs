//! Payloads as `{:?}` shows them, and texts that are too long: their beginning.

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

/// The beginning of a text: as many whole characters as fit into so many bytes.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    let most = bytes.min(text.len());
    let end = (0..=most).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

/// A text, of which no more than so many bytes are kept. `…` stands for the rest.
#[cfg(feature = "inspection")]
pub(crate) fn shortened(mut text: String, bytes: usize) -> String {
    let end = beginning(&text, bytes).len();
    if end < text.len() {
        text.truncate(end);
        text.push('…');
    }
    text
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

    #[test]
    fn a_text_is_cut_between_characters() {
        for (bytes, expected) in [
            (0, ""),
            (1, "a"),
            (2, "a"),
            (3, "aä"),
            (4, "aäb"),
            (9, "aäb"),
        ] {
            assert_eq!(beginning("aäb", bytes), expected, "{bytes}");
        }
    }

    #[cfg(feature = "inspection")]
    #[test]
    fn a_text_that_was_shortened_says_so_and_another_is_left() {
        assert_eq!(shortened("aäb".to_owned(), 2), "a…");
        assert_eq!(shortened("aäb".to_owned(), 4), "aäb");
    }
}
