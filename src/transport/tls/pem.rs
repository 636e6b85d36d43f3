//! Reading PEM files, with errors that name the file, the entry and what to do.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::transport::tls_config_error::{PemProblem, TlsConfigError};

/// A certificate chain, the leaf first, and the leaf's private key.
pub(super) type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Labels of certificates; the second one is that of older software.
const CERTIFICATE: &[&str] = &["CERTIFICATE", "X509 CERTIFICATE"];
const REVOCATION_LIST: &[&str] = &["X509 CRL"];

/// The byte order mark that some editors put before UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A chain and its key; they may be in one file.
pub(super) fn own_certificate(chain: &Path, key: &Path) -> Result<OwnCertificate, TlsConfigError> {
    Ok((certificates(chain)?, private_key(key)?))
}

pub(super) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(path)?.into_iter().enumerate() {
        let entry = index + 1;
        let unusable = |error: tokio_rustls::rustls::Error| PemProblem::Unusable {
            entry,
            reason: error.to_string(),
        };
        roots
            .add(certificate)
            .map_err(|error| problem(path, "a certificate", unusable(error)))?;
    }
    Ok(Arc::new(roots))
}

pub(super) fn revocations(
    paths: &[impl AsRef<Path>],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
    let mut lists = Vec::new();
    for path in paths {
        let entries = entries(path.as_ref(), "a revocation list", REVOCATION_LIST)?;
        lists.extend(entries.into_iter().map(|entry| entry.der.into()));
    }
    Ok(lists)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    const WANTED: &str = "a certificate";
    let entries = entries(path, WANTED, CERTIFICATE)?;
    let parsed = entries.into_iter().enumerate().map(|(index, entry)| {
        match X509Certificate::from_der(&entry.der) {
            Ok(([], _)) => Ok(entry.der.into()),
            Ok(_) | Err(_) => {
                let reason = "what it encodes is no certificate".to_owned();
                let entry = index + 1;
                Err(problem(
                    path,
                    WANTED,
                    PemProblem::Unusable { entry, reason },
                ))
            }
        }
    });
    parsed.collect()
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    const LABELS: &[&str] = &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    let entry = entries(path, "a private key", LABELS)?.swap_remove(0);
    Ok(match &entry.label[..] {
        "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(entry.der).into(),
        "EC PRIVATE KEY" => PrivateSec1KeyDer::from(entry.der).into(),
        _ => PrivatePkcs8KeyDer::from(entry.der).into(),
    })
}

/// One block between its `BEGIN` and `END` lines.
struct PemEntry {
    label: String,
    der: Vec<u8>,
}

/// Every entry with one of these labels, at least one. Others are skipped, but for those that are of the wanted
/// kind in a form that cannot be read.
fn entries(
    path: &Path,
    wanted: &'static str,
    labels: &[&str],
) -> Result<Vec<PemEntry>, TlsConfigError> {
    let wrong = |found| problem(path, wanted, found);
    let bytes = std::fs::read(path).map_err(|error| wrong(PemProblem::Io(error)))?;
    parse(&bytes, labels).map_err(wrong)
}

fn problem(path: &Path, wanted: &'static str, problem: PemProblem) -> TlsConfigError {
    TlsConfigError::Read {
        wanted,
        path: path.into(),
        problem,
    }
}

fn parse(bytes: &[u8], labels: &[&str]) -> Result<Vec<PemEntry>, PemProblem> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(PemProblem::Utf16);
    }
    // PKCS #12 is a sequence that begins with the number 3.
    if let [0x30, 0x82, _, _, 0x02, 0x01, 0x03, ..] | [0x30, 0x80, 0x02, 0x01, 0x03, ..] = bytes {
        let reason =
            "the file is PKCS #12; convert it: openssl pkcs12 -in FILE -out FILE.pem -nodes";
        return Err(PemProblem::Unusable {
            entry: 1,
            reason: reason.to_owned(),
        });
    }
    // A sequence of more than 127 bytes, as every certificate is one, or a shorter one that begins with a number, as
    // keys of elliptic curves are. PEM is text.
    if let [0x30, 0x81..=0x84, ..] | [0x30, ..=0x7f, 0x02, ..] = bytes {
        return Err(PemProblem::Der);
    }
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii());
    let (mut entries, mut number) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        let Some(label) = boundary(line, "-----BEGIN ") else {
            if is_damaged_boundary(line, labels) {
                let reason = "its BEGIN line is missing or damaged".to_owned();
                let entry = number + 1;
                return Err(PemProblem::Unusable { entry, reason });
            }
            continue;
        };
        if is_unreadable(&label, labels) {
            number += 1;
            return Err(match label.starts_with("TRUSTED") {
                true => PemProblem::Trusted { entry: number },
                false => PemProblem::Encrypted { entry: number },
            });
        }
        let is_wanted = labels.contains(&&label[..]);
        number += usize::from(is_wanted);
        let der = body(&mut lines, &label, number)?;
        if is_wanted {
            entries.push(PemEntry {
                label,
                der: der.ok_or(PemProblem::Base64 { entry: number })?,
            });
        }
    }
    if entries.is_empty() {
        return Err(PemProblem::Nothing);
    }
    Ok(entries)
}

/// True if an entry is of the wanted kind in a form that cannot be read.
fn is_unreadable(label: &str, labels: &[&str]) -> bool {
    match label {
        "TRUSTED CERTIFICATE" => labels == CERTIFICATE,
        "ENCRYPTED PRIVATE KEY" => labels.contains(&"PRIVATE KEY"),
        _ => false,
    }
}

