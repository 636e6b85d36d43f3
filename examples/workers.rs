//! A pool of workers on several arbiters: each job goes to the worker that is free.

#[macro_use]
#[path = "support/say.rs"]
mod say;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

const JOBS: usize = 400;

struct Worker {
    socket: WeakSocket,
    effort: Duration,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let pool = SubscribeOptions::default().group("workers");
        self.socket.subscribe_with::<String>(ctx, pool);
    }
}

impl Handler<Received<String>> for Worker {
    type Result = ();

    fn handle(&mut self, job: Received<String>, _: &mut Self::Context) {
        std::thread::sleep(self.effort);
        if let Err(error) = job.reply(format!("{} is done", *job)) {
            eprintln!("{error}");
        }
    }
}

/// A pool of workers on several arbiters, in which whoever is free gets the next job.
#[derive(clap::Parser)]
struct Options;

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options = clap::Parser::parse();
    let (pool, client) = (Socket::start()?, Socket::start()?);
    let arbiters: Vec<_> = (0..4).map(|_| Arbiter::new()).collect();
    for (number, arbiter) in (0..).zip(&arbiters) {
        let socket = pool.downgrade();
        let effort = Duration::from_micros(100 << (2 * number));
        supervise(move || Worker {
            socket: socket.clone(),
            effort,
        })
        .start_in_arbiter(&arbiter.handle());
    }
    client
        .connect(pool.bind("tcp://127.0.0.1:0").await?)
        .await?;
    for job in 0..JOBS {
        client.send_text(format!("job {job}")).await?;
    }
    for _ in 0..JOBS {
        client.recv().await?;
    }
    // A reply leaves before its handler has returned, on which a job counts.
    pool.drain(Duration::from_secs(5)).await?;
    for workers in pool.subscriptions() {
        let mut taken: Vec<_> = workers.subscribers.iter().map(|w| w.taken).collect();
        taken.sort_unstable();
        println!(
            "{} jobs done; by worker: {taken:?}",
            taken.iter().sum::<u64>()
        );
    }
    Ok(())
}
