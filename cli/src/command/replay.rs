//! `aiomsg replay`: a recording is sent again, in its own time.

use std::path::PathBuf;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use clap::Args;
use tokio::time::Instant;

use super::publish::not_taken;
use crate::Outcome;
use crate::interrupt;
use crate::options::{self, Ends};
use crate::recording::Recording;
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

impl Speed {
    /// When a message is due that was recorded so long after the first.
    fn due(self, after: Duration) -> Duration {
        match self {
            Self::Times(times) => {
                Duration::try_from_secs_f64(after.as_secs_f64() / times).unwrap_or(Duration::MAX)
            }
            Self::Max => Duration::ZERO,
        }
    }
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let mut recording = Recording::open(&self.file)?;
        let mode = match self.in_turn {
            true => SendMode::RoundRobin,
            false => SendMode::Publish,
        };
        let session = Session::start(&self.ends, Socket::builder().send_mode(mode), None)?;
        let work = async {
            session.open().await?;
            let wanted = self.ends.connect.len().max(1);
            session.wait_for_peers(wanted, self.timeout).await?;
            let began = Instant::now();
            let mut first = None;
            while let Some((at, message)) = recording.next()? {
                let after = at.saturating_sub(*first.get_or_insert(at));
                if let Some(due) = began.checked_add(self.speed.due(after)) {
                    tokio::time::sleep_until(due).await;
                }
                let taken = session.socket.send(message).await;
                taken.map_err(|error| not_taken(&error))?;
            }
            Ok(())
        };
        let undone = || "not all of the recording is sent".to_owned();
        interrupt::unless_interrupted(work, undone).await?;
        let undone = || "not all of the recording is written".to_owned();
        let ends = interrupt::unless_interrupted(session.finish(self.timeout), undone);
        ends.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_as_fast_as_it_is_told() {
        let second = Duration::from_secs(1);
        assert_eq!(speed("2x").unwrap().due(second), second / 2);
        assert_eq!(speed("0.5").unwrap().due(second), second * 2);
        assert_eq!(speed("max").unwrap().due(second), Duration::ZERO);
        assert_eq!(speed("1e-300x").unwrap().due(second), Duration::MAX);
        for wrong in ["", "x", "0x", "-1x", "nan", "fast"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }
}
