//! `aiomsg replay`: a recording is sent again, in its own time.

use std::path::PathBuf;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::capture::{CaptureError, Replay};
use clap::Args;

use super::publish::send;
use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt;
use crate::options::{self, Ends};
use crate::redaction::shown_path;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What `aiomsg relay --capture` has recorded.
    file: PathBuf,
    #[command(flatten)]
    ends: Ends,
    /// So many times as fast as it was, for instance 2x or 0.5x; `max` does not wait.
    #[arg(long, default_value = "1x", value_parser = speed)]
    speed: Speed,
    /// Each message goes to one peer, in turn [default: to all].
    #[arg(long)]
    in_turn: bool,
    /// Give up when nobody comes, or does not take what is sent, for so long [default: wait].
    #[arg(long, value_parser = options::duration)]
    timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let number = text.strip_suffix('x').unwrap_or(text);
    match number.parse() {
        Ok(times) if f64::is_finite(times) && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("a speed, for instance 2x, 0.5x or max".to_owned()),
    }
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let replay = Replay::open(&self.file).map_err(|error| unreadable(&error))?;
        let mut replay = match self.speed {
            Speed::Times(times) => replay.speed(times),
            Speed::Max => replay.at_once(),
        };
        let mode = match self.in_turn {
            true => SendMode::RoundRobin,
            false => SendMode::Publish,
        };
        let session = Session::start(&self.ends, Socket::builder().send_mode(mode), None)?;
        let mut sent = 0;
        let work = async {
            session.open().await?;
            let wanted = self.ends.connect.len().max(1);
            session.wait_for_peers(wanted, self.timeout).await?;
            while let Some(message) = replay.next_message().await {
                let message = message.map_err(|error| unreadable(&error))?;
                send(&session, message.payload, self.timeout).await?;
                sent += 1;
            }
            Ok(())
        };
        let undone = || "not all of the recording is sent".to_owned();
        let worked = interrupt::unless_interrupted(work, undone).await;
        session.finish_after(worked, sent, self.timeout).await
    }
}

/// Why a recording cannot be read, or not to its end.
fn unreadable(error: &CaptureError) -> Failure {
    let failure = match error {
        CaptureError::Io { file, error, .. } => {
            Failure::failed(format_args!("{}: {error}", shown_path(file)))
        }
        _ => Failure::failed(error),
    };
    match error {
        CaptureError::Foreign(_) | CaptureError::Io { .. } => {
            failure.advise("`aiomsg relay --capture FILE` makes a recording.")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_above_zero_or_as_fast_as_it_goes() {
        assert_eq!(speed("2x"), Ok(Speed::Times(2.0)));
        assert_eq!(speed("0.5"), Ok(Speed::Times(0.5)));
        assert_eq!(speed("max"), Ok(Speed::Max));
        for wrong in ["", "x", "0x", "-1x", "nan", "fast"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }
}
