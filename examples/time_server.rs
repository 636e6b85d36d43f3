//! Tells the time to everyone who connects, once a second: the server of the classic pair.
//!
//! ```text
//! cargo run --example time_server
//! cargo run --example time_client      # in other terminals, as many as you like
//! ```
//!
//! Kill and restart either as you like: clients reconnect by themselves, and what the server says
//! while nobody listens waits for the next client.

#[macro_use]
#[path = "support/say.rs"]
mod say;
#[path = "support/clock.rs"]
mod clock;
#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "support/failure.rs"]
mod failure;
#[path = "support/signals.rs"]
mod signals;

use std::time::{Duration, SystemTime};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use clap::Parser;
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::Failure;
use crate::signals::StopSignals;

/// Tells the time to everyone who connects.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The port to listen on.
    #[arg(long, default_value_t = 25_000)]
    port: u16,
    /// Milliseconds between two messages.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    interval_ms: u64,
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    descriptors::raise_descriptor_limit();
    let mut signals = StopSignals::listen()?;

    let socket = Socket::builder().send_mode(SendMode::Publish).start()?;
    socket.peer_events(Visitors.start().recipient());
    let endpoint = socket.bind((options.host.as_str(), options.port)).await?;
    println!("Telling the time on {endpoint}; Ctrl-C ends it.");

    tokio::select! {
        told = tell_time(&socket, Duration::from_millis(options.interval_ms)) => told?,
        () = signals.received() => {}
    }
    let report = socket.close().await;
    println!(
        "Closed: {} messages sent, {} not.",
        report.sent, report.unsent
    );
    Ok(())
}

async fn tell_time(socket: &Socket, every: Duration) -> Result<(), actix_aiomsg::error::SendError> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        socket.send_text(clock::utc(SystemTime::now())).await?;
    }
}

/// Says who comes and goes.
struct Visitors;

impl Actor for Visitors {
    type Context = Context<Self>;
}

impl Handler<PeerEvent> for Visitors {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        match event {
            PeerEvent::Up { peer, address, .. } => {
                println!("{peer} came from {address}")
            }
            PeerEvent::Down { peer, reason, .. } => {
                println!("{peer} went: {reason}")
            }
            _ => {}
        }
    }
}
