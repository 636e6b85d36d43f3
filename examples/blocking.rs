//! Work that blocks, beside the thread of the connections: peers are served and hear heartbeats meanwhile.

#[macro_use]
#[path = "support/say.rs"]
mod say;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;

/// Jobs that run at a time; the others wait, and so do their senders when the inbox is full.
const AT_A_TIME: usize = 2;

struct Cruncher {
    socket: WeakSocket,
    effort: Duration,
    on_the_thread: bool,
}

impl Actor for Cruncher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let jobs = SubscribeOptions::default().filter(Filter::topic("job "));
        self.socket
            .subscribe_with::<String>(ctx, jobs.max_in_flight(AT_A_TIME));
    }
}

impl Handler<Received<String>> for Cruncher {
    type Result = Handled;

    fn handle(&mut self, job: Received<String>, _: &mut Self::Context) -> Handled {
        let effort = self.effort;
        if self.on_the_thread {
            std::thread::sleep(effort);
            return job.reply("done").into();
        }
        // The recipe: the future gives the work to a thread that may block, and waits for it.
        Handled::future(async move {
            tokio::task::spawn_blocking(move || std::thread::sleep(effort)).await?;
            job.reply("done")?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })
    }
}

/// Lives in the same thread, and answers at once if it can.
struct Echo(WeakSocket);

impl Actor for Echo {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.serve::<String>(ctx);
    }
}

impl Handler<Ask<String>> for Echo {
    type Result = Answer<String>;

    fn handle(&mut self, ask: Ask<String>, _: &mut Self::Context) -> Answer<String> {
        Ok(ask.into_request())
    }
}

/// Work that blocks, beside the thread of the connections.
#[derive(clap::Parser)]
struct Options {
    /// How many jobs there are.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// How long each of them takes.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,
    /// Do the work in the handler itself, to see what that costs: nobody is answered meanwhile, and above
    /// 5 s the log warns.
    #[arg(long)]
    on_the_thread: bool,
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options: Options = clap::Parser::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let effort = Duration::from_millis(options.millis);
    let on_the_thread = options.on_the_thread;

    // The server has a thread of its own, as in a program of its own.
    let arbiter = Arbiter::new();
    let (bound, endpoint) = tokio::sync::oneshot::channel();
    arbiter.spawn(async move {
        let Ok(server) = Socket::start() else { return };
        let socket = server.downgrade();
        let echo = Echo(socket.clone()).start();
        let cruncher = Cruncher {
            socket,
            effort,
            on_the_thread,
        }
        .start();
        if let Ok(endpoint) = server.bind("tcp://127.0.0.1:0").await {
            // They live as long as the socket.
            let _ = bound.send((endpoint, server, echo, cruncher));
        }
    });
    let (endpoint, _server, _echo, _cruncher) = endpoint.await?;
    let client = Socket::start()?;
    client.connect(endpoint).await?;
    let start = Instant::now();
    for number in 0..options.jobs {
        client.send(format!("job {number}")).await?;
    }
    let (mut done, mut longest) = (0, Duration::ZERO);
    while done < options.jobs {
        let asked = Instant::now();
        let question = "are you there?".to_owned();
        let asking = client.ask(Whom::Any, &question).timeout(effort * 60);
        asking.await?;
        longest = longest.max(asked.elapsed());
        if let Ok(answer) = tokio::time::timeout(effort / 50, client.recv()).await {
            drop(answer?);
            done += 1;
        }
    }
    println!(
        "{done} jobs took {:.1?}; whoever asked meanwhile waited for {longest:.1?} at most",
        start.elapsed()
    );
    Ok(())
}
