//! A chat: `chat serve [PORT]` relays what anybody says to all; `chat NAME ENDPOINT` talks.

#[macro_use]
#[path = "support/say.rs"]
mod say;
#[path = "support/failure.rs"]
mod failure;
#[path = "support/signals.rs"]
mod signals;

use actix_aiomsg::prelude::*;
use clap::Parser;
use failure::Failure;
use signals::StopSignals;
use tokio::io::{AsyncBufReadExt, BufReader};

/// A chat: what anybody says, all hear.
#[derive(Parser)]
struct Options {
    /// `serve`, to relay what anybody says to all; or your name.
    who: String,
    /// The port to serve on, a free one if you do not say; or the endpoint to talk to.
    port_or_endpoint: Option<String>,
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let Options {
        who,
        port_or_endpoint,
    } = Options::parse();
    let mut signals = StopSignals::listen()?;
    tokio::select! {
        ended = chat(&who, port_or_endpoint.as_deref()) => ended,
        () = signals.received() => Ok(()),
    }
}

async fn chat(who: &str, place: Option<&str>) -> Result<(), Failure> {
    match (who, place) {
        ("serve", port) => room(port.unwrap_or("0")).await,
        (name, Some(endpoint)) => talk(name, endpoint).await,
        (_, None) => Err("which endpoint? `chat serve` says where it is".into()),
    }
}

async fn room(port: &str) -> Result<(), Failure> {
    let room = Socket::builder().send_mode(SendMode::Publish).start()?;
    println!("{}", room.bind(format!("tcp://127.0.0.1:{port}")).await?);
    while let Ok(said) = room.recv().await {
        room.send(said.into_payload()).await?;
    }
    Ok(())
}

async fn talk(name: &str, endpoint: &str) -> Result<(), Failure> {
    let me = Socket::start()?;
    me.connect(endpoint).await?;
    let mut typed = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = typed.next_line() => match line? {
                Some(line) => me.send_text(format!("{name}: {line}")).await?,
                None => break,
            },
            said = me.recv() => println!("{}", said?.text()?),
        }
    }
    me.close().await;
    Ok(())
}
