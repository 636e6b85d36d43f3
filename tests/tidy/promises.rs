//! What the documents promise is shown by tests that they name, and that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::source::Source;
use super::{assert_none, files, root, shown, sources};

/// The tests of each file, by the file's path.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let all = ["src", "cli", "nats", "tests", "benches"]
        .into_iter()
        .flat_map(sources);
    all.map(|source| (shown(&source.path), tests_of(&source)))
        .collect()
}

/// The names of functions below an attribute that makes them tests, or handed to a macro that writes tests.
fn tests_of(source: &Source) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let by_macro = source.text.contains("fn $test(");
    let mut is_test = false;
    for line in source.text.lines().map(str::trim_start) {
        if let Some(name) = line.strip_suffix(',').filter(|name| is_sentence(name))
            && by_macro
        {
            names.insert(name.to_owned());
        }
        if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']']).next().unwrap_or_default();
            is_test |= path == "test" || path.ends_with("::test");
        } else if let Some((_, rest)) = line.split_once("fn ") {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            if std::mem::take(&mut is_test) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A sentence in snake case, as only tests have them.
fn is_sentence(word: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    word.chars().all(letters) && word.matches('_').count() >= 4
}

/// A test as documents name it: `tests/file.rs::name`, a file of tests, or a name that tells enough.
fn names_a_test(word: &str) -> bool {
    let folders = ["tests/", "src/", "cli/", "nats/"];
    let in_sources = folders.iter().any(|folder| word.starts_with(folder));
    is_sentence(word) || in_sources && word.contains(".rs")
}

#[test]
fn every_test_that_a_document_names_exists() {
    let tests = tests();
    let anywhere: BTreeSet<&String> = tests.values().flatten().collect();
    let exists = |word: &str| match word.split_once("::") {
        Some((file, name)) => tests.get(file).is_some_and(|names| names.contains(name)),
        None if is_sentence(word) => anywhere.contains(&word.to_owned()),
        None => root().join(word).exists(),
    };
    let mut problems = Vec::new();
    for path in files("docs") {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for word in quoted(line).filter(|word| names_a_test(word) && !exists(word)) {
                problems.push(format!("{}:{}: no {word}", shown(&path), number + 1));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_source_file_that_the_architecture_names_exists() {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let is_file = |word: &&str| word.contains('/') && word.ends_with(".rs");
    let exists = |word: &str| root().join("src").join(word).exists() || root().join(word).exists();
    let named: BTreeSet<&str> = quoted(&text).filter(is_file).collect();
    assert!(named.len() > 30, "the walks name their files: {named:?}");
    let missing: Vec<_> = named.into_iter().filter(|word| !exists(word)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A part of a document below one heading: its lines without code and definitions.
struct Section<'a> {
    heading: &'a str,
    units: Vec<(usize, String)>,
}

/// The sections of a document, each in the units that promise something: paragraphs, points and rows.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim();
            sections.push(Section {
                heading,
                units: Vec::new(),
            });
            open = false;
            continue;
        }
        let Some(section) = sections.last_mut() else {
            continue;
        };
        let begins = line.starts_with('|') || line.starts_with("- ") || line.starts_with("[^");
        if line.trim().is_empty() {
            open = false;
        } else if open && !begins {
            let unit = section.units.last_mut().expect("one is open");
            unit.1 = format!("{} {}", unit.1, line.trim());
        } else {
            section.units.push((index + 1, line.to_owned()));
            open = true;
        }
    }
    sections
}

/// Whether it is the head of a table or the line below it, or says what follows.
fn promises_nothing(unit: &str, next: Option<&String>) -> bool {
    let is_rule = |unit: &str| unit.starts_with("|---");
    is_rule(unit) || next.is_some_and(|next| is_rule(next)) || unit.ends_with(':')
}

fn footnotes(unit: &str) -> impl Iterator<Item = &str> {
    let ends = unit.split("[^").skip(1);
    ends.filter_map(|rest| rest.split(']').next())
}

#[test]
fn every_promise_names_its_test() {
    let text = fs::read_to_string(root().join("docs/GUARANTEES.md")).unwrap();
    let mut problems = Vec::new();
    let (mut used, mut defined) = (BTreeSet::new(), BTreeSet::new());
    // The first says what the document is, the last what nobody may rely on.
    let exempt = ["Guarantees", "What is not promised"];
    for section in sections(&text) {
        let units = &section.units;
        let has_tests = |unit: &str| quoted(unit).any(names_a_test);
        let all = units
            .iter()
            .any(|(_, unit)| unit.starts_with("Tests:") && has_tests(unit));
        for (index, (line, unit)) in units.iter().enumerate() {
            if unit.starts_with("[^") {
                defined.extend(footnotes(unit).map(str::to_owned));
                if !has_tests(unit) {
                    problems.push(format!("line {line}: this footnote names no test"));
                }
                continue;
            }
            used.extend(footnotes(unit).map(str::to_owned));
            let cites = has_tests(unit) || footnotes(unit).next().is_some();
            let next = units.get(index + 1).map(|(_, unit)| unit);
            if !(all || cites || exempt.contains(&section.heading) || promises_nothing(unit, next))
            {
                problems.push(format!("line {line}: no test is named: {unit}"));
            }
        }
    }
    let both = used.symmetric_difference(&defined);
    problems.extend(both.map(|label| format!("[^{label}] is only used, or only defined")));
    assert_none(&problems);
}
