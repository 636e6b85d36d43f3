//! Events, a line each, until there are enough or a signal comes: what the commands that watch share.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use clap::Args;

use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt;
use crate::options;
use crate::output;
use crate::session::{Session, within};

/// When to end, and how to print.
#[derive(Debug, Args)]
pub(crate) struct Watching {
    /// End after so many lines.
    #[arg(long, short = 'n', value_parser = options::count)]
    count: Option<u64>,
    /// A JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up when it takes longer [default: wait].
    #[arg(long, value_parser = options::duration)]
    timeout: Option<Duration>,
}

impl Watching {
    /// Opens `session`, prints a line for each event that `next` yields, and closes it. Events without a line do not count.
    /// `missing` says what did not come when a signal or the end of the time was first; it is handed the number of lines.
    pub(crate) async fn run<T, M: Display>(
        &self,
        session: Session,
        mut next: impl AsyncFnMut() -> Option<T>,
        line: impl Fn(&T) -> Option<String>,
        missing: impl Fn(u64) -> M,
    ) -> Outcome {
        let mut lines = 0;
        let work = async {
            session.open().await?;
            while self.count.is_none_or(|count| lines < count) {
                let Some(event) = next().await else {
                    return Err(Failure::failed("the socket is closed"));
                };
                if let Some(line) = line(&event) {
                    output::print(line)?;
                    lines += 1;
                }
            }
            Ok(())
        };
        let ended = self.ended(work).await;
        let outcome = match ended {
            Ended::Done(outcome) => outcome,
            Ended::Signal(_) if self.count.is_none() => Ok(()),
            Ended::Signal(signal) => Err(Failure::interrupted(signal, missing(lines))),
            Ended::TimedOut(limit) => {
                Err(session.advise_if_alone(Failure::timed_out(limit, missing(lines))))
            }
        };
        session.socket.close_within(Duration::ZERO).await;
        outcome
    }

    async fn ended(&self, work: impl Future<Output = Outcome>) -> Ended {
        tokio::select! {
            biased;
            outcome = within(self.timeout, work) => match outcome {
                Some(outcome) => Ended::Done(outcome),
                None => Ended::TimedOut(self.timeout.unwrap_or_default()),
            },
            signal = interrupt::signal() => Ended::Signal(signal),
        }
    }
}

/// How watching ended.
enum Ended {
    Done(Outcome),
    Signal(u8),
    TimedOut(Duration),
}
