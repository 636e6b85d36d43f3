//! The first program, handle style: one socket binds, one connects, and a message goes across.
//!
//! ```text
//! cargo run --example first
//! ```

#[path = "support/no_options.rs"]
mod no_options;

use actix_aiomsg::prelude::*;

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    no_options::expect("The smallest program: two sockets, one message.");
    let (server, client) = (Socket::builder().start()?, Socket::builder().start()?);
    let endpoint = server.bind("tcp://127.0.0.1:0").await?;
    client.connect(endpoint).await?;
    client.send("hello").await?; // queued; it goes out when the peer is there
    println!("{}", server.recv().await?.text()?);
    Ok(())
}
