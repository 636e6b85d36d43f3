//! What the services of the shop say to each other.

use actix_aiomsg::payload;
use serde::{Deserialize, Serialize};

/// A customer buys something. `orders` is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Purchase {
    pub(crate) customer: String,
    pub(crate) item: String,
    pub(crate) count: u32,
}

/// What became of it, and which instance of `orders` saw to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) left: u32,
    pub(crate) spent: u64,
    pub(crate) by: String,
}

/// Something leaves the shelf. `inventory` is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Take {
    pub(crate) item: String,
    pub(crate) count: u32,
}

/// How many are left.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) count: u32,
}

/// A customer pays. `payments` is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) customer: String,
    pub(crate) cents: u64,
}

/// What the customer has spent so far.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) cents: u64,
}

payload!(
    Purchase = "purchase " => Receipt,
    Receipt,
    Take = "take " => Left,
    Left,
    Charge = "charge " => Spent,
    Spent,
);
