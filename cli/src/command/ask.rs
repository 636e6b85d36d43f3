//! `aiomsg ask`: a question, and its answer.

use std::time::{Duration, Instant};

use actix_aiomsg::Identity;
use actix_aiomsg::error::AskError;
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::publish::not_taken;
use crate::Outcome;
use crate::failure::Failure;
use crate::input;
use crate::interrupt;
use crate::notices::notice;
use crate::options::{self, Ends};
use crate::output;
use crate::payload_text::{self, Style};
use crate::session::{Session, within};

/// So far may the clocks of both ends be apart at the end of the time: it travels in milliseconds.
const SAME_TIME: Duration = Duration::from_millis(10);

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ends: Ends,
    /// Ask this peer: its 32 hexadecimal digits, or the name that it was started with [default: whoever is next].
    #[arg(long, value_name = "NAME", value_parser = options::identity)]
    to: Option<Identity>,
    /// Ask whoever offers the service of this name, and has the least to do.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "raw"])]
    service: Option<String>,
    /// Ask the instance of the service that questions with this key go to.
    #[arg(long, value_name = "KEY", requires = "service")]
    service_key: Option<String>,
    /// Send the question as a plain message, and take the next message as the answer: for peers that know no asks.
    #[arg(long)]
    raw: bool,
    /// A JSON object: `text`, or `hex` for what is no text, and the round trip in `milliseconds`.
    #[arg(long)]
    json: bool,
    /// Give up when there is no answer for so long.
    #[arg(long, default_value = "5s", value_parser = options::duration)]
    timeout: Duration,
    /// The question [default: all of standard input].
    question: Option<String>,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let session = Session::start(&self.ends, Socket::builder(), None)?;
        let work = self.ask(&session);
        interrupt::unless_interrupted(work, || "the answer was not waited for".to_owned()).await?;
        session.socket.close().await;
        Ok(())
    }

    async fn ask(&self, session: &Session) -> Outcome {
        session.open().await?;
        let question = match &self.question {
            Some(question) => Bytes::copy_from_slice(question.as_bytes()),
            None => input::all_of_stdin().await?,
        };
        let service = self.service.as_ref().map(|name| {
            let service = session.socket.service(name);
            match &self.service_key {
                Some(key) => service.keyed(key),
                None => service,
            }
        });
        match self.to {
            Some(peer) => session.wait_for(peer, Some(self.timeout)).await?,
            None => session.wait_for_peers(1, Some(self.timeout)).await?,
        }
        if let Some(service) = &service
            && within(Some(self.timeout), service.wait_for(1))
                .await
                .is_none()
        {
            return Err(not_offered(service.name(), self.timeout));
        }
        let began = Instant::now();
        let answer = match (service, self.raw) {
            (Some(service), _) => {
                let asking = service.ask(&question).timeout(self.timeout);
                asking
                    .await
                    .map_err(|error| self.not_answered(error, began))?
            }
            (None, true) => self.ask_raw(session, question).await?,
            (None, false) => {
                let whom = self.to.map_or(Whom::Any, Whom::Peer);
                let asking = session.socket.ask(whom, &question).timeout(self.timeout);
                asking
                    .await
                    .map_err(|error| self.not_answered(error, began))?
            }
        };
        self.show(&answer, began.elapsed())
    }

    /// Why there is no answer.
    fn not_answered(&self, error: AskError, began: Instant) -> Failure {
        match error {
            // A peer that is told the time ends its work with it, and its word may be here before our own clock is there.
            AskError::Remote(_) if began.elapsed() + SAME_TIME >= self.timeout => {
                Failure::timed_out(self.timeout, "no answer")
                    .advise("The peer works for longer. --timeout gives it more time.")
            }
            AskError::Remote(text) => Failure::refused(payload_text::harmless(&text)),
            AskError::Busy => Failure::refused(error)
                .advise("More instances, or more --jobs of `aiomsg serve`, share the work."),
            AskError::NoService => {
                not_offered(self.service.as_deref().unwrap_or_default(), self.timeout)
            }
            AskError::Timeout => Failure::timed_out(self.timeout, "no answer").advise(
                "Does the peer know asks? If not: --raw takes its next message as the answer.",
            ),
            error => Failure::failed(error),
        }
    }

    async fn ask_raw(&self, session: &Session, question: Bytes) -> Outcome<Bytes> {
        let asking = async {
            let sent = match self.to {
                Some(peer) => session.socket.send_to(peer, question).await,
                None => session.socket.send(question).await,
            };
            sent.map_err(|error| not_taken(&error))?;
            loop {
                let message = session.socket.recv().await.map_err(Failure::failed)?;
                if self.to.is_none_or(|peer| peer == message.peer()) {
                    return Ok(message.payload().clone());
                }
            }
        };
        match within(Some(self.timeout), asking).await {
            Some(answer) => answer,
            None => Err(Failure::timed_out(self.timeout, "no message came").advise(
                "Does the peer send a message back, as `aiomsg echo` does? --timeout gives it more time.",
            )),
        }
    }

    fn show(&self, answer: &Bytes, took: Duration) -> Outcome {
        if self.json {
            let milliseconds = took.as_secs_f64() * 1e3;
            let mut line = json!({ "bytes": answer.len(), "milliseconds": milliseconds });
            payload_text::add_payload(&mut line, answer);
            return output::print_raw(line.to_string());
        }
        match Style::of_stdout(false) {
            Style::Terminal => output::print(payload_text::for_terminal(answer))?,
            Style::Plain | Style::Json => output::print_raw(answer)?,
        }
        if !self.ends.quiet {
            notice(&format!("answered in {took:.1?}"));
        }
        Ok(())
    }
}

fn not_offered(service: &str, limit: Duration) -> Failure {
    Failure::timed_out(
        limit,
        format_args!("nobody who is connected offers {service:?}"),
    )
    .advise("`aiomsg serve --offer NAME` offers one; without --service any peer is asked.")
}
