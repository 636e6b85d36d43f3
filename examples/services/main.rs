//! Two services in one program, typed: orders asks inventory. `-- PORT` serves inventory on a port for
//! `ask_peer.py` instead.

#[macro_use]
#[path = "../support/say.rs"]
mod say;
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

/// Two services, orders and inventory: one asks the other.
#[derive(Parser)]
struct Options {
    /// Serves the inventory alone, on this port, for a Python peer that asks and answers.
    port: Option<u16>,
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let mut signals = StopSignals::listen()?;
    let stock = Socket::start()?;
    let endpoint = stock.bind(("127.0.0.1", options.port.unwrap_or(0))).await?;
    let _inventory = Inventory {
        socket: stock.downgrade(),
        stock: [("tea".to_owned(), 5)].into(),
    }
    .start();
    let work = async {
        match options.port {
            Some(_) => ask_python(&stock, endpoint).await,
            None => take_orders(endpoint).await,
        }
    };
    tokio::select! {
        done = work => done?,
        () = signals.received() => {}
    }
    stock.close().await;
    Ok(())
}

/// The Python peer asks what is in stock, and answers, too.
async fn ask_python(stock: &Socket, endpoint: Endpoint) -> Result<(), Failure> {
    println!("{endpoint}");
    stock.wait_for_peers(1).await?;
    let item = "tea".to_owned();
    println!("{:?}", stock.ask(Whom::Any, &InStock { item }).await?);
    Ok(())
}

async fn take_orders(endpoint: Endpoint) -> Result<(), Failure> {
    let (desk, inventory) = (Socket::start()?, Socket::start()?);
    inventory.connect(endpoint).await?;
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
