//! A service that panics on every tenth message and loses none, and its clients, in one program.
//!
//! ```text
//! cargo run --example supervised
//! ```
//!
//! The clients send at least once: a message is acknowledged when it is handled, and one that was in hand at a
//! panic is delivered again, to the restarted handler. It ends by itself; Ctrl-C ends it sooner.

#[macro_use]
#[path = "support/say.rs"]
mod say;

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

#[path = "support/signals.rs"]
mod signals;

const CLIENTS: usize = 3;
const MESSAGES_PER_CLIENT: usize = 100;
const MESSAGES: usize = CLIENTS * MESSAGES_PER_CLIENT;
const PANICS: usize = MESSAGES / 10;

/// What all incarnations of the service have seen; it is the only thing that outlives them.
#[derive(Default)]
struct Ledger {
    deliveries: usize,
    handled: HashMap<String, usize>,
}

struct Service {
    socket: WeakSocket,
    ledger: Arc<Mutex<Ledger>>,
}

impl Actor for Service {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Service {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        let text = message.text().unwrap_or_default().to_owned();
        let first_time = {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.deliveries += 1;
            let first_time = !ledger.handled.contains_key(&text);
            let times = ledger.handled.entry(text.clone()).or_default();
            if !(first_time && text.ends_with('0')) {
                *times += 1;
            }
            first_time
        };
        assert!(
            !(first_time && text.ends_with('0')),
            "{text} is a tenth message"
        );
        if let Err(error) = message.reply(text) {
            eprintln!("no reply: {error}");
        }
    }
}

/// Prints what its supervisor does about the service.
struct Reporter;

impl Actor for Reporter {
    type Context = Context<Self>;
}

impl Handler<RestartEvent> for Reporter {
    type Result = ();

    fn handle(&mut self, event: RestartEvent, _: &mut Self::Context) {
        match event {
            RestartEvent::Panicked(panic) => println!("panicked   {}", panic.message()),
            RestartEvent::Restarted { child, restarts } => {
                println!("restarted  {child}, {restarts} times")
            }
            _ => {}
        }
    }
}

/// Sends its messages and waits until each is answered. Yields the number of answers.
async fn client(number: usize, server: Endpoint) -> Result<usize, Box<dyn Error>> {
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .start()?;
    socket.connect(server).await?;
    for n in 0..MESSAGES_PER_CLIENT {
        socket.send(format!("{number}-{n}")).await?;
    }
    let mut answers = 0;
    while answers < MESSAGES_PER_CLIENT {
        match socket.recv().await {
            Ok(_) => answers += 1,
            Err(Closed) => break,
        }
    }
    socket.close().await;
    Ok(answers)
}

async fn clients(server: &Endpoint) -> Result<usize, Box<dyn Error>> {
    let running: Vec<_> = (0..CLIENTS)
        .map(|number| actix::spawn(client(number, server.clone())))
        .collect();
    let mut answers = 0;
    for client in running {
        answers += client.await??;
    }
    Ok(answers)
}

async fn run() -> Result<bool, Box<dyn Error>> {
    let mut stop = signals::StopSignals::listen()?;
    // The panics are reported by the supervisor; a backtrace of each would bury that.
    std::panic::set_hook(Box::new(|_| {}));
    let server = Socket::builder().start()?;
    let endpoint = server.bind("tcp://127.0.0.1:0").await?;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let (socket, shared) = (server.downgrade(), Arc::clone(&ledger));
    let service = supervise(move || Service {
        socket: socket.clone(),
        ledger: Arc::clone(&shared),
    })
    .backoff(Backoff::fixed(Duration::from_millis(20)))
    .intensity(100, Duration::from_secs(10))
    .events(Reporter.start().recipient())
    .spawn();
    let answers = tokio::select! {
        answers = clients(&endpoint) => answers?,
        () = stop.received() => {
            println!("stopped; draining");
            server.close_within(Duration::from_secs(3)).await;
            return Ok(true);
        }
    };
    let restarts = service.inspect().restarts;
    let report = server.close().await;
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let once = ledger.handled.values().filter(|times| **times == 1).count();
    println!();
    println!("sent       {MESSAGES}");
    println!(
        "delivered  {}, of which {PANICS} ended in a panic",
        ledger.deliveries
    );
    println!("handled    {once} of {MESSAGES}, each once");
    println!("answered   {answers} of {MESSAGES}");
    println!("restarts   {restarts} of {PANICS}");
    println!("lost       {}", MESSAGES - once + report.unsent);
    Ok(once == MESSAGES
        && answers == MESSAGES
        && restarts == PANICS as u64
        && ledger.deliveries == MESSAGES + PANICS)
}

/// A service that panics on every tenth message and loses none, and its clients. It ends by itself.
#[derive(clap::Parser)]
struct Options;

#[actix::main]
async fn main() -> ExitCode {
    let Options = clap::Parser::parse();
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("the counts do not add up");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