/// Decodes an entry, up to its `END` line; `None` if it is no base64.
fn body<'a>(
    lines: &mut impl Iterator<Item = &'a [u8]>,
    label: &str,
    entry: usize,
) -> Result<Option<Vec<u8>>, PemProblem> {
    let mut text = Vec::new();
    for line in lines {
        if let Some(end) = boundary(line, "-----END ") {
            return match end == label {
                true => Ok(STANDARD.decode(&text).ok()),
                false => Err(PemProblem::Unfinished { entry }),
            };
        }
        if boundary(line, "-----BEGIN ").is_some() {
            break;
        }
        if line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED") {
            return Err(PemProblem::Encrypted { entry });
        }
        // Headers, as they stand before older keys.
        if !line.contains(&b':') {
            text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    Err(PemProblem::Unfinished { entry })
}

/// True of a line outside of any entry that was to begin or end one of the wanted kind: the entry would be left out.
fn is_damaged_boundary(line: &[u8], labels: &[&str]) -> bool {
    let line = String::from_utf8_lossy(line);
    let is_dash = |c: char| matches!(c, '-' | '\u{2013}' | '\u{2014}') || c.is_whitespace();
    let text = line.trim_matches(is_dash);
    let label = text
        .strip_prefix("BEGIN ")
        .or_else(|| text.strip_prefix("END "));
    label.is_some_and(|label| labels.contains(&label))
}

/// The label of a line that begins or ends an entry.
fn boundary(line: &[u8], begin: &str) -> Option<String> {
    let label = line
        .strip_prefix(begin.as_bytes())?
        .strip_suffix(b"-----")?;
    String::from_utf8(label.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAQID\nBAU=\n-----END CERTIFICATE-----\n";

    fn certificates_in(text: &str) -> Result<Vec<Vec<u8>>, PemProblem> {
        let entries = parse(text.as_bytes(), CERTIFICATE)?;
        Ok(entries.into_iter().map(|entry| entry.der).collect())
    }

    #[test]
    fn what_editors_and_templates_do_to_a_file_is_tolerated() {
        let indented = BLOCK.replace('\n', "\n    ");
        let windows = BLOCK.replace('\n', "\r\n");
        for text in [
            BLOCK.to_owned(),
            format!("\u{feff}{BLOCK}"),
            format!("    {indented}"),
            windows,
            format!("subject=CN = a\n\n{BLOCK}\ntrailing text"),
            BLOCK.replace("CERTIFICATE", "X509 CERTIFICATE"),
            BLOCK.trim_end().to_owned(),
        ] {
            assert_eq!(certificates_in(&text).unwrap(), [[1, 2, 3, 4, 5]], "{text}");
        }
        assert_eq!(certificates_in(&BLOCK.repeat(3)).unwrap().len(), 3);
    }

    #[test]
    fn no_entry_is_lost_in_silence() {
        let refused = |text: &str| certificates_in(text).unwrap_err().to_string();
        for (text, told) in [
            (
                BLOCK.repeat(2).replacen("AQID", "A!ID", 1),
                "entry 1 is not base64",
            ),
            (
                format!("{BLOCK}{}", BLOCK.replace("AQID", "AQI")),
                "entry 2 is not base64",
            ),
            (
                format!("{BLOCK}-----BEGIN CERTIFICATE-----\nAQID"),
                "entry 2 has no END line",
            ),
            (
                format!("-----BEGIN CERTIFICATE-----\nAQID\n{BLOCK}"),
                "entry 1 has no END line",
            ),
            (
                format!("{BLOCK}{}", BLOCK.replace(" CERT", " TRUSTED CERT")),
                "openssl x509",
            ),
            (
                BLOCK.replace("\n-----END", "\n-----END -----") + BLOCK,
                "entry 1 has no END line",
            ),
            (
                format!("{BLOCK}-{}", &BLOCK[2..]),
                "entry 2 cannot be used: its BEGIN line is missing",
            ),
            (format!("{BLOCK}\u{2014}{}", &BLOCK[5..]), "entry 2"),
            (BLOCK.to_owned() + &BLOCK[28..], "BEGIN line is missing"),
            (
                BLOCK
                    .repeat(2)
                    .replacen("----\n-----BEGIN", "---------BEGIN", 1),
                "joined to another",
            ),
            (String::new(), "holds none"),
            (BLOCK.replace("CERTIFICATE", "X509 CRL"), "holds none"),
        ] {
            let refused = refused(&text);
            assert!(refused.contains(told), "{refused}: {text}");
        }
        let der = parse(&[0x30, 0x82, 1, 2], CERTIFICATE).err().unwrap();
        assert!(der.to_string().contains("DER"), "{der}");
        let short = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30];
        let short = parse(&short, &["PRIVATE KEY"]).err().unwrap();
        assert!(short.to_string().contains("DER"), "{short}");
        let bundle = [0x30, 0x82, 9, 9, 0x02, 0x01, 0x03, 0x30];
        let bundle = parse(&bundle, CERTIFICATE).err().unwrap();
        assert!(bundle.to_string().contains("openssl pkcs12"), "{bundle}");
        let utf16 = parse(b"\xff\xfe-\0-\0", CERTIFICATE).err().unwrap();
        assert!(utf16.to_string().contains("UTF-16"), "{utf16}");
    }

    #[test]
    fn an_encrypted_key_is_told_as_that() {
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAQID\n\
                   -----END RSA PRIVATE KEY-----";
        let new =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAQID\n-----END ENCRYPTED PRIVATE KEY-----";
        for key in [old, new] {
            let refused = parse(key.as_bytes(), &["PRIVATE KEY", "RSA PRIVATE KEY"]);
            let refused = refused.err().unwrap().to_string();
            assert!(refused.contains("openssl pkey"), "{refused}");
        }
        // Beside a certificate that is wanted it is another's business.
        assert_eq!(
            certificates_in(&format!("{new}\n{BLOCK}")).unwrap().len(),
            1
        );
    }
}
