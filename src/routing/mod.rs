//! Routing: the connected peers, the choice of the next one, and the messages that wait for one.
//!
//! The data plane is a published, immutable list of links; the table behind it has one lock. Lock
//! order is table, then link; the lock of a line of waiting senders comes before both, and that of the
//! batch of published messages before that of a link. The
//! published list is non-empty only while the outbox holds nothing for the send mode, so that a
//! message never overtakes one that was accepted earlier.

mod blame;
mod broadcast;
mod budget;
mod dead_letters;
mod dedupe;
mod draining_links;
mod join_leave;
mod link_owner;
mod link_table;
mod message_store;
mod outbox;
mod overflow;
mod peer_index;
mod receiving;
mod room;
mod route_cache;
mod route_table;
mod router;
mod routes;
mod send;
mod send_refusal;
mod set_aside;
mod slow_subscribers;
mod stored;
mod sweep;
mod table;
mod turns;
mod waiting;

pub(crate) use blame::EndedBy;
pub(crate) use join_leave::JoinOutcome;
pub(crate) use overflow::Overflowed;
pub(crate) use receiving::DebtListener;
pub(crate) use router::Router;
pub(crate) use send_refusal::SendRefusal;
pub(crate) use slow_subscribers::Look;
pub(crate) use stored::{Commit, StoreRefusal, Storing};
pub(crate) use sweep::HandlerProgress;

#[cfg(all(test, not(aiomsg_loom)))]
mod detach_tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod order_tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod overflow_tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod reconfigure_tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod turn_tests;
