//! Reading Rust source just well enough to see which paths it uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// One file of Rust.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
    /// All of it but comments and tests, line by line.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let mut source = Self {
            path,
            text,
            code: String::new(),
        };
        if !source.is_tests() {
            source.code = code(&source.text);
        }
        source
    }

    /// Whether it is a file of tests that belongs to another file.
    pub(crate) fn is_tests(&self) -> bool {
        let stem = self.path.file_stem().unwrap().to_string_lossy();
        stem.ends_with("_tests") || stem == "tests" || stem == "loom_models"
    }

    /// The folder or the file directly below `src` that this file is, or is part of.
    pub(crate) fn layer(&self) -> String {
        let mut parts = self
            .path
            .components()
            .rev()
            .map(|c| c.as_os_str().to_string_lossy());
        let mut last = parts.next().unwrap().trim_end_matches(".rs").to_owned();
        for part in parts {
            if part == "src" {
                break;
            }
            last = part.into_owned();
        }
        last
    }
}

/// Drops the module of tests at a file's end, and comments.
fn code(text: &str) -> String {
    let is_tests = |window: &str| {
        let window = window.trim_start();
        window.starts_with("#[cfg(test)]") || window.starts_with("#[cfg(all(test")
    };
    text.lines()
        .take_while(|line| !is_tests(line))
        .map(|line| line.split("//").next().unwrap_or_default())
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Every path in the code, with the trees of `use` spelled out. `super` is left alone: it stays
/// within the layer in a folder, and files directly below `src` do not need it.
pub(crate) fn paths(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut rest = code;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        rest = &rest[start..];
        let end = rest.find(|c: char| !is_path(c)).unwrap_or(rest.len());
        let (path, after) = rest.split_at(end);
        match path.strip_suffix("::") {
            Some(prefix) if after.starts_with('{') => {
                rest = expand(prefix, &after[1..], &mut paths)
            }
            Some(_) | None => {
                if path.contains("::") {
                    paths.insert(path.trim_end_matches(':').to_owned());
                }
                rest = after;
            }
        }
    }
    paths
}

/// Spells out `prefix::{…}` and gives what follows its closing brace.
fn expand<'a>(prefix: &str, mut tree: &'a str, paths: &mut BTreeSet<String>) -> &'a str {
    loop {
        tree = tree.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        let end = tree.find(|c: char| !is_path(c)).unwrap_or(tree.len());
        let (path, after) = tree.split_at(end);
        tree = match path.strip_suffix("::") {
            _ if path.is_empty() && after.starts_with('}') => return &after[1..],
            _ if path.is_empty() => after.get(1..).unwrap_or_default(),
            Some(inner) if after.starts_with('{') => {
                expand(&format!("{prefix}::{inner}"), &after[1..], paths)
            }
            Some(_) | None => {
                paths.insert(format!("{prefix}::{path}"));
                after
            }
        };
        if tree.is_empty() {
            return tree;
        }
    }
}

fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

#[test]
fn paths_are_found_in_trees_and_in_the_open() {
    let code = "use crate::{id::Identity, wire::{walk, Walk}};\nfn a() { tokio::spawn(b::c()) }";
    let found: Vec<_> = paths(code).into_iter().collect();
    assert_eq!(
        found,
        [
            "b::c",
            "crate::id::Identity",
            "crate::wire::Walk",
            "crate::wire::walk",
            "tokio::spawn"
        ]
    );
}

#[test]
fn comments_and_tests_are_no_code() {
    let text = "fn a() {} // tokio::spawn\n#[cfg(test)]\nmod tests { use tokio::time; }\n";
    assert_eq!(code(text), "fn a() {} \n");
}
