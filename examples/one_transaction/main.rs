//! A business row and its message in one transaction, at both ends, so that nothing is lost and nothing done twice.

#[macro_use]
#[path = "../support/say.rs"]
mod say;
#[path = "../support/failure.rs"]
mod failure;

mod books;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use books::{Clerk, Orders, Stock};
use failure::Failure;

/// Orders are taken and reserved in two databases. Run it twice, or kill it: each order is reserved once.
#[derive(clap::Parser)]
struct Options {
    /// The folder of the two databases.
    folder: PathBuf,
}

#[actix::main]
async fn main() -> Result<(), Failure> {
    let Options { folder } = clap::Parser::parse();
    std::fs::create_dir_all(&folder).map_err(|error| {
        let folder = folder.display();
        format!("cannot make the folder {folder}: {error}; name one that can be made")
    })?;
    let outcome = run(&folder).await;
    outcome.map_err(|error| error.to_string().into())
}

/// Takes three orders, and delivers them with those that an earlier run left.
async fn run(folder: &Path) -> books::Outcome<()> {
    let orders = Orders::open(&folder.join("orders"))?;
    let stock = Arc::new(Stock::open(&folder.join("stock"))?);

    let receiver = Socket::start()?;
    let endpoint = receiver.bind("tcp://127.0.0.1:0").await?;
    let clerk = Clerk {
        socket: receiver.clone(),
        stock: Arc::clone(&stock),
    };
    clerk.start();

    let sender = Socket::start()?;
    sender.connect(endpoint).await?;
    for _ in 0..3 {
        let number = orders.place("apples")?;
        println!("order {number} is taken");
    }
    orders.deliver(&sender).await?;
    let (taken, reserved) = (orders.count()?, stock.reserved("apples")?);
    println!("{taken} orders are taken, {reserved} are reserved");
    sender.close().await;
    receiver.close().await;
    Ok(())
}
