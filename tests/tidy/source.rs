//! Files of Rust: their text, and the lines of it that are code.

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

#[test]
fn comments_and_tests_are_no_code() {
    let text = "fn a() {} // tokio::spawn\n#[cfg(test)]\nmod tests { use tokio::time; }\n";
    assert_eq!(code(text), "fn a() {} \n");
}
