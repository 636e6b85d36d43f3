//! Counting with Valgrind: what a run of this very program executes, without the kernel's part.

use std::process::{Command, Stdio};

use super::paths::{Path, Run, WATCHED};

/// Whether there is a Valgrind.
pub fn is_there() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Counts the runs of a path, each once.
#[derive(Debug)]
pub struct Counter {
    path: Path,
    counted: Vec<(Run, u64)>,
}

impl Counter {
    pub const fn of(path: Path) -> Self {
        let counted = Vec::new();
        Self { path, counted }
    }

    /// What each further message costs, between two runs; or each further peer, where their number is
    /// what differs.
    pub fn slope(&mut self, small: Run, large: Run) -> f64 {
        let units = if small.messages == large.messages {
            (large.peers - small.peers) as f64
        } else {
            (large.messages - small.messages) as f64
        };
        let (fewer, more) = (self.count(small), self.count(large));
        (more as f64 - fewer as f64) / units
    }

    fn count(&mut self, run: Run) -> u64 {
        let known = self.counted.iter().find(|(other, _)| *other == run);
        if let Some((_, count)) = known {
            return *count;
        }
        let count = count(self.path, run);
        self.counted.push((run, count));
        count
    }
}

/// Cachegrind counts, but for replies: how many of them go together hangs on when the other thread
/// runs, and under Callgrind, which is slower, that is always the same.
fn tool(path: Path) -> &'static [&'static str] {
    match path {
        Path::Answer => &["--tool=callgrind", "--callgrind-out-file=/dev/null"],
        _ => &[
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ],
    }
}

/// Instructions of one run.
fn count(path: Path, run: Run) -> u64 {
    let program = std::env::current_exe().expect("this very program");
    let mut valgrind = Command::new("valgrind");
    if path.is_watched() {
        valgrind.env(WATCHED, "1");
    }
    let output = valgrind
        .args(tool(path))
        .arg(program)
        .args(["counted", path.name()])
        .args([run.messages.to_string(), run.peers.to_string()])
        .stdout(Stdio::null())
        .output()
        .expect("Valgrind starts");
    let report = String::from_utf8_lossy(&output.stderr);
    let count = report
        .lines()
        .find_map(|line| line.split_once("I refs:").or(line.split_once("I   refs:")))
        .and_then(|(_, count)| count.trim().replace(',', "").parse().ok());
    match count {
        Some(count) if output.status.success() => count,
        _ => panic!("{} failed:\n{report}", path.name()),
    }
}
