//! A chat: `chat serve [PORT]` relays what anybody says to all; `chat NAME ENDPOINT` talks.

#[macro_use]
#[path = "support/say.rs"]
mod say;
#[path = "support/absence.rs"]
mod absence;
#[path = "support/failure.rs"]
mod failure;
#[path = "support/signals.rs"]
mod signals;

use std::{io, thread};

use actix_aiomsg::prelude::*;
use clap::Parser;
use failure::Failure;
use signals::StopSignals;
use tokio::sync::mpsc;

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
        () = signals.received() => {
            eprintln!("stopped");
            Ok(())
        }
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
    let endpoint = room.bind(format!("tcp://127.0.0.1:{port}")).await?;
    println!("{endpoint}");
    eprintln!("To join, in another terminal: cargo run --example chat -- NAME {endpoint}");
    while let Ok(said) = room.recv().await {
        room.send(said.into_payload()).await?;
    }
    Ok(())
}

async fn talk(name: &str, endpoint: &str) -> Result<(), Failure> {
    let me = Socket::start()?;
    absence::tell(&me);
    me.connect(endpoint).await?;
    let mut typed = typed();
    loop {
        tokio::select! {
            line = typed.recv() => match line.transpose()? {
                Some(line) => me.send_text(format!("{name}: {line}")).await?,
                None => break,
            },
            said = me.recv() => println!("{}", said?.text()?),
        }
    }
    me.close().await;
    Ok(())
}

/// What is typed. A thread of its own waits for it: it is not waited for when the program ends.
fn typed() -> mpsc::UnboundedReceiver<io::Result<String>> {
    let (typed, lines) = mpsc::unbounded_channel();
    thread::spawn(move || io::stdin().lines().try_for_each(|line| typed.send(line)));
    lines
}
