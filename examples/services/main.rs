//! Two services, typed, as two programs: `services inventory` says where it is, and `services orders ENDPOINT` asks it.
//! `services inventory --ask` asks back, once, for the Python peer of `ask_peer.py`.

#[macro_use]
#[path = "../support/say.rs"]
mod say;
#[path = "../support/absence.rs"]
mod absence;
#[path = "../support/failure.rs"]
mod failure;
#[path = "../support/signals.rs"]
mod signals;

mod inventory;
mod messages;
mod orders;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use clap::Parser;
use failure::Failure;
use inventory::Inventory;
use messages::{InStock, Order, Outcome};
use orders::Orders;
use signals::StopSignals;

/// Two services, orders and inventory, each a program of its own: one asks the other.
#[derive(Parser)]
enum Options {
    /// Knows what is in stock; runs until Ctrl-C.
    Inventory {
        /// The port to serve on, a free one if you do not say.
        #[arg(default_value_t = 0)]
        port: u16,
        /// Asks the first who comes what it has in stock, and ends with its answer.
        #[arg(long)]
        ask: bool,
    },
    /// Takes three orders, for which it asks the inventory.
    Orders {
        /// Where the inventory is.
        inventory: String,
    },
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let mut signals = StopSignals::listen()?;
    let work = async {
        match options {
            Options::Inventory { port, ask } => keep_inventory(port, ask).await,
            Options::Orders { inventory } => take_orders(&inventory).await,
        }
    };
    tokio::select! {
        done = work => done,
        () = signals.received() => {
            eprintln!("stopped");
            Ok(())
        }
    }
}

async fn keep_inventory(port: u16, ask: bool) -> Result<(), Failure> {
    let stock = Socket::start()?;
    let endpoint = stock.bind(("127.0.0.1", port)).await?;
    let _inventory = Inventory {
        socket: stock.downgrade(),
        stock: [("tea".to_owned(), 5)].into(),
    }
    .start();
    println!("{endpoint}");
    eprintln!("In another terminal: cargo run --example services -- orders {endpoint}");
    if !ask {
        return std::future::pending().await;
    }
    stock.wait_for_peers(1).await?;
    let item = "tea".to_owned();
    println!("{:?}", stock.ask(Whom::Any, &InStock { item }).await?);
    stock.close().await;
    Ok(())
}

async fn take_orders(endpoint: &str) -> Result<(), Failure> {
    let (desk, inventory) = (Socket::start()?, Socket::start()?);
    absence::tell(&inventory);
    inventory.connect(endpoint).await?;
    inventory.wait_for_peers(1).await?;
    let _orders = Orders {
        customers: desk.downgrade(),
        inventory,
    }
    .start();
    let customer = Socket::start()?;
    customer
        .connect(desk.bind("tcp://127.0.0.1:0").await?)
        .await?;
    for (item, count) in [("tea", 3), ("tea", 3), ("coal", 1)] {
        let order = Order {
            item: item.to_owned(),
            count,
        };
        customer.send_typed(&order).await?;
        let outcome: Outcome = customer.recv().await?.decode()?;
        println!("{item}: {outcome:?}");
    }
    Ok(())
}
