//! A chat: `chat serve [PORT]` relays what anybody says to all; `chat NAME ENDPOINT` talks.

use actix_aiomsg::prelude::*;
use tokio::io::{AsyncBufReadExt, BufReader};

type Failure = Box<dyn std::error::Error>;

#[actix::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    match &words[..] {
        [serve] if serve == "serve" => room("0").await,
        [serve, port] if serve == "serve" => room(port).await,
        [name, endpoint] => talk(name, endpoint).await,
        _ => Err("say `serve [PORT]`, or `NAME ENDPOINT`".into()),
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
