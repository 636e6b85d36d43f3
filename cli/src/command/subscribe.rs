//! `aiomsg sub`: what comes is printed, a line for each message.

use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use clap::Args;

use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt;
use crate::options::{self, Ends};
use crate::output::Output;
use crate::payload_text::Style;
use crate::session::{Session, within};

/// The time to say goodbye to the peers, and for the last lines when a signal or --timeout ends it.
const GOODBYE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ends: Ends,
    /// End after so many messages.
    #[arg(long, short = 'n', value_parser = options::count)]
    count: Option<u64>,
    /// Only messages that begin with this text.
    #[arg(long, value_name = "TEXT")]
    topic: Option<String>,
    /// One JSON object a line: `peer`, `bytes`, and `text`, or `hex` for what is no text.
    #[arg(long)]
    json: bool,
    /// Give up when it takes longer, for instance 30s [default: wait].
    #[arg(long, value_parser = options::duration)]
    timeout: Option<Duration>,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let session = Session::start(&self.ends, Socket::builder(), None)?;
        let output = Output::start()?;
        let mut seen = 0;
        let began = Instant::now();
        let outcome = tokio::select! {
            biased;
            signal = interrupt::signal() => Err(signal),
            () = output.closed() => Ok(Err(Failure::output_closed())),
            outcome = self.print(&session, &output, &mut seen) => Ok(outcome),
        };
        // What was written is acknowledged by now. When it is to end early, a reader that takes nothing is not waited for.
        match outcome {
            Ok(Ok(())) => self.written(output, seen, began).await?,
            _ => within(Some(GOODBYE), output.finish())
                .await
                .unwrap_or(Ok(()))?,
        }
        session.socket.close_within(GOODBYE).await;
        match (outcome, self.count) {
            (Ok(outcome), _) => outcome,
            (Err(_), None) => Ok(()),
            (Err(signal), Some(count)) => {
                let undone = format_args!("{seen} of {count} messages came");
                Err(Failure::interrupted(signal, undone))
            }
        }
    }

    /// Waits until enough messages are written, which a signal or the end of the time cuts short.
    async fn written(&self, output: Output<Received>, seen: u64, began: Instant) -> Outcome {
        let undone = || format!("not all of {seen} messages are written");
        let left = self
            .timeout
            .map(|limit| limit.saturating_sub(began.elapsed()));
        let writing = async {
            match within(left, output.finish()).await {
                Some(written) => written,
                None => Err(
                    Failure::timed_out(self.timeout.unwrap_or_default(), undone())
                        .advise("Who reads standard output takes nothing."),
                ),
            }
        };
        interrupt::unless_interrupted(writing, undone).await
    }

    /// Prints until it is enough.
    async fn print(&self, session: &Session, output: &Output<Received>, seen: &mut u64) -> Outcome {
        session.open().await?;
        let printing = self.print_each(session, output, seen);
        match within(self.timeout, printing).await {
            Some(outcome) => outcome,
            None => {
                let came = match self.count {
                    Some(count) => format!("{seen} of {count} messages came"),
                    None => format!("{seen} messages came"),
                };
                let failure = Failure::timed_out(self.timeout.unwrap_or_default(), came);
                Err(session.advise_if_alone(failure))
            }
        }
    }

    async fn print_each(
        &self,
        session: &Session,
        output: &Output<Received>,
        seen: &mut u64,
    ) -> Outcome {
        let style = Style::of_stdout(self.json);
        while self.count.is_none_or(|count| *seen < count) {
            let message = session.socket.recv().await.map_err(Failure::failed)?;
            let is_wanted = |topic: &String| message.payload().starts_with(topic.as_bytes());
            if !self.topic.as_ref().is_none_or(is_wanted) {
                continue;
            }
            let line = style.show(message.peer(), message.payload());
            // Written, it is dropped, which acknowledges it.
            output.line(line, Some(message)).await?;
            *seen += 1;
        }
        Ok(())
    }
}
