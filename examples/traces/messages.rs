//! What the three processes say to each other.

use actix_aiomsg::payload;
use serde::{Deserialize, Serialize};

/// Somebody buys something. `orders` is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Purchase {
    pub(crate) item: String,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) left: u32,
}

/// Something leaves the shelf. `inventory` is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Take {
    pub(crate) item: String,
}

/// How many are left.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) count: u32,
}

/// Something was sold: told to whoever wants to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sold {
    pub(crate) item: String,
}

payload!(
    Purchase = "purchase " => Receipt,
    Receipt,
    Take = "take " => Left,
    Left,
    Sold = "sold ",
);
