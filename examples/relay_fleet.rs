//! Senders and workers that do not know each other, and three relays between them, of which one is killed.

#[macro_use]
#[path = "support/say.rs"]
mod say;
#[path = "support/signals.rs"]
mod signals;

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

const RELAYS: usize = 3;
const SENDERS: u64 = 3;

/// Three relays, each a process of its own, between senders and workers. One relay is killed on the way, a worker leaves, and
/// another one comes: every order is handled, a few of them twice.
#[derive(clap::Parser)]
struct Options {
    /// The orders that are sent in all.
    #[arg(long, default_value_t = 6_000)]
    orders: u64,
    /// Be one of the relays, for as long as the standard input is open.
    #[arg(long, hide = true)]
    relay: bool,
}

/// One relay: it says where it is, and passes on what comes.
async fn be_relay() -> Result<(), Box<dyn Error>> {
    let (front, back) = (Socket::start()?, Socket::start()?);
    let relay = Relay::new(&front, &back).start()?;
    let at_back = back.bind("tcp://127.0.0.1:0").await?;
    let at_front = front.bind("tcp://127.0.0.1:0").await?;
    println!("{at_front} {at_back}");
    std::thread::spawn(|| {
        // Whoever started it is gone.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let drain = Drain::within(Duration::from_secs(5));
    relay.run_until_signal(drain).await?;
    Ok(())
}

/// A relay that runs as a process.
struct RelayProcess {
    process: Child,
    front: String,
    back: String,
}

impl RelayProcess {
    fn start() -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--relay")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let told = process.stdout.take().ok_or("it has a standard output")?;
        BufReader::new(told).read_line(&mut line)?;
        let (front, back) = line.trim().split_once(' ').ok_or("it says where it is")?;
        Ok(Self {
            process,
            front: front.to_owned(),
            back: back.to_owned(),
        })
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How often each order was handled.
type Handled = Rc<RefCell<HashMap<String, u32>>>;

struct Worker {
    socket: WeakSocket,
    handled: Handled,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Worker {
    type Result = ();

    fn handle(&mut self, order: Received, _: &mut Self::Context) {
        let order = order.text().unwrap_or_default().to_owned();
        *self.handled.borrow_mut().entry(order).or_default() += 1;
    }
}

async fn start_worker(
    relays: &[RelayProcess],
    handled: &Handled,
) -> Result<Socket, Box<dyn Error>> {
    let socket = Socket::start()?;
    Worker {
        socket: socket.downgrade(),
        handled: Rc::clone(handled),
    }
    .start();
    for relay in relays {
        socket.connect(&relay.back).await?;
    }
    Ok(socket)
}

/// Sends orders, each until some worker has acknowledged it.
async fn start_sender(
    relays: &[RelayProcess],
    sender: u64,
    orders: u64,
) -> Result<(), Box<dyn Error>> {
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .start()?;
    for relay in relays {
        socket.connect(&relay.front).await?;
    }
    socket.wait_for_peers(relays.len()).await?;
    actix::spawn(async move {
        for order in 0..orders {
            if let Err(error) = socket.send(format!("{sender}-{order}")).await {
                eprintln!("{error}");
            }
        }
        socket.close_within(Duration::from_secs(60)).await;
    });
    Ok(())
}

async fn run(orders: u64) -> Result<(), Box<dyn Error>> {
    let mut relays = Vec::new();
    for _ in 0..RELAYS {
        relays.push(RelayProcess::start()?);
    }
    println!("{RELAYS} relays are up");
    let handled = Handled::default();
    let until = async |count: u64| {
        while (handled.borrow().len() as u64) < count {
            actix::clock::sleep(Duration::from_millis(2)).await;
        }
    };
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(start_worker(&relays, &handled).await?);
    }
    let of_each = orders / SENDERS;
    let orders = of_each * SENDERS;
    for sender in 0..SENDERS {
        start_sender(&relays, sender, of_each).await?;
    }
    until(orders / 3).await;
    relays[0].process.kill()?;
    println!("a relay was killed");
    until(orders / 2).await;
    workers.remove(0).close().await;
    workers.push(start_worker(&relays[1..], &handled).await?);
    println!("a worker has left, and another one has come");
    until(orders).await;
    let twice = handled
        .borrow()
        .values()
        .filter(|times| **times > 1)
        .count();
    println!("{orders} orders are handled, none is lost, {twice} were handled more than once");
    Ok(())
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options: Options = clap::Parser::parse();
    if options.relay {
        return be_relay().await;
    }
    let mut signals = signals::StopSignals::listen()?;
    tokio::select! {
        ended = run(options.orders) => ended,
        () = signals.received() => {
            eprintln!("stopped");
            Ok(())
        }
    }
}
