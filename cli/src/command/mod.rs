//! The commands, one in each file.

mod ask;
mod echo;
mod publish;
mod send;
mod serve;
mod subscribe;

use clap::Subcommand;

use crate::Outcome;

/// What `aiomsg` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish to all connected peers: the lines of standard input, messages, or files.
    Pub(publish::Options),
    /// Print the messages that come.
    Sub(subscribe::Options),
    /// Send each message to one peer, by name or in turn.
    Send(send::Options),
    /// Ask a peer, and print its answer.
    Ask(ask::Options),
    /// Run a program for each message or ask that comes.
    Serve(serve::Options),
    /// Send everything back to where it came from, and answer asks, until it is stopped.
    Echo(echo::Options),
}

impl Command {
    /// Does what it says.
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Pub(options) => options.run().await,
            Self::Sub(options) => options.run().await,
            Self::Send(options) => options.run().await,
            Self::Ask(options) => options.run().await,
            Self::Serve(options) => options.run().await,
            Self::Echo(options) => options.run().await,
        }
    }
}
