//! Recordings of relays, and their replay.
//!
//! [`Relay::capture`](super::Relay::capture) records, [`CaptureReader`] reads, and [`Replay`] sends the messages of a recording
//! again, in their own time or another.
//!
//! # The file
//!
//! A new file, which only its owner may read (mode 0600). One that exists is never written over.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `A1 41 49 4F 43 41 50` and the version, 1 |
//! | 8 | when the recording began, in milliseconds since 1970 |
//! | records | one after the other, until the end of the file |
//!
//! | bytes of a record | what |
//! |---|---|
//! | 4 | the length of what follows the checksum |
//! | 4 | the CRC-32 (IEEE) of what follows it |
//! | 8 | microseconds since the recording began |
//! | 16 | the identity of the peer that the message came from |
//! | rest | the payload |
//!
//! Numbers are big-endian. A file that was cut short, or is damaged, is read up to there, and [`CaptureError`] says so.

mod error;
mod reader;
mod record;
mod replay;
mod writer;

pub use error::{CaptureEnd, CaptureError};
pub use reader::CaptureReader;
pub use record::CapturedMessage;
pub use replay::{Replay, ReplayError};
pub(super) use writer::CaptureWriter;
