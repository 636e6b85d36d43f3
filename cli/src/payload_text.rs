//! Payloads as people and machines read them.

use std::fmt::Write;
use std::io::IsTerminal;

use actix_aiomsg::Identity;
use serde_json::{Value, json};

/// How payloads are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// The bytes as they are.
    Plain,
    /// For people: JSON is indented, and nothing that a peer sends reaches the terminal as a control sequence.
    Terminal,
    /// One JSON object a line.
    Json,
}

impl Style {
    /// What suits standard output, unless JSON is asked for.
    pub(crate) fn of_stdout(json: bool) -> Self {
        match json {
            true => Self::Json,
            false if std::io::stdout().is_terminal() => Self::Terminal,
            false => Self::Plain,
        }
    }

    /// A payload from a peer, without the end of its line.
    pub(crate) fn show(self, peer: Identity, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => payload.to_vec(),
            Self::Terminal => for_terminal(payload).into_bytes(),
            Self::Json => {
                let mut line = json!({ "peer": peer.to_string(), "bytes": payload.len() });
                add_payload(&mut line, payload);
                line.to_string().into_bytes()
            }
        }
    }
}

/// Adds `text`, or `hex` for what is no text, to an object.
pub(crate) fn add_payload(object: &mut Value, payload: &[u8]) {
    match std::str::from_utf8(payload) {
        Ok(text) => object["text"] = text.into(),
        Err(_) => object["hex"] = hex(payload).into(),
    }
}

/// A payload for a terminal: JSON indented, text without control characters, hex for the rest.
pub(crate) fn for_terminal(payload: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(payload) else {
        return format!("hex {}", hex(payload));
    };
    if text.starts_with(['{', '[']) && serde_json::from_str::<Value>(text).is_ok() {
        return harmless(&indented(text));
    }
    harmless(text)
}

/// Valid JSON on lines of its own. Numbers, names and their order stay as they were written, which a parsed value does not promise.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(2 * json.len());
    let mut depth = 0;
    let mut rest = json.chars().filter(|c| !c.is_ascii_whitespace()).peekable();
    let mut all = json.chars();
    while let Some(c) = all.next() {
        if c.is_ascii_whitespace() {
            continue;
        }
        rest.next();
        match c {
            '"' => {
                out.push(c);
                let mut escaped = false;
                for c in all.by_ref() {
                    if !c.is_ascii_whitespace() {
                        rest.next();
                    }
                    out.push(c);
                    match c {
                        '\\' if !escaped => escaped = true,
                        '"' if !escaped => break,
                        _ => escaped = false,
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                if !matches!(rest.peek(), Some('}' | ']')) {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth -= 1;
                    new_line(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Text without characters that steer a terminal; line feeds and tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            // They reverse what stands around them.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A string takes everything.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_json_keeps_numbers_order_and_strings() {
        let json = r#"{"b":123456789012345678901234567890, "a" :[ ],"s":"x, {y}: \" [z]","o":{}}"#;
        let shown = for_terminal(json.as_bytes());
        let lines: Vec<_> = shown.lines().collect();
        let expected = [
            "{",
            r#"  "b": 123456789012345678901234567890,"#,
            r#"  "a": [],"#,
            r#"  "s": "x, {y}: \" [z]","#,
            r#"  "o": {}"#,
            "}",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn json_is_indented_text_stays_and_bytes_become_hex() {
        assert_eq!(
            for_terminal(br#"{"a":[1]}"#),
            "{\n  \"a\": [\n    1\n  ]\n}"
        );
        assert_eq!(for_terminal("täglich\tneu".as_bytes()), "täglich\tneu");
        assert_eq!(for_terminal(&[0xff, 0x00, 0x1b]), "hex ff001b");
    }

    #[test]
    fn no_payload_steers_the_terminal() {
        for payload in [
            "\x1b[2J",
            "\u{9b}2J",
            "a\rb",
            "\u{7}",
            "{\"a\":\"\u{9b}31m\"}",
            "\u{202e}x",
        ] {
            let shown = for_terminal(payload.as_bytes());
            let is_harmless = |c: char| (!c.is_control() || c == '\n') && c != '\u{202e}';
            assert!(shown.chars().all(is_harmless), "{shown:?}");
        }
    }

    #[test]
    fn a_line_of_json_has_the_peer_and_the_payload() {
        let peer = Identity::from_bytes([1; 16]);
        let line = |payload: &[u8]| String::from_utf8(Style::Json.show(peer, payload)).unwrap();
        let value: Value = serde_json::from_str(&line(b"a\nb")).unwrap();
        assert_eq!(value["text"], "a\nb");
        assert_eq!(value["peer"], peer.to_string());
        let value: Value = serde_json::from_str(&line(&[0xff])).unwrap();
        assert_eq!(value["hex"], "ff");
        assert_eq!(value["bytes"], 1);
    }
}
