//! Prints what the time server tells: the client of the classic pair.
//!
//! ```text
//! cargo run --example time_client      # before or after the server, it does not matter
//! ```

#[macro_use]
#[path = "support/say.rs"]
mod say;
#[path = "support/absence.rs"]
mod absence;
#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "support/failure.rs"]
mod failure;
#[path = "support/signals.rs"]
mod signals;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use clap::Parser;
use tokio::sync::watch;

use crate::failure::Failure;
use crate::signals::StopSignals;

/// Prints what the time server tells.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The server's host.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The server's port.
    #[arg(long, default_value_t = 25_000)]
    port: u16,
    /// How many messages to print before it ends [default: no end].
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    descriptors::raise_descriptor_limit();
    let mut signals = StopSignals::listen()?;

    let socket = Socket::builder().start()?;
    let (heard, mut total) = watch::channel(0);
    let listener = Listener {
        socket: socket.downgrade(),
        heard,
    };
    let listener = listener.start();
    socket.peer_events(listener.recipient());
    absence::tell(&socket);
    socket
        .connect((options.host.as_str(), options.port))
        .await?;
    println!("Listening for the time; Ctrl-C ends it.");

    let enough = |total: &u64| options.count.is_some_and(|count| *total >= count);
    tokio::select! {
        _ = total.wait_for(enough) => {}
        () = signals.received() => {}
    }
    socket.close().await;
    println!("Closed after {} messages.", *total.borrow());
    Ok(())
}

/// The actor that hears the time.
struct Listener {
    socket: WeakSocket,
    heard: watch::Sender<u64>,
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Listener {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        println!("{}", message.text().unwrap_or("(not a text)"));
        self.heard.send_modify(|total| *total += 1);
    }
}

impl Handler<PeerEvent> for Listener {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        match event {
            PeerEvent::Up { address, .. } => {
                println!("(the server is at {address})")
            }
            PeerEvent::Down { reason, .. } => println!("({reason}; reconnecting)"),
            _ => {}
        }
    }
}
