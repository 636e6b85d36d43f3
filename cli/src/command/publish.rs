//! `aiomsg pub`: everybody who is connected gets each message.

use std::time::Duration;

use actix_aiomsg::prelude::*;
use bytes::Bytes;
use clap::Args;

use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt;
use crate::messages::Messages;
use crate::options::{self, Ends};
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    messages: Messages,
    /// Begin when so many peers are connected [default: one for each --connect, at least 1].
    #[arg(long, value_name = "PEERS")]
    wait: Option<usize>,
    /// Give up when nobody comes, or nothing that is sent is taken or written, for so long [default: wait].
    #[arg(long, value_parser = options::duration)]
    timeout: Option<Duration>,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        self.messages.require_files()?;
        let bar = self.messages.bar(self.ends.quiet);
        let builder = Socket::builder()
            .send_mode(SendMode::Publish)
            .unheard(Unheard::Wait);
        let session = Session::start(&self.ends, builder, Some(bar.clone()))?;
        let wanted = self.wait.unwrap_or(self.ends.connect.len().max(1));
        let mut sent = 0;
        let work = async {
            session.open().await?;
            session.wait_for_peers(wanted, self.timeout).await?;
            let mut source = self.messages.source()?;
            while let Some(message) = source.next().await? {
                send(&session, message, self.timeout).await?;
                sent += 1;
                bar.inc(1);
            }
            Ok(())
        };
        let worked = interrupt::unless_interrupted(work, || "not all messages are sent".to_owned());
        let worked = worked.await;
        bar.finish_and_clear();
        session.finish_after(worked, sent, self.timeout).await
    }
}

/// Sends a message, unless nothing moves for `limit`.
pub(super) async fn send(session: &Session, message: Bytes, limit: Option<Duration>) -> Outcome {
    let sending = session.socket.send(message);
    match session.while_moving(limit, sending).await {
        Some(taken) => taken.map_err(|error| not_taken(&error)),
        None => Err(session.nothing_taken(limit.unwrap_or_default())),
    }
}

/// A message that the socket did not take.
pub(crate) fn not_taken(error: &actix_aiomsg::error::SendError) -> Failure {
    Failure::failed(format_args!("a message was not sent: {error}"))
}
