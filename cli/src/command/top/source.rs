//! Where reports come from: the inspection endpoint of a socket, or a made-up system.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_aiomsg::inspection::{FORMAT, Report, runtime_directory};
use serde_json::Value;

use crate::Outcome;
use crate::failure::Failure;
use crate::redaction::shown_path;

/// How long an endpoint may take for a report.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a report, which is about a megabyte with as many peers as are listed.
const REPORT_BYTES: u64 = 16 << 20;

/// A way to reports, one after the other.
pub(super) trait Reports: Send {
    /// The next one; waits for it.
    fn next(&mut self) -> Result<Report, String>;
}

/// Connects to the endpoints at the paths that were given, of which some may fail, or to those in the directory where they are
/// by convention.
pub(super) fn endpoints(given: Vec<PathBuf>) -> Outcome<Vec<(Outcome<Endpoint>, PathBuf)>> {
    if !given.is_empty() {
        let connect = |path: PathBuf| (Endpoint::connect(&path), path);
        return Ok(given.into_iter().map(connect).collect());
    }
    let advice = "Name the path that the program gave to `.inspection(path)`, or that `inspection` has in its settings. \
                  `aiomsg top --demo` shows a made-up system.";
    let Some(directory) = runtime_directory() else {
        let text = "no socket is named, and XDG_RUNTIME_DIR is not set, where they would be found";
        return Err(Failure::usage(text).advise(advice));
    };
    let found = endpoints_in(&directory);
    if found.is_empty() {
        let text = format!("no socket is named, and none is in {}", directory.display());
        return Err(Failure::usage(text).advise(advice));
    }
    Ok(found)
}

/// In the order of their names.
fn endpoints_in(directory: &Path) -> Vec<(Outcome<Endpoint>, PathBuf)> {
    // A directory that is not there has none.
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    // What a dead process has left does not answer.
    let connect = |path: PathBuf| Some((Ok(Endpoint::connect(&path).ok()?), path));
    paths.into_iter().filter_map(connect).collect()
}

/// An inspection endpoint.
#[cfg(unix)]
pub(super) struct Endpoint {
    stream: BufReader<std::os::unix::net::UnixStream>,
}

#[cfg(unix)]
impl Endpoint {
    /// Connects to it.
    pub(super) fn connect(path: &Path) -> Outcome<Self> {
        let stream = std::os::unix::net::UnixStream::connect(path)
            .and_then(|stream| stream.set_read_timeout(Some(PATIENCE)).map(|()| stream))
            .map_err(|error| unreachable(path, &error))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        writeln!(self.stream.get_mut(), "{{\"format\":{FORMAT}}}")?;
        (&mut self.stream).take(REPORT_BYTES).read_line(&mut line)?;
        Ok(line)
    }
}

#[cfg(unix)]
impl Reports for Endpoint {
    fn next(&mut self) -> Result<Report, String> {
        // It may have said why it does not answer, and have gone.
        let line = self.line().map_err(|error| gone(&error))?;
        parse(&line)
    }
}

fn gone(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "it does not answer; is its process stopped?".to_owned()
        }
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => "it is gone".to_owned(),
        _ => error.to_string(),
    }
}

fn parse(line: &str) -> Result<Report, String> {
    if line.is_empty() {
        return Err("it is gone".to_owned());
    }
    let no_report = |error| format!("what it says is no report: {error}");
    let told: Value = serde_json::from_str(line).map_err(no_report)?;
    if let Some(error) = told["error"].as_str() {
        return Err(error.to_owned());
    }
    let report: Report = serde_json::from_value(told).map_err(no_report)?;
    match report.format {
        FORMAT => Ok(report),
        format => Err(format!(
            "it tells format {format}, and this program knows {FORMAT}"
        )),
    }
}

/// An endpoint that cannot be reached, with what to do.
fn unreachable(path: &Path, error: &io::Error) -> Failure {
    let path = shown_path(path);
    match error.kind() {
        io::ErrorKind::NotFound => Failure::failed(format_args!("there is no socket at {path}"))
            .advise("Is the program started, and does its socket have `.inspection(path)` with this path?"),
        io::ErrorKind::ConnectionRefused => {
            Failure::failed(format_args!("nobody listens at {path}")).advise(
                "If it is a socket file, the process that made it is gone; the next start of the program replaces it.",
            )
        }
        io::ErrorKind::PermissionDenied => Failure::failed(format_args!("{path} is of another user"))
            .advise("Only the user of the program may look into it, and root."),
        io::ErrorKind::InvalidInput => {
            Failure::failed(format_args!("{path} is too long for the path of a socket"))
                .advise("Such a path has some 100 bytes at most: no program listens there.")
        }
        _ => Failure::failed(format_args!("{path}: {error}"))
            .advise("Is it the path that the program gave to `.inspection(path)`?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_told_why() {
        let told = |line: &str| parse(line).unwrap_err();
        assert_eq!(
            told(r#"{"format":1,"error":"8 look already"}"#),
            "8 look already"
        );
        assert_eq!(told(""), "it is gone");
        assert!(told("hello").contains("no report"));
        assert!(told(r#"{"format":9}"#).contains("format 9"));
        let later = parse(r#"{"format":1,"identity":"a","colour":"red"}"#).unwrap();
        assert_eq!(later.identity, "a");
    }
}
