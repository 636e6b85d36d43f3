//! What the two services say to each other.

use actix_aiomsg::payload;
use serde::{Deserialize, Serialize};

/// Somebody wants something. The inventory is asked whether it is there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) item: String,
    pub(crate) count: u32,
}

/// What became of an order, or why nothing did.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Accepted(Left),
    Refused(String),
}

/// How many are in stock?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InStock {
    pub(crate) item: String,
}

/// How many are in stock now.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) count: u32,
}

payload!(
    Order = "order " => Left,
    Outcome,
    InStock = "in-stock " => Left,
    Left,
);
