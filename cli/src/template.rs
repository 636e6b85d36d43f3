//! Messages that are made from a text: `{{count}}`, `{{time}}`, `{{random 64}}`.

use std::fmt::Write;
use std::time::SystemTime;

use actix_aiomsg::MessageId;

/// The most characters that one `{{random}}` makes.
const MAX_RANDOM: usize = 1 << 20;

/// A text with places to fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The number of the message, from 1 on.
    Count,
    /// The time, in UTC, to the microsecond.
    Time,
    /// So many random hexadecimal digits.
    Random(usize),
}

impl std::str::FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (name, after) = behind
                .split_once("}}")
                .ok_or_else(|| "a place that begins with {{ ends with }}".to_owned())?;
            pieces.push(place(name.trim())?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

fn place(name: &str) -> Result<Piece, String> {
    let known = "known are {{count}}, {{time}} and {{random 64}}";
    match name.split_once(' ') {
        None if name == "count" => Ok(Piece::Count),
        None if name == "time" => Ok(Piece::Time),
        Some(("random", digits)) => match digits.trim().parse() {
            Ok(digits) if digits <= MAX_RANDOM => Ok(Piece::Random(digits)),
            _ => Err(format!("{{{{random}}}} takes a number up to {MAX_RANDOM}")),
        },
        _ => Err(format!("{{{{{name}}}}} means nothing: {known}")),
    }
}

impl Template {
    /// The message of this number.
    pub(crate) fn fill(&self, count: u64) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                // A string takes everything.
                Piece::Count => _ = write!(out, "{count}"),
                Piece::Time => {
                    let now = humantime::format_rfc3339_micros(SystemTime::now());
                    _ = write!(out, "{now}");
                }
                Piece::Random(digits) => push_random(&mut out, *digits),
            }
        }
        out
    }
}

fn push_random(out: &mut String, digits: usize) {
    let end = out.len() + digits;
    while out.len() < end {
        // Sixteen bytes of the operating system's.
        out.push_str(&MessageId::random().to_string());
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_text_stays() {
        let template: Template = "n={{count}} {{ random 40 }}!".parse().unwrap();
        let (one, two) = (template.fill(1), template.fill(2));
        assert!(one.starts_with("n=1 ") && two.starts_with("n=2 "));
        assert!(one.ends_with('!') && one.len() == 45, "{one}");
        assert_ne!(one[4..], two[4..]);
        let plain: Template = "a } b { c".parse().unwrap();
        assert_eq!(plain.fill(7), "a } b { c");
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_does() {
        let error = "{{uuid}}".parse::<Template>().unwrap_err();
        assert!(error.contains("{{count}}"), "{error}");
        for wrong in [
            "{{count",
            "{{random}}",
            "{{random x}}",
            "{{random 99999999}}",
        ] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
    }
}
