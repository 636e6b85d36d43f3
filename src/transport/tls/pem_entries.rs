//! The entries of a PEM file. None of those that are wanted is left out in silence.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::pem_form::{BOM, other_form};
use crate::transport::tls_config_error::PemProblem;

/// Labels of certificates; the second one is that of older software.
pub(super) const CERTIFICATE: &[&str] = &["CERTIFICATE", "X509 CERTIFICATE"];
pub(super) const REVOCATION_LIST: &[&str] = &["X509 CRL"];
pub(super) const PRIVATE_KEY: &[&str] = &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

/// Labels of certificates and lists in an envelope, which has to be taken off first.
const ENVELOPE: &[&str] = &["PKCS7", "PKCS #7 SIGNED DATA", "CMS"];

/// Labels that may stand beside what is wanted. Any other one may be that of a damaged entry.
const OTHERS: &[&str] = &[
    "TRUSTED CERTIFICATE",
    "ATTRIBUTE CERTIFICATE",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "ENCRYPTED PRIVATE KEY",
    "DSA PRIVATE KEY",
    "ANY PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "DH PARAMETERS",
    "X9.42 DH PARAMETERS",
    "EC PARAMETERS",
    "DSA PARAMETERS",
    "SSL SESSION PARAMETERS",
];

/// Parts of the labels above. A line with dashes and one of them is no prose.
const PARTS_OF_LABELS: &[&str] = &[
    "CERT", "KEY", "CRL", "PKCS", "CMS", "PARAM", "X509", "X.509",
];

/// The longest label that is quoted.
const MAX_LABEL_CHARS: usize = 40;

/// One block between its `BEGIN` and `END` lines.
pub(super) struct PemEntry {
    /// Its number among the entries of every kind, from one.
    pub(super) number: usize,
    pub(super) label: String,
    pub(super) der: Vec<u8>,
}

/// Every entry with one of these labels, at least one. Entries of other kinds are skipped, but for those that hold
/// what is wanted in a form that cannot be read.
pub(super) fn parse(bytes: &[u8], labels: &[&str]) -> Result<Vec<PemEntry>, PemProblem> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    if let Some(problem) = other_form(bytes) {
        return Err(problem);
    }
    let mut lines = bytes
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(|line| line.trim_ascii());
    let (mut entries, mut others, mut number) = (Vec::new(), Vec::new(), 0);
    while let Some(line) = lines.next() {
        let Some(label) = boundary(line, "-----BEGIN ") else {
            refuse_damage(line, number + 1)?;
            continue;
        };
        number += 1;
        let is_wanted = labels.contains(&label);
        if !is_wanted {
            refuse_other(label, labels, number)?;
        }
        let der = body(&mut lines, label, number, is_wanted)?;
        match is_wanted {
            true => entries.push(PemEntry {
                number,
                label: label.to_owned(),
                der: der.ok_or(PemProblem::Base64 { entry: number })?,
            }),
            false if others.contains(&label) => {}
            false => others.push(label),
        }
    }
    match entries.is_empty() {
        true => Err(PemProblem::Nothing {
            instead: instead(bytes, &others),
        }),
        false => Ok(entries),
    }
}

/// Tells what is there in place of what is wanted.
fn instead(bytes: &[u8], others: &[&str]) -> String {
    let told = others.iter().map(|label| match *label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            format!("{label}, which an authority has to sign first")
        }
        label => label.to_owned(),
    });
    match others {
        [] if bytes.trim_ascii().is_empty() => "it is empty".to_owned(),
        [] => "nor any other PEM entry".to_owned(),
        _ => format!("but {}", told.collect::<Vec<_>>().join(", and ")),
    }
}

