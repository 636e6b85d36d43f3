//! The key of an upgrade and its answer (RFC 6455 §4.2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Bytes of a key before base64.
const KEY_BYTES: usize = 16;

/// Suffix of the key by RFC 6455.
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key for a request of ours.
pub(super) fn random() -> String {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).expect("the operating system provides random bytes");
    STANDARD.encode(key)
}

/// Sixteen bytes of base64.
pub(super) fn is_valid(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|key| key.len() == KEY_BYTES)
}

/// The bind end's answer to `key`.
pub(super) fn accept(key: &[u8]) -> String {
    STANDARD.encode(
        Sha1::new()
            .chain_update(key)
            .chain_update(SUFFIX)
            .finalize(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        assert_eq!(
            accept(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn a_key_is_sixteen_bytes_of_base64() {
        assert!(is_valid(random().as_bytes()));
        for wrong in [
            "",
            "AAAA",
            "not base64!",
            "dGhlIHNhbXBsZSBub25jZQ",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(!is_valid(wrong.as_bytes()), "{wrong}");
        }
    }
}
