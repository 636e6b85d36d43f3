//! An outbox that outlives the process.
//!
//! A socket with an [`Outbox`] keeps what it sends at least once in a store until its peer has acknowledged it:
//!
//! ```no_run
//! # #[cfg(feature = "outbox")]
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! use actix_aiomsg::prelude::*;
//!
//! let socket = Socket::builder()
//!     .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
//!     .outbox("/var/lib/orders/outbox")
//!     .start()?;
//! socket.connect("tcp://10.0.0.7:25000").await?;
//! // Committed: it is delivered at least once, by this process or the next.
//! socket.send("ten apples").await?;
//! # Ok(())
//! # }
//! ```

mod failure_watch;
mod figures;
mod journal;
mod journal_end;
mod journal_start;
mod letter;
mod letter_desk;
mod letter_filter;
mod letter_ids;
mod letter_index;
mod letter_request;
mod letters;
mod memory_store;
mod opening;
#[cfg(feature = "outbox")]
mod outbox_file;
mod paging;
mod pending;
mod record;
#[cfg(feature = "outbox")]
mod redb_store;
mod settings;
mod store;
mod tail;
mod window;
mod window_store;
mod writer;

pub use letter::KeptLetter;
pub use letter_filter::LetterFilter;
pub use letter_index::DeadLetterBounds;
pub use letter_request::Redriven;
#[cfg(feature = "outbox")]
#[cfg_attr(docsrs, doc(cfg(feature = "outbox")))]
pub use outbox_file::OutboxFile;
pub use pending::PendingMessage;
pub use settings::{Durability, Outbox};
pub use store::{Change, OutboxStore, Table};

pub(crate) use figures::{JournalFigures, LetterFigures};
pub(crate) use journal::{Journal, JournalRefusal, Paged, Stored, WhenDone};
pub(crate) use journal_end::CLOSING as STORE_CLOSES_WITHIN;
pub(crate) use letter::Letter;
pub(crate) use letter_request::Redrive;
pub(crate) use letters::Letters;
pub(crate) use record::Record;
#[cfg(all(test, feature = "outbox"))]
pub(crate) use redb_store::RedbStore;
pub(crate) use settings::{OpenedOutbox, OutboxSettings};
pub(crate) use window::{KnownMessage, WindowMark};
pub(crate) use window_store::WindowStore;

#[cfg(all(test, not(aiomsg_loom)))]
mod journal_tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod letter_tests;
#[cfg(all(test, feature = "outbox", not(aiomsg_loom)))]
mod power_tests;
#[cfg(all(test, feature = "outbox", not(aiomsg_loom)))]
mod redb_store_tests;