/// Refuses an entry with another label, if what is wanted may be in it.
fn refuse_other(label: &str, labels: &[&str], entry: usize) -> Result<(), PemProblem> {
    let is_key = labels.contains(&"PRIVATE KEY");
    let reason = match label {
        "TRUSTED CERTIFICATE" if labels == CERTIFICATE => {
            return Err(PemProblem::Trusted { entry });
        }
        "ENCRYPTED PRIVATE KEY" if is_key => return Err(PemProblem::Encrypted { entry }),
        label if ENVELOPE.contains(&label) && !is_key => {
            "it is PKCS #7; convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem"
                .to_owned()
        }
        label if is_known(label) => return Ok(()),
        label => {
            let label: String = label.chars().take(MAX_LABEL_CHARS).collect();
            format!("its label, {label:?}, is not known; correct it, or begin its lines with #")
        }
    };
    Err(PemProblem::Unusable { entry, reason })
}

fn is_known(label: &str) -> bool {
    [CERTIFICATE, REVOCATION_LIST, PRIVATE_KEY, ENVELOPE, OTHERS]
        .iter()
        .any(|labels| labels.contains(&label))
}

/// Decodes an entry, up to its `END` line; `None` if it is no base64.
fn body<'a>(
    lines: &mut impl Iterator<Item = &'a [u8]>,
    label: &str,
    entry: usize,
    is_wanted: bool,
) -> Result<Option<Vec<u8>>, PemProblem> {
    let mut text = Vec::new();
    for line in lines {
        if line.starts_with(b"-----") {
            return match boundary(line, "-----END ") {
                Some(end) if end == label => Ok(STANDARD.decode(&text).ok()),
                _ => Err(PemProblem::Unfinished { entry }),
            };
        }
        if is_wanted && line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED") {
            return Err(PemProblem::Encrypted { entry });
        }
        // Headers, as they stand before older keys.
        if !line.contains(&b':') {
            text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    Err(PemProblem::Unfinished { entry })
}

/// The label of a line that begins or ends an entry.
fn boundary<'a>(line: &'a [u8], begin: &str) -> Option<&'a str> {
    let label = line
        .strip_prefix(begin.as_bytes())?
        .strip_suffix(b"-----")?;
    let label = str::from_utf8(label).ok()?;
    (!label.contains("--")).then_some(label)
}

/// Refuses a line outside of any entry that was to begin or end one: the entry would be left out.
fn refuse_damage(line: &[u8], entry: usize) -> Result<(), PemProblem> {
    let line = String::from_utf8_lossy(line).to_uppercase();
    if line.starts_with('#') || !["BEGIN", "END"].iter().any(|word| is_damaged(&line, word)) {
        return Ok(());
    }
    let reason = if line.contains("\\N") {
        "its line breaks are written out as \\n; write them as such: printf '%b' \"$VARIABLE\" > FILE"
    } else if line.contains("BEGIN") && line.contains("END") {
        "its line breaks are missing; BEGIN, base64 and END have lines of their own"
    } else {
        "its BEGIN line is missing or damaged; correct it, or begin its lines with #"
    };
    let reason = reason.to_owned();
    Err(PemProblem::Unusable { entry, reason })
}

/// True of a line, in upper case, that has this word and so many dashes around it, or such a label, that it is no prose.
fn is_damaged(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let dashes_before = before.trim_end().chars().rev().take_while(is_dash).count();
        let dashes = dashes_before + longest_dash(after);
        let is_word =
            !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        let has_words = |text: &str| text.contains(char::is_alphanumeric);
        let is_like_a_label = match has_words(after) {
            true => PARTS_OF_LABELS.iter().any(|part| after.contains(part)),
            false => dashes_before >= 5,
        };
        let label = after.trim_matches(|c: char| !c.is_alphanumeric());
        (is_word && dashes >= 3 && is_like_a_label) || (!has_words(before) && is_known(label))
    })
}

const fn is_dash(c: &char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// The length of the longest row of dashes.
fn longest_dash(text: &str) -> usize {
    let rows = text.split(|c| !is_dash(&c));
    rows.map(|row| row.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
#[path = "pem_entries_tests.rs"]
mod tests;
