//! The page about the log has every line at INFO and above, and no other.

use std::collections::BTreeMap;
use std::fs;

use proc_macro2::{TokenStream, TokenTree};

use super::{assert_none, root, shown, sources};

/// The levels that the page has, as the macros and its headings call them.
const LEVELS: [(&str, &str); 3] = [("error", "ERROR"), ("warn", "WARN"), ("info", "INFO")];

/// Log lines: the heading and the text, and where each stands.
type Lines = BTreeMap<(&'static str, String), String>;

/// The lines that the sources write.
fn written() -> Lines {
    let mut lines = Lines::new();
    for source in sources("src").into_iter().chain(sources("nats/src")) {
        if source.is_tests() || source.layer() == "simulation" {
            continue;
        }
        let tokens: TokenStream = source.text.parse().expect("a file of Rust");
        collect(tokens, &shown(&source.path), &mut lines);
    }
    lines
}

/// Walks over tokens, in which a line is `tracing::warn!(…)`.
fn collect(tokens: TokenStream, path: &str, lines: &mut Lines) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else {
            continue;
        };
        collect(group.stream(), path, lines);
        let before: String = tokens[at.saturating_sub(5)..at]
            .iter()
            .map(ToString::to_string)
            .collect();
        let level = LEVELS
            .iter()
            .find(|(name, _)| before == format!("tracing::{name}!"));
        if let Some((_, heading)) = level {
            let texts = group.stream().into_iter().filter_map(text);
            let text = texts.last().expect("a line has a text");
            let place = format!("{path}:{}", group.span_open().start().line);
            lines.insert((heading, text), place);
        }
    }
}

/// The content of a literal, if it is a text.
fn text(token: TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else {
        return None;
    };
    let literal = literal.to_string();
    let content = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut pieces = content.split("\\\n").map(str::trim_start);
    let first = content.split("\\\n").next()?.to_owned();
    pieces.next();
    let whole = pieces.fold(first, |whole, piece| whole + piece);
    Some(whole.replace("\\\"", "\""))
}

/// The lines that the page has: those of a long text end with `…` there.
fn documented() -> Vec<(String, String)> {
    let page = fs::read_to_string(root().join("docs/LOGGING.md")).unwrap();
    let mut level = "";
    let mut lines = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            level = heading;
        }
        if let Some((text, rest)) = line
            .strip_prefix("| `")
            .and_then(|row| row.split_once("` | "))
        {
            let told = rest
                .trim_end_matches('|')
                .split(" | ")
                .filter(|cell| !cell.trim().is_empty());
            assert_eq!(told.count(), 2, "when it comes, and what to do: {line}");
            lines.push((level.to_owned(), text.to_owned()));
        }
    }
    lines
}

/// True if a row of the page is about this line.
fn is_about(row: &str, line: &str) -> bool {
    match row.strip_suffix('…') {
        Some(beginning) => line.starts_with(beginning.trim_end()),
        None => row == line,
    }
}

#[test]
fn the_page_has_every_line_of_the_log() {
    let (written, documented) = (written(), documented());
    assert!(written.len() > 40, "{written:#?}");
    let mut problems = Vec::new();
    for ((level, line), place) in &written {
        if line.contains("  ") {
            problems.push(format!("{place}: a run of spaces in {line:?}"));
        }
        let rows = documented
            .iter()
            .filter(|(heading, row)| heading == level && is_about(row, line));
        match rows.count() {
            1 => {}
            count => problems.push(format!(
                "{place}: {count} rows for {line:?} at {level} of docs/LOGGING.md"
            )),
        }
    }
    for (heading, row) in &documented {
        let is_written = |(level, line): &(&str, String)| heading == level && is_about(row, line);
        if !written.keys().any(is_written) {
            problems.push(format!("docs/LOGGING.md, {heading}: nobody writes {row:?}"));
        }
    }
    assert_none(&problems);
}

#[test]
fn a_text_over_several_lines_is_one() {
    let tokens: TokenStream = "tracing::warn!(%a, \"one, \\\n      two \\\"three\\\"\");"
        .parse()
        .unwrap();
    let mut lines = Lines::new();
    collect(tokens, "here", &mut lines);
    let line = ("WARN", "one, two \"three\"".to_owned());
    assert_eq!(lines.into_keys().collect::<Vec<_>>(), [line]);
}
