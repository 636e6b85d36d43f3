//! The conformance agent: one end of an aiomsg conversation, driven by options.
//!
//! Cross-language test runners start it beside the agents of the other implementations:
//!
//! ```text
//! cargo run --example conformance_agent -- --role bind --port 25000 --behavior sink --count 3
//! cargo run --example conformance_agent -- --role connect --port 25000 --behavior source --count 3
//! ```
//!
//! Payloads go to standard output, everything else to standard error. The agent exits 0 when its
//! behaviour is complete and what it sent is flushed, or on SIGTERM; anything else is not 0.

mod events;
mod options;
mod printer;
mod source;
mod tls;
mod unsupported;
mod worker;

#[path = "../support/descriptors.rs"]
mod descriptors;
#[path = "../support/signals.rs"]
mod signals;

use std::cell::Cell;
use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use clap::Parser;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::events::{Events, Reporter};
use crate::options::{Behavior, Options, Role};
use crate::printer::Printer;
use crate::signals::StopSignals;
use crate::worker::{End, Progress, Step, TakeNoMore, Worker};

/// How long a socket may flush after SIGTERM; closing in order may take two seconds more.
const FLUSH_AFTER_SIGNAL: Duration = Duration::from_secs(8);
/// When the process ends after SIGTERM, come what may.
const END_AFTER_SIGNAL: Duration = Duration::from_millis(11_500);
/// How long a line in hand or a last report may take after SIGTERM.
const LAST_LINE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match unsupported::reason(&options) {
        Some(reason) => Err(reason.to_owned()),
        None => System::new().block_on(run(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            // Nobody may be left to read it.
            let _ = writeln!(io::stderr(), "conformance_agent: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// What the agent does with messages, once it is set up.
enum Behaving {
    Source {
        accepted: Cell<u64>,
    },
    Worker {
        address: Addr<Worker>,
        progress: watch::Receiver<Progress>,
    },
}

async fn run(options: &Options) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let mut signals = StopSignals::listen().map_err(failed)?;
    let stderr = Printer::start(io::stderr()).map_err(failed)?;
    log_to(stderr.clone());
    descriptors::raise_descriptor_limit();

    let events = Events::new(stderr, options.events);
    let socket = start_socket(options, &events)?;
    let behaving = Behaving::start(options, &socket).map_err(failed)?;
    open(options, &socket, &events).await?;

    tokio::select! {
        complete = behaving.complete(options, &socket, &events) => complete?,
        () = signals.received() => {
            end_after(END_AFTER_SIGNAL);
            behaving.stop(&events).await;
            if let Err(lost) = check(&socket.close_within(FLUSH_AFTER_SIGNAL).await) {
                events.say(&lost).await;
            }
            return Ok(());
        }
    }
    check(&socket.close().await)
}

/// Whether everything has arrived as far as a sender can know.
fn check(report: &CloseReport) -> Result<(), String> {
    if report.unsent == 0 && report.unacknowledged == 0 {
        return Ok(());
    }
    Err(format!(
        "{} messages were not sent and {} not acknowledged",
        report.unsent, report.unacknowledged
    ))
}

fn start_socket(options: &Options, events: &Events) -> Result<Socket, String> {
    let mut builder = Socket::builder().send_mode(options.send_mode.into());
    if options.behavior != Behavior::Sink {
        builder = builder.delivery_guarantee(options.delivery.into());
    }
    if let Some(identity) = options.identity {
        builder = builder.identity(identity);
    }
    if let Some(interval) = options.heartbeat_interval {
        builder = builder.heartbeat_interval(interval);
    }
    if let Some(timeout) = options.heartbeat_timeout {
        builder = builder.heartbeat_timeout(timeout);
    }
    if let Some(timeout) = options.resend_timeout {
        builder = builder.resend_timeout(timeout);
    }
    if let Some(timeout) = options.handshake_timeout {
        builder = builder.handshake_timeout(timeout);
    }
    #[cfg(feature = "outbox")]
    if let Some(path) = &options.outbox {
        builder = builder.outbox(path);
    }
    if let Some(bytes) = options.max_frame {
        builder = builder.max_frame_bytes(bytes);
    }
    if let Some(connections) = options.max_connections {
        builder = builder.max_connections(connections.get());
    }
    if events.enabled() {
        let reporter = Reporter::new(events.clone()).start();
        builder = builder
            .on_peer_event(reporter.clone().recipient())
            .on_socket_event(reporter.recipient());
    }
    builder
        .start()
        .map_err(|error| format!("the socket cannot start: {error}"))
}

async fn open(options: &Options, socket: &Socket, events: &Events) -> Result<(), String> {
    let address = options.endpoint()?;
    match options.role {
        Role::Bind => {
            let endpoint = socket
                .bind_with(address, tls::bind_options(options)?)
                .await
                .map_err(|error| error.to_string())?;
            events.listening(&endpoint).await;
        }
        Role::Connect => socket
            .connect_with(address, tls::connect_options(options)?)
            .await
            .map_err(|error| format!("cannot connect: {error}"))?,
    }
    Ok(())
}

impl Behaving {
    fn start(options: &Options, socket: &Socket) -> io::Result<Self> {
        let step = match options.behavior {
            Behavior::Source => {
                return Ok(Self::Source {
                    accepted: Cell::new(0),
                });
            }
            Behavior::Sink => Step::Print {
                printer: Printer::start(io::stdout())?,
                delay: options.recv_delay,
            },
            Behavior::Echo => Step::SendBack,
            Behavior::Relay => Step::SendOn,
        };
        let (worker, progress) = Worker::new(socket.downgrade(), step, options.count);
        Ok(Self::Worker {
            address: worker.start(),
            progress,
        })
    }

    /// Does what was asked for, to the end: whatever sends also flushes and lingers.
    async fn complete(
        &self,
        options: &Options,
        socket: &Socket,
        events: &Events,
    ) -> Result<(), String> {
        match self {
            Self::Source { accepted } => source::run(socket, options, events, accepted).await?,
            Self::Worker { progress, .. } => worker::idle(progress.clone()).await?,
        }
        if options.behavior == Behavior::Sink {
            return Ok(());
        }
        delivered(socket).await?;
        sleep(options.linger).await;
        Ok(())
    }

    /// Takes no further message and lets go of what is not yet accepted.
    async fn stop(&self, events: &Events) {
        match self {
            Self::Source { accepted } => {
                // Standard error may be a pipe that nobody reads.
                let _ = timeout(LAST_LINE, events.accepted(accepted.get())).await;
            }
            Self::Worker { address, progress } => {
                address.do_send(TakeNoMore);
                // A step that takes longer has not been done, so it is not acknowledged either.
                let _ = timeout(LAST_LINE, worker::idle(progress.clone())).await;
                address.do_send(End);
            }
        }
    }
}

/// Waits, however long it takes, until everything is handed to the kernel, and acknowledged where
/// that was asked for.
async fn delivered(socket: &Socket) -> Result<(), String> {
    loop {
        socket
            .flush()
            .await
            .map_err(|error| format!("the socket closed before all was sent: {error}"))?;
        if socket.stats().unacknowledged == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// Ends the process after a while even if the arbiter stands still.
fn end_after(patience: Duration) {
    thread::spawn(move || {
        thread::sleep(patience);
        process::exit(0);
    });
}

/// Sends warnings to standard error without ever waiting for it; `RUST_LOG` chooses what else.
fn log_to(stderr: Printer) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(move || stderr.clone())
        .init();
}
