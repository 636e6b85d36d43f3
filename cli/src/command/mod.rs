//! The commands, one in each file.

mod ask;
mod bench;
mod cert;
mod doctor;
mod echo;
mod help;
mod outbox;
mod peers;
mod ping;
mod publish;
mod relay;
mod replay;
mod send;
mod serve;
mod services;
mod subscribe;
mod top;

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
    /// Pass on what comes at one place to another.
    Relay(relay::Options),
    /// Send what a relay has recorded, in its own time.
    Replay(replay::Options),
    /// Measure: messages one way, round trips, fan-out; between two processes here, or with any peer.
    Bench(bench::Options),
    /// Connect again and again, and tell how long it takes to come in.
    Ping(ping::Options),
    /// Tell who comes and goes.
    Peers(peers::Options),
    /// Tell who offers a service, and how the instances fare.
    Services(services::Options),
    /// Look into running sockets: peers, queues, rates, handlers, restarts, and what is wrong.
    Top(top::Options),
    /// Look at each step on the way to a peer: name, addresses, TLS, WebSocket, HELLO; and at this machine.
    Doctor(doctor::Options),
    /// Make certificates for development: an authority, bind ends, connect ends.
    Cert(cert::Options),
    /// Look into the file of an outbox, and bring its dead letters back.
    Outbox(outbox::Options),
    /// Print a script that completes the command line in a shell.
    Completions(help::Completions),
    /// Print the manual page, or that of a command.
    Man(help::Manual),
    /// Print help for a command; `help patterns` is about who gets which message.
    Help(help::Help),
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
            Self::Relay(options) => options.run().await,
            Self::Replay(options) => options.run().await,
            Self::Bench(options) => options.run().await,
            Self::Ping(options) => options.run().await,
            Self::Peers(options) => options.run().await,
            Self::Services(options) => options.run().await,
            Self::Top(options) => options.run().await,
            Self::Doctor(options) => options.run().await,
            Self::Cert(options) => options.run().await,
            Self::Outbox(options) => options.run(),
            Self::Completions(options) => options.run(),
            Self::Man(options) => options.run(),
            Self::Help(options) => options.run(),
        }
    }
}
