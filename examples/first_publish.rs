//! The first program that publishes: every subscriber gets each message.
//!
//! ```text
//! cargo run --example first_publish
//! ```

#[path = "support/no_options.rs"]
mod no_options;

use actix_aiomsg::prelude::*;

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    no_options::expect("The smallest publisher, and two subscribers.");
    let news = Socket::builder().send_mode(SendMode::Publish).start()?;
    let endpoint = news.bind("tcp://127.0.0.1:0").await?;
    let (ada, bob) = (Socket::builder().start()?, Socket::builder().start()?);
    ada.connect(endpoint.clone()).await?;
    bob.connect(endpoint).await?;
    news.wait_for_peers(2).await?; // whoever comes later does not get what was published before
    news.send("to all").await?;
    news.send_to(ada.identity(), "to Ada").await?; // to one peer, whatever the send mode
    println!("Ada: {}", ada.recv().await?.text()?);
    println!("Ada: {}", ada.recv().await?.text()?);
    println!("Bob: {}", bob.recv().await?.text()?);
    Ok(())
}
