//! An inbox: what one subscription has received and not yet handled, bounded.
//!
//! Readers reserve room before they read; when there is none they stand in line and TCP pushes
//! back. Consumers take chunks, or single messages, and release the room when they are through.

mod bookmark;
mod bounded_inbox;
mod chunk;
mod chunk_queue;
mod frame_budget;
mod message_span;
mod read_ahead;
pub(crate) mod read_fairness;

pub(crate) use bookmark::Bookmark;
pub(crate) use bounded_inbox::{Arrival, Inbox};
pub(crate) use chunk::{Chunk, LetGo, MessageSet, MetadataTable};
pub(crate) use frame_budget::{Allowance, FrameBudget, READ_BYTES};
pub(crate) use message_span::MessageSpan;
pub(crate) use read_ahead::{ReadAhead, ReadAheadBudget, ReadAheadPart};
