//! A relay of two sockets: what senders say is published onward, and confirmed to each by name.

#[macro_use]
#[path = "support/say.rs"]
mod say;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

struct Relay {
    senders: WeakSocket,
    listeners: Socket,
}

impl Actor for Relay {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.senders.subscribe(ctx);
    }
}

impl Handler<Received> for Relay {
    /// The next message waits until this one is taken: the relay never overruns its listeners.
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Self::Result {
        let listeners = self.listeners.clone();
        Box::pin(async move {
            let confirmation = match listeners.send(message.payload().clone()).await {
                Ok(()) => format!("relayed {} bytes", message.len()),
                Err(error) => error.to_string(),
            };
            if let Err(error) = message.reply(confirmation) {
                eprintln!("{error}");
            }
        })
    }
}

/// A relay of two sockets: it publishes onward, and confirms to the sender by name.
#[derive(clap::Parser)]
struct Options;

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options = clap::Parser::parse();
    let inward = Socket::start()?;
    let outward = Socket::builder().send_mode(SendMode::Publish).start()?;
    let (sender, one, two) = (Socket::start()?, Socket::start()?, Socket::start()?);
    sender
        .connect(inward.bind("tcp://127.0.0.1:0").await?)
        .await?;
    let endpoint = outward.bind("tcp://127.0.0.1:0").await?;
    one.connect(endpoint.clone()).await?;
    two.connect(endpoint).await?;
    outward.wait_for_peers(2).await?;
    Relay {
        senders: inward.downgrade(),
        listeners: outward,
    }
    .start();

    for news in ["first", "second"] {
        sender.send(news).await?;
        println!("sender: {}", sender.recv().await?.text()?);
        println!("one: {}", one.recv().await?.text()?);
        println!("two: {}", two.recv().await?.text()?);
    }
    Ok(())
}
