//! Recorded messages: a line of JSON each, with the time since the recording began.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use actix_aiomsg::Identity;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::Outcome;
use crate::failure::Failure;
use crate::input::MAX_MESSAGE;
use crate::payload_text::add_payload;

/// The most bytes of a line: a payload in hexadecimal digits or escapes, and the rest.
const MAX_LINE: usize = 6 * MAX_MESSAGE + 1024;

/// Opens a new file to record into.
pub(crate) fn create(file: &Path) -> Outcome<File> {
    File::create_new(file).map_err(|error| {
        Failure::failed(format_args!("{}: {error}", file.display()))
            .advise("A recording is a new file: choose another name, or remove the old one.")
    })
}

/// A message as a line, without its end.
pub(crate) fn line(after: Duration, peer: Identity, payload: &[u8]) -> Vec<u8> {
    let mut line = json!({ "seconds": after.as_secs_f64(), "peer": peer.to_string() });
    add_payload(&mut line, payload);
    line.to_string().into_bytes()
}

/// A recording that is read again.
pub(crate) struct Recording {
    lines: BufReader<File>,
    name: String,
    number: u64,
}

impl Recording {
    pub(crate) fn open(file: &Path) -> Outcome<Self> {
        let name = file.display().to_string();
        let file =
            File::open(file).map_err(|error| Failure::failed(format_args!("{name}: {error}")))?;
        Ok(Self {
            lines: BufReader::new(file),
            name,
            number: 0,
        })
    }

    /// The next message, and when it is due; `None` at the end.
    pub(crate) fn next(&mut self) -> Outcome<Option<(Duration, Bytes)>> {
        self.number += 1;
        let mut line = Vec::new();
        let mut limited = std::io::Read::take(&mut self.lines, MAX_LINE as u64);
        let read = limited.read_until(b'\n', &mut line);
        match read {
            Ok(0) => Ok(None),
            Ok(_) => match message(&line) {
                Some(message) => Ok(Some(message)),
                None => Err(Failure::failed(format_args!(
                    "{}:{}: this is no recorded message",
                    self.name, self.number
                ))
                .advise("`aiomsg relay --capture FILE` records.")),
            },
            Err(error) => Err(Failure::failed(format_args!("{}: {error}", self.name))),
        }
    }
}

fn message(line: &[u8]) -> Option<(Duration, Bytes)> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let after = Duration::try_from_secs_f64(line["seconds"].as_f64()?).ok()?;
    let payload = match (line["text"].as_str(), line["hex"].as_str()) {
        (Some(text), None) => Bytes::copy_from_slice(text.as_bytes()),
        (None, Some(hex)) => bytes(hex)?.into(),
        _ => return None,
    };
    Some((after, payload))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |pair: &[u8; 2]| {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
    };
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_read_as_it_was() {
        let peer = Identity::from_bytes([3; 16]);
        for payload in [&b"text \n\"x\""[..], &[0xff, 0, 0x1b], b""] {
            let after = Duration::from_millis(1_250);
            let read = message(&line(after, peer, payload)).unwrap();
            assert_eq!(read, (after, Bytes::copy_from_slice(payload)));
        }
    }

    #[test]
    fn what_is_no_recorded_message_is_refused() {
        for wrong in [
            "",
            "{}",
            r#"{"seconds":1}"#,
            r#"{"seconds":-1,"text":"a"}"#,
            r#"{"seconds":1,"hex":"f"}"#,
            r#"{"seconds":1,"hex":"ää"}"#,
            r#"{"seconds":1,"text":"a","hex":"00"}"#,
        ] {
            assert!(message(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
