//! Files that are no PEM, and what makes PEM of them.

use crate::transport::tls_config_error::PemProblem;

/// The byte order mark that some editors put before UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// The object identifier of the signed data of PKCS #7, 1.2.840.113549.1.7.2.
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";

/// So far into a file stands what it is.
const HEAD_BYTES: usize = 32;

/// The fault of a file that has another form, which its first bytes tell.
pub(super) fn other_form(bytes: &[u8]) -> Option<PemProblem> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let unusable = |reason: &str| {
        let reason = reason.to_owned();
        Some(PemProblem::Unusable { entry: 1, reason })
    };
    let nothing = |instead: &str| {
        let instead = instead.to_owned();
        Some(PemProblem::Nothing { instead })
    };
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'-', 0, ..] | [0, b'-', ..] => {
            Some(PemProblem::Utf16)
        }
        // PKCS #12 is a sequence that begins with the number 3.
        [0x30, 0x82, _, _, 0x02, 0x01, 0x03, ..] | [0x30, 0x80, 0x02, 0x01, 0x03, ..] => unusable(
            "the file is PKCS #12; convert it: openssl pkcs12 -in FILE -out FILE.pem -nodes",
        ),
        [0x30, ..] if head.windows(SIGNED_DATA.len()).any(|at| at == SIGNED_DATA) => unusable(
            "the file is PKCS #7; convert it: openssl pkcs7 -inform DER -print_certs -in FILE -out FILE.pem",
        ),
        // A sequence of more than 127 bytes, as every certificate is one, or a shorter one that begins with a number, as
        // keys of elliptic curves are. PEM is text.
        [0x30, 0x81..=0x84, ..] | [0x30, ..=0x7f, 0x02, ..] => Some(PemProblem::Der),
        [0x1f, 0x8b, ..] => nothing("it is compressed; decompress it: gzip -dc FILE > FILE.pem"),
        _ if bytes.trim_ascii_start().starts_with(b"<") => {
            nothing("it is HTML or XML, as a server answers that has no such file")
        }
        _ => None,
    }
}
