//! `aiomsg bench`: what comes through, and how long a round trip takes.

mod figures;
mod one_way;
mod receive;
mod round_trip;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command as Process, Stdio};
use std::time::Duration;

use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use clap::{Args, Subcommand};

use self::figures::Figures;
use crate::failure::Failure;
use crate::options::{self, Ends};
use crate::session::Session;
use crate::{Outcome, interrupt, output};

/// The time that peers get to read the rest, after what is measured.
const GOODBYE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Messages to one receiver, as fast as they are taken. Without a peer, to another process of this program, which measures.
    OneWay {
        #[command(flatten)]
        load: Load,
        /// Messages.
        #[arg(long, short = 'n', default_value = "1M", value_parser = options::some)]
        count: u64,
        /// At least once. A peer is measured until its last acknowledgement.
        #[arg(long)]
        ack: bool,
    },
    /// Messages that come back, and percentiles of the time. The peer sends everything back; without one, another process of this program does.
    RoundTrip {
        #[command(flatten)]
        load: Load,
        /// Round trips.
        #[arg(long, short = 'n', default_value = "20k", value_parser = options::some)]
        count: u64,
        /// Messages on their way at a time. The time of one of them is taken, and then that of the next one that is sent.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        outstanding: u32,
    },
    /// Messages that are published. Without a peer, to connections of another process of this program, which measures.
    FanOut {
        #[command(flatten)]
        load: Load,
        /// Messages; each goes to every subscriber.
        #[arg(long, short = 'n', default_value = "100k", value_parser = options::some)]
        count: u64,
        /// Subscribers: those to wait for, or to start without a peer.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        subscribers: u32,
    },
    #[command(hide = true)]
    Receive(receive::Options),
}

/// What all of them share.
#[derive(Debug, Args)]
struct Load {
    #[command(flatten)]
    ends: Ends,
    /// Bytes of each message.
    #[arg(long, default_value = "64", value_parser = options::bytes)]
    size: usize,
    /// A JSON object.
    #[arg(long)]
    json: bool,
    /// Give up when nobody comes, or nothing moves, for so long.
    #[arg(long, default_value = "10s", value_parser = options::duration)]
    timeout: Duration,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let (load, figures) = match self.what {
            What::Receive(options) => return options.run().await,
            What::OneWay { load, count, ack } => {
                let work = one_way::one_way(&load, count, ack);
                let figures = measured(work).await?;
                (load, figures)
            }
            What::RoundTrip {
                load,
                count,
                outstanding,
            } => {
                let work = round_trip::round_trip(&load, count, outstanding as usize);
                let figures = measured(work).await?;
                (load, figures)
            }
            What::FanOut {
                load,
                count,
                subscribers,
            } => {
                let work = one_way::fan_out(&load, count, subscribers as usize);
                let figures = measured(work).await?;
                (load, figures)
            }
        };
        output::print(figures.show(load.size, load.json))?;
        match figures.lost {
            0 => Ok(()),
            lost => Err(Failure::failed(format_args!(
                "{lost} messages did not arrive"
            ))),
        }
    }
}

async fn measured(work: impl Future<Output = Outcome<Figures>>) -> Outcome<Figures> {
    interrupt::unless_interrupted(work, || "nothing is measured".to_owned()).await
}

impl Load {
    /// Whether there is no peer but one that we start.
    fn is_alone(&self) -> bool {
        self.ends.bind.is_empty() && self.ends.connect.is_empty()
    }

    fn payload(&self) -> Bytes {
        vec![b'x'; self.size].into()
    }

    /// A socket at the ends of the command line, or at others in their place.
    fn session(&self, builder: SocketBuilder, connect: Option<String>) -> Outcome<Session> {
        let mut ends = self.ends.clone();
        if let Some(endpoint) = connect {
            ends.connect.push(endpoint);
            ends.quiet = true;
        }
        Session::start(&ends, builder, None)
    }

    fn nothing_moves(&self, came: u64, of: u64) -> Failure {
        Failure::timed_out(self.timeout, format_args!("{came} of {of} messages came"))
    }
}

/// Another process of this program, ended when this is dropped.
struct Other {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Other {
    /// It expects so many messages, or sends everything back if that is 0. It binds, or connects so many sockets there.
    fn start(messages: u64, connect: Option<(&Endpoint, usize)>) -> Outcome<Self> {
        let program = std::env::current_exe().map_err(Failure::failed)?;
        let mut process = Process::new(program);
        process
            .args(["bench", "receive", "--messages"])
            .arg(messages.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some((endpoint, sockets)) = connect {
            process.arg("--connect");
            process.args([endpoint.to_string(), sockets.to_string()]);
        }
        // Ctrl-C on a terminal is for us; this is ended by us.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let mut child = process.spawn().map_err(|error| {
            Failure::failed(format_args!("the other process cannot be started: {error}"))
        })?;
        let lines = child.stdout.take().map(BufReader::new);
        Ok(Self { child, lines })
    }

    /// The next line that it prints, read on another thread.
    async fn line(&mut self) -> Outcome<String> {
        let ended = || Failure::failed("the other process has ended");
        let mut lines = self.lines.take().ok_or_else(ended)?;
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let read = lines.read_line(&mut line);
            (lines, line, read)
        });
        let (lines, line, read) = reading.await.map_err(Failure::failed)?;
        self.lines = Some(lines);
        match read {
            Ok(1..) => Ok(line.trim_end().to_owned()),
            Ok(0) | Err(_) => Err(ended()),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `Socket::builder` that publishes, or not.
fn builder(mode: SendMode) -> SocketBuilder {
    Socket::builder().send_mode(mode)
}
