//! The books of both sides: a database each, in which a business row and its message are one transaction.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

/// Orders by their numbers.
const ORDERS: TableDefinition<'_, u64, &str> = TableDefinition::new("orders");
/// The same orders, until the stock has confirmed them.
const OUTGOING: TableDefinition<'_, u64, &str> = TableDefinition::new("outgoing");
/// How many of each item are reserved.
const RESERVED: TableDefinition<'_, &str, u64> = TableDefinition::new("reserved");
/// Orders that are reserved: the unique key.
const HANDLED: TableDefinition<'_, u64, ()> = TableDefinition::new("handled");

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Opens the database of one side, or makes it.
fn open(path: &Path) -> Outcome<Database> {
    let file = path.display();
    let opened = Database::create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => {
            format!("{file} is open in another run: wait for its end, or name another folder")
        }
        error => format!("cannot open {file}: {error}; name another folder"),
    });
    Ok(opened?)
}

/// The side that sends.
pub(crate) struct Orders(Database);

impl Orders {
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let database = open(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(ORDERS)?;
        transaction.open_table(OUTGOING)?;
        transaction.commit()?;
        Ok(Self(database))
    }

    /// Takes an order: its row and its message are committed together, or neither is.
    pub(crate) fn place(&self, item: &str) -> Outcome<u64> {
        let transaction = self.0.begin_write()?;
        let number;
        {
            let mut orders = transaction.open_table(ORDERS)?;
            number = orders.last()?.map_or(1, |(last, _)| last.value() + 1);
            orders.insert(number, item)?;
            transaction.open_table(OUTGOING)?.insert(number, item)?;
        }
        transaction.commit()?;
        Ok(number)
    }

    /// The oldest message that is not confirmed.
    pub(crate) fn next(&self) -> Outcome<Option<(u64, String)>> {
        let outgoing = self.0.begin_read()?.open_table(OUTGOING)?;
        let first = outgoing.first()?;
        Ok(first.map(|(number, item)| (number.value(), item.value().to_owned())))
    }

    fn note_confirmed(&self, number: u64) -> Outcome<()> {
        let transaction = self.0.begin_write()?;
        transaction.open_table(OUTGOING)?.remove(number)?;
        transaction.commit()?;
        Ok(())
    }

    /// Sends what is not confirmed, in order, until nothing is left. A crash between a confirmation and its note sends one
    /// message again, under a new id: the other side knows it by the number of its order.
    pub(crate) async fn deliver(&self, socket: &Socket) -> Outcome<()> {
        while let Some((number, item)) = self.next()? {
            let sending = socket.send(format!("{number} {item}"));
            let sending = sending.guarantee(DeliveryGuarantee::AtLeastOnce);
            sending.receipt().await?.await?;
            self.note_confirmed(number)?;
        }
        Ok(())
    }

    /// How many orders were taken.
    pub(crate) fn count(&self) -> Outcome<u64> {
        let orders = self.0.begin_read()?.open_table(ORDERS)?;
        Ok(orders.last()?.map_or(0, |(last, _)| last.value()))
    }
}

/// The side that receives.
pub(crate) struct Stock(Database);

impl Stock {
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let database = open(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(RESERVED)?;
        transaction.open_table(HANDLED)?;
        transaction.commit()?;
        Ok(Self(database))
    }

    /// Reserves for an order. Its key and the change it makes are committed together, so that an order that comes twice changes
    /// nothing the second time, which is false then.
    pub(crate) fn reserve(&self, number: u64, item: &str) -> Outcome<bool> {
        let transaction = self.0.begin_write()?;
        {
            let mut handled = transaction.open_table(HANDLED)?;
            if handled.insert(number, ())?.is_some() {
                return Ok(false);
            }
            let mut reserved = transaction.open_table(RESERVED)?;
            let before = reserved.get(item)?.map_or(0, |count| count.value());
            reserved.insert(item, before + 1)?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// How many of an item are reserved.
    pub(crate) fn reserved(&self, item: &str) -> Outcome<u64> {
        let reserved = self.0.begin_read()?.open_table(RESERVED)?;
        Ok(reserved.get(item)?.map_or(0, |count| count.value()))
    }
}

/// Reserves for the orders that come. A message is acknowledged when its transaction is committed.
pub(crate) struct Clerk {
    pub socket: Socket,
    pub stock: Arc<Stock>,
}

impl Actor for Clerk {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe::<String>(ctx);
    }
}

impl Handler<Received<String>> for Clerk {
    type Result = Handled;

    fn handle(&mut self, order: Received<String>, _: &mut Context<Self>) -> Handled {
        let stock = Arc::clone(&self.stock);
        Handled::future(async move {
            // A commit waits for the disk, and is not to block the thread of the sockets.
            tokio::task::spawn_blocking(move || {
                let (number, item) = order.split_once(' ').ok_or("an order without a number")?;
                stock.reserve(number.parse()?, item).map(drop)
            })
            .await?
        })
    }
}
