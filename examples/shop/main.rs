//! A shop of named services: orders, inventory and payments as processes of their own, and a web server in front.
//!
//! ```text
//! cargo run --features actix-web --example shop
//! ```
//!
//! It starts all of them, has customers buy, and replaces one of the services while they do. README.md shows the output, and
//! how to start each process by itself.

#[macro_use]
#[path = "../support/say.rs"]
mod say;
mod children;
mod customers;
#[path = "../support/failure.rs"]
mod failure;
mod front;
mod http;
mod inventory;
#[path = "../support/log.rs"]
mod log;
mod messages;
mod orders;
mod payments;
#[path = "../support/signals.rs"]
mod signals;

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::children::Service;
use crate::customers::{Customers, Seen};
use crate::failure::Failure;
use crate::inventory::Inventory;
use crate::log::log_from;
use crate::orders::Orders;
use crate::payments::Payments;
use crate::signals::StopSignals;

/// A shop of named services, each a process of its own, of which one is replaced while customers buy.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How many purchases to make at least.
    #[arg(long, default_value_t = 6_000)]
    purchases: usize,
    /// How many customers buy at a time.
    #[arg(long, default_value_t = 12)]
    customers: usize,
    #[command(subcommand)]
    role: Option<Role>,
}

/// One process of the shop.
#[derive(Debug, Subcommand)]
enum Role {
    /// Knows what is on the shelf.
    Inventory(Place),
    /// Knows what each customer has spent.
    Payments(Place),
    /// Takes orders; asks the services at these endpoints.
    Orders {
        #[command(flatten)]
        place: Place,
        /// Where inventory and payments are.
        #[arg(required = true)]
        endpoints: Vec<String>,
    },
    /// The web server, which asks orders at these endpoints.
    Front {
        /// The port to serve on, a free one if you do not say.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Where orders are.
        #[arg(required = true)]
        endpoints: Vec<String>,
    },
}

/// One instance of a service.
#[derive(Debug, Args)]
struct Place {
    /// Its name, by which its keys are placed.
    #[arg(long)]
    instance: String,
    /// The port to serve on, a free one if you do not say.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    log_from(LevelFilter::WARN);
    match options.role {
        None => {
            let mut signals = StopSignals::listen()?;
            tokio::select! {
                done = run(options.purchases, options.customers) => done,
                () = signals.received() => {
                    eprintln!("stopped");
                    Ok(())
                }
            }
        }
        Some(Role::Inventory(place)) => {
            let socket = Socket::start()?;
            let inventory = Inventory {
                socket: socket.downgrade(),
                instance: place.instance,
                taken: [].into(),
            };
            inventory.start();
            stay(&socket, place.port).await
        }
        Some(Role::Payments(place)) => {
            let socket = Socket::start()?;
            let payments = Payments {
                socket: socket.downgrade(),
                instance: place.instance,
                spent: [].into(),
            };
            payments.start();
            stay(&socket, place.port).await
        }
        Some(Role::Orders { place, endpoints }) => {
            let socket = Socket::start()?;
            for endpoint in endpoints {
                socket.connect(&endpoint[..]).await?;
            }
            let (inventory, payments) = (socket.service("inventory"), socket.service("payments"));
            let orders = Orders {
                socket: socket.downgrade(),
                instance: place.instance,
                inventory,
                payments,
            };
            orders.start();
            stay(&socket, place.port).await
        }
        Some(Role::Front { port, endpoints }) => {
            let socket = Socket::start()?;
            for endpoint in &endpoints {
                socket.connect(&endpoint[..]).await?;
            }
            let orders = socket.service("orders");
            let all = orders.wait_for(endpoints.len());
            match tokio::time::timeout(Duration::from_secs(2), all).await {
                Ok(there) => there?,
                Err(_) => {
                    eprintln!("front: not all of orders are there yet; customers wait for them")
                }
            }
            let (address, server) = front::serve(orders, port)?;
            let handle = server.handle();
            let serving = actix_web::rt::spawn(server);
            println!("{address}");
            let drain = Drain::within(Duration::from_secs(5));
            socket.run_until_signal(drain).await?;
            handle.stop(true).await;
            Ok(serving.await??)
        }
    }
}

/// Says where a service is, and runs it until it is told to stop; then it finishes what it has accepted.
async fn stay(socket: &Socket, port: u16) -> Result<(), Failure> {
    println!("{}", socket.bind(("127.0.0.1", port)).await?);
    let drain = Drain::within(Duration::from_secs(5));
    socket.run_until_signal(drain).await?;
    Ok(())
}

/// The whole shop, in which `orders-0` is replaced.
async fn run(purchases: usize, customers: usize) -> Result<(), Failure> {
    let start = |name: &str, options: &[&str]| {
        let service = Service::start(options)?;
        println!("{name} is at {}", service.endpoint);
        Ok::<_, Failure>(service)
    };
    let inventory = start("inventory", &["inventory", "--instance", "inventory-0"])?;
    let payments = start("payments", &["payments", "--instance", "payments-0"])?;
    let needs = [&inventory.endpoint[..], &payments.endpoint[..]];
    let orders = |instance: &str, port: &str| {
        let [inventory, payments] = needs;
        let place = ["orders", "--instance", instance, "--port", port];
        start(instance, &[&place[..], &[inventory, payments]].concat())
    };
    let mut first = orders("orders-0", "0")?;
    let second = orders("orders-1", "0")?;
    let front = start("the front", &["front", &first.endpoint, &second.endpoint])?;

    let buying = Customers::come(customers, &front.endpoint);
    buying.have_bought(purchases / 3).await;
    println!("{customers} customers buy; orders-0 is told to stop");
    let port = first.endpoint.rsplit(':').next().unwrap_or("0").to_owned();
    let status = first.stop()?;
    println!("orders-0 has ended: {status}");
    let while_gone = buying.bought() + purchases / 3;
    buying.have_bought(while_gone).await;
    let _replacement = orders("orders-0", &port)?;
    buying.come_back_to("orders-0").await?;
    let before = buying.bought() + purchases / 3;
    buying.have_bought(before).await;
    tell(&buying.go_home()?);
    Ok(())
}

fn tell(seen: &Seen) {
    println!("bought    {}", seen.bought);
    println!("failed    {}", seen.failed.len());
    for failure in seen.failed.iter().take(5) {
        println!("          {failure}");
    }
    for (instance, purchases) in &seen.by {
        println!("{instance}  {purchases}");
    }
    println!("longest   {} ms", seen.longest.as_millis());
    let mut ways = BTreeMap::new();
    for way in seen.ways.values() {
        *ways.entry(way.join(", ")).or_insert(0) += 1;
    }
    for (way, customers) in ways {
        println!("{customers} customers came to {way}");
    }
}
