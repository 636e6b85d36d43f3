//! What the two services say to each other.

use actix_aiomsg::{AskRequest, payload};
use serde::{Deserialize, Serialize};

/// Somebody wants something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) item: String,
    pub(crate) count: u32,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Accepted { item: String, left: u32 },
    Refused { item: String, why: String },
}

/// How many are in stock?
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InStock {
    pub(crate) item: String,
}

/// Takes some out of the stock.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reserve {
    pub(crate) item: String,
    pub(crate) count: u32,
}

/// How many are in stock now.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) count: u32,
}

payload!(
    Order = "order ",
    Outcome,
    InStock = "in-stock ",
    Reserve = "reserve ",
    Left
);

impl AskRequest for InStock {
    type Reply = Left;
}

impl AskRequest for Reserve {
    type Reply = Left;
}
