//! A link: everything that waits to go out on one admitted connection.
//!
//! Senders encode straight into it, under a lock that no user code runs under; the connection
//! takes blocks out of it and writes them. It lives and dies with its connection; what it still
//! holds then goes back to the outbox.
//!
//! From the bottom up: values (`entry`, `limits`, `attempt`); the parts of a link, each with private fields
//! (`send_queue`, `in_flight`, `writer`, `peer`, `answers`, `loan`); what its lock guards (`state`); the link
//! itself (`link`); and what is done with it, one file for each.

mod answers;
mod arrivals;
mod attempt;
mod block;
mod block_buffer;
mod burst;
mod closing;
mod control_frames;
mod dedupe;
mod entry;
mod full_links;
#[cfg(feature = "inspection")]
mod fullness;
mod in_flight;
mod limits;
#[expect(
    clippy::module_inception,
    reason = "the folder is named for its main type"
)]
mod link;
mod liveness_probe;
mod loan;
mod message_ids;
mod owner;
mod peer;
mod pressure;
mod push;
mod receipt;
mod reconfigure;
mod resend;
mod resend_ring;
mod send_queue;
mod shedding;
mod state;
mod subscriber;
mod trial_queue;
mod trials;
mod uptime;
mod write_batch;
mod writer;
mod writing;

pub(crate) use answers::Redelivery;
pub(crate) use attempt::{Attempt, Courtesy, Refused};
pub(crate) use block::{Block, GATHER_FROM};
pub(crate) use block_buffer::BLOCK_BYTES;
pub(crate) use burst::try_put;
pub(crate) use closing::Leftovers;
pub(crate) use dedupe::PeerDedupe;
pub(crate) use entry::{Entry, Extras, Target, fits_frame, take};
pub(crate) use full_links::{FullLinks, PLACES};
#[cfg(feature = "inspection")]
pub(crate) use fullness::Fullness;
pub(crate) use in_flight::GivenUp;
pub(crate) use limits::{Bound, LinkLimits};
pub(crate) use link::Link;
pub(crate) use owner::{LinkCommons, LinkOwner, LinkSettings};
pub(crate) use push::{Copies, CopyRoom, Pushed};
pub use receipt::Receipt;
pub(crate) use receipt::{ReceiptSender, receipt};
pub(crate) use resend_ring::Unacknowledged;
pub(crate) use send_queue::Reservation;
pub(crate) use state::{CloseCause, LinkCounts, LinkLoad};
#[cfg(all(test, not(aiomsg_loom)))]
pub(crate) use uptime::Uptime;
pub(crate) use write_batch::WriteBatch;
pub(crate) use writing::NextWrite;
