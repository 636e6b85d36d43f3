//! Two services in one program, typed: orders asks inventory. `-- PORT` serves inventory on a port for
//! `ask_peer.py` instead.

mod inventory;
mod messages;
mod orders;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use inventory::Inventory;
use messages::{InStock, Order, Outcome};
use orders::Orders;

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stock = Socket::start()?;
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".to_owned());
    let endpoint = stock.bind(format!("tcp://127.0.0.1:{port}")).await?;
    let _inventory = Inventory {
        socket: stock.downgrade(),
        stock: [("tea".to_owned(), 5)].into(),
    }
    .start();
    if std::env::args().len() > 1 {
        println!("{endpoint}");
        stock.wait_for_peers(1).await?;
        // The Python peer answers, too.
        let item = "tea".to_owned();
        println!("{:?}", stock.ask(Whom::Any, &InStock { item }).await?);
        stock.close().await;
        return Ok(());
    }

    let (desk, inventory) = (Socket::start()?, Socket::start()?);
    inventory.connect(endpoint).await?;
    let endpoint = desk.bind("tcp://127.0.0.1:0").await?;
    let _orders = Orders {
        customers: desk.downgrade(),
        inventory,
    }
    .start();

    let customer = Socket::start()?;
    customer.connect(endpoint).await?;
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
