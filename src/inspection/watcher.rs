//! One watcher: what it asks for, and what it is told.

use std::time::Duration;

use bytes::BytesMut;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::time::timeout;

use super::gather::Inspector;
use super::report::FORMAT;
use crate::clock;

/// Bytes of a request.
const REQUEST_BYTES: usize = 1024;

/// Seconds between two reports.
const EVERY: std::ops::RangeInclusive<f64> = 0.1..=3600.0;

/// A watcher that asks for nothing for so long is let go.
const SILENCE: Duration = Duration::from_secs(60);

/// A watcher that does not read a report for so long is let go.
const UNREAD: Duration = Duration::from_secs(10);

/// What a line asks for. An empty one asks for one report.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Request {
    /// The format that the watcher knows.
    format: Option<u32>,
    /// Seconds between two reports; one report without it.
    every: Option<f64>,
}

impl Request {
    fn parse(line: &[u8]) -> Result<Self, String> {
        if line.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let request: Self = serde_json::from_slice(line).map_err(|error| {
            format!("no request: {error}; a line is empty or {{\"format\":{FORMAT},\"every\":1}}")
        })?;
        if let Some(format) = request.format
            && format != FORMAT
        {
            return Err(format!("this socket tells format {FORMAT}, not {format}"));
        }
        match request.every {
            Some(every) if !EVERY.contains(&every) => Err(format!(
                "\"every\" is from {} to {} seconds",
                EVERY.start(),
                EVERY.end()
            )),
            _ => Ok(request),
        }
    }
}

/// Tells a watcher that there are too many. It is not waited for.
pub(super) fn turn_away(stream: &UnixStream, watchers: usize) {
    let line = error_line(&format!("{watchers} look already, which is the most"));
    // A new connection has room for a line.
    let _ = stream.try_write(&line);
}

/// Serves a watcher until it goes, or does not do its part.
pub(super) async fn serve(stream: UnixStream, inspector: &Inspector) {
    let (read, mut write) = stream.into_split();
    let mut requests = Requests {
        read,
        buffer: BytesMut::new(),
    };
    let mut every = None;
    let mut due = clock::now();
    loop {
        let asked = match every {
            None => match timeout(SILENCE, requests.next()).await {
                Ok(asked) => asked,
                Err(_) => return,
            },
            Some(period) => tokio::select! {
                biased;
                asked = requests.next() => asked,
                () = tokio::time::sleep_until(due.into()) => {
                    // A watcher that was slow is not given what it has missed.
                    due = clock::now() + period;
                    Asked::Again
                }
            },
        };
        let line = match asked {
            Asked::Gone => return,
            Asked::Again => report_line(inspector),
            Asked::For(Ok(request)) => {
                every = request.every.map(Duration::from_secs_f64);
                due = clock::now() + every.unwrap_or_default();
                report_line(inspector)
            }
            Asked::For(Err(problem)) => error_line(&problem),
        };
        match timeout(UNREAD, write.write_all(&line)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

fn report_line(inspector: &Inspector) -> Vec<u8> {
    match serde_json::to_vec(&inspector.report()) {
        Ok(mut line) => {
            line.push(b'\n');
            line
        }
        Err(error) => error_line(&error.to_string()),
    }
}

fn error_line(problem: &str) -> Vec<u8> {
    let line = serde_json::json!({ "format": FORMAT, "error": problem });
    format!("{line}\n").into_bytes()
}

/// The next step of a watcher.
enum Asked {
    Gone,
    Again,
    For(Result<Request, String>),
}

/// The lines that a watcher writes.
struct Requests {
    read: OwnedReadHalf,
    buffer: BytesMut,
}

impl Requests {
    /// The next request. Dropped before it resolves, it has taken nothing.
    async fn next(&mut self) -> Asked {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Asked::For(Request::parse(&line));
            }
            if self.buffer.len() > REQUEST_BYTES {
                return Asked::Gone;
            }
            match self.read.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Asked::Gone,
            }
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_line_and_an_empty_one_asks_for_one_report() {
        assert_eq!(Request::parse(b"\n"), Ok(Request::default()));
        assert_eq!(Request::parse(b"{}\r\n"), Ok(Request::default()));
        let every = Request::parse(br#"{"format":1,"every":0.5}"#).unwrap();
        assert_eq!(every.every, Some(0.5));
    }

    #[test]
    fn what_is_no_request_is_told_why() {
        let told = |line: &str| Request::parse(line.as_bytes()).unwrap_err();
        assert!(told("hello").contains("a line is empty or"));
        assert!(told(r#"{"evry":1}"#).contains("evry"));
        assert!(told(r#"{"format":2}"#).contains("tells format 1, not 2"));
        for every in ["0", "-1", "0.01", "1e9"] {
            assert!(told(&format!(r#"{{"every":{every}}}"#)).contains("from 0.1 to 3600"));
        }
    }
}
