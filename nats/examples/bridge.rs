//! A program that is a bridge: what its peers send goes into a stream of JetStream, and what is in another one goes to its peers.
//!
//! ```text
//! cargo run -p actix-aiomsg-nats --example bridge -- --out ORDERS/orders.new --in INVOICES/invoices.new/shop
//! ```

use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::{Dedupe, Drain};
use actix_aiomsg_nats::{Bridge, Inbound, Outbound, Stream};
use clap::Parser;

/// A bridge between an aiomsg socket and JetStream.
#[derive(Parser)]
struct Options {
    /// The NATS servers, with commas between them.
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// Where the socket listens.
    #[arg(long, default_value = "tcp://127.0.0.1:25000")]
    listen: String,
    /// The name that the identity of the socket is made of: by it receivers know what is sent again.
    #[arg(long, default_value = "bridge")]
    name: String,
    /// Where messages of peers go: STREAM/SUBJECT.
    #[arg(long)]
    out: Option<String>,
    /// Where messages for peers come from: STREAM/SUBJECT/CONSUMER.
    #[arg(long = "in")]
    input: Option<String>,
    /// On how many servers streams are kept.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Milliseconds that JetStream has to acknowledge a message before it is published again.
    #[arg(long, default_value_t = 5000)]
    ack_timeout: u64,
    /// Milliseconds after which JetStream sends a message again if the bridge is gone.
    #[arg(long, default_value_t = 10_000)]
    ack_wait: u64,
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    let socket = Socket::builder()
        .identity(Identity::from_name(&options.name))
        .dedupe(Dedupe::within(100_000, Duration::from_secs(600)))
        .start()?;
    let stream = |name: &str, subject: &str| {
        Stream::new(name)
            .subject(subject)
            .replicas(options.replicas)
    };
    let mut bridge = Bridge::new(&options.nats)
        .ack_timeout(Duration::from_millis(options.ack_timeout))
        .ack_wait(Duration::from_millis(options.ack_wait))
        .wait_for_server();
    if let Some(out) = &options.out {
        let (name, subject) = out.split_once('/').ok_or("--out wants STREAM/SUBJECT")?;
        bridge = bridge.outbound(Outbound::stream(stream(name, subject), subject));
    }
    if let Some(input) = &options.input {
        let parts: Vec<_> = input.split('/').collect();
        let [name, subject, consumer] = parts[..] else {
            return Err("--in wants STREAM/SUBJECT/CONSUMER".into());
        };
        bridge = bridge.inbound(Inbound::stream(stream(name, subject), consumer));
    }
    let bridge = bridge.start(&socket).await?;
    // Only now: whoever connects finds the bridge at work.
    println!(
        "listening on {}",
        socket.bind(options.listen.as_str()).await?
    );
    socket
        .run_until_signal(Drain::within(Duration::from_secs(10)))
        .await?;
    bridge.ended().await;
    let stats = bridge.stats();
    println!(
        "stored {}, of which {} were there already",
        stats.stored, stats.stored_before
    );
    println!("delivered {}", stats.delivered);
    Ok(())
}
