//! Scaled job creators and workers: any number of each, every creator connected to every worker.

#[macro_use]
#[path = "support/say.rs"]
mod say;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use serde::{Deserialize, Serialize};

const CREATORS: usize = 3;
const WORKERS: usize = 4;
const JOBS: u64 = 50;

#[derive(Serialize, Deserialize)]
struct Job {
    number: u64,
}

#[derive(Serialize, Deserialize)]
struct Done {
    number: u64,
    square: u64,
}

payload!(Job = "job ", Done = "done ");

struct Worker(WeakSocket);

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe::<Job>(ctx);
    }
}

impl Handler<Received<Job>> for Worker {
    type Result = ();

    fn handle(&mut self, job: Received<Job>, _: &mut Self::Context) {
        let number = job.number;
        let square = number * number;
        if let Err(error) = job.reply(&Done { number, square }) {
            eprintln!("{error}");
        }
    }
}

/// Creators and workers, any number of each, all connected.
#[derive(clap::Parser)]
struct Options;

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options = clap::Parser::parse();
    let mut workers = Vec::new();
    let mut endpoints = Vec::new();
    for _ in 0..WORKERS {
        let socket = Socket::start()?;
        endpoints.push(socket.bind("tcp://127.0.0.1:0").await?);
        Worker(socket.downgrade()).start();
        workers.push(socket);
    }
    let mut sum = 0;
    for _ in 0..CREATORS {
        // A job that a worker takes with it when it dies is done by another.
        let creator = Socket::builder()
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .start()?;
        for endpoint in &endpoints {
            creator.connect(endpoint.clone()).await?;
        }
        creator.wait_for_peers(WORKERS).await?;
        for number in 0..JOBS {
            creator.send_typed(&Job { number }).await?;
        }
        for _ in 0..JOBS {
            let done: Done = creator.recv().await?.decode()?;
            assert_eq!(done.square, done.number * done.number);
            sum += done.square;
        }
    }
    for worker in &workers {
        println!("a worker did {} jobs", worker.stats().received);
    }
    println!("the sum is {sum}");
    Ok(())
}
