//! The first program, actor style: an actor subscribes to a socket and answers what it receives.
//!
//! ```text
//! cargo run --example first_actor
//! ```

#[path = "support/no_options.rs"]
mod no_options;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

struct Shout(WeakSocket);

impl Actor for Shout {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Shout {
    type Result = ();
    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        let answer = message.text().unwrap_or("what?").to_uppercase();
        if let Err(error) = message.reply(answer) {
            eprintln!("{error}");
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    no_options::expect("The smallest actor that handles messages and replies.");
    let (server, client) = (Socket::builder().start()?, Socket::builder().start()?);
    let _shout = Shout(server.downgrade()).start();
    let endpoint = server.bind("tcp://127.0.0.1:0").await?;
    client.connect(endpoint).await?;
    client.send("hello").await?;
    println!("{}", client.recv().await?.text()?);
    Ok(())
}
