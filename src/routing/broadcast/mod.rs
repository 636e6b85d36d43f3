//! Published messages that are encoded once for all links.
//!
//! Locking every link for every message costs more than the message does. Small published messages
//! are gathered in one block instead, within the room that all links had when it was begun, and the
//! links share that block. It is handed to them when it is full, when the routes change, before
//! anything else is queued for a peer, and when a writer has nothing else to do: beginning a block
//! wakes those that sleep, so that a message never waits for the next one.

mod batch;
mod shared;

pub(super) use batch::{HandedOut, copies_for};
pub(super) use shared::{Broadcast, Published};
