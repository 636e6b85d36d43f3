//! The first program, supervised: an actor that panics now and then loses neither its address nor its messages.
//!
//! ```text
//! cargo run --example first_supervised
//! ```

#[path = "support/no_options.rs"]
mod no_options;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

struct Jobs(WeakSocket);

impl Actor for Jobs {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx); // again after every restart
    }
}

impl Handler<Received> for Jobs {
    type Result = ();
    fn handle(&mut self, job: Received, _: &mut Self::Context) {
        assert_ne!(job.text(), Ok("bad"), "a bad job");
        if let Err(error) = job.reply("done") {
            eprintln!("{error}");
        }
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    no_options::expect("The smallest supervised actor behind a socket; it runs until Ctrl-C.");
    let socket = Socket::builder().start()?;
    println!("{}", socket.bind("tcp://127.0.0.1:0").await?);
    let jobs = socket.downgrade();
    supervise(move || Jobs(jobs.clone()))
        .intensity(5, Duration::from_secs(10))
        .start();
    let report = socket
        .run_until_signal(Drain::within(Duration::from_secs(10)))
        .await?;
    eprintln!("{report:?}");
    Ok(())
}
