//! What can be wrong with a recording.

use std::io;
use std::path::PathBuf;

/// A recording cannot be begun, or not be read any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// There is a file of this name, which is not written over.
    #[error("{file} exists: a recording is a new file; choose another name, or remove the old one", file = .0.display())]
    Exists(PathBuf),
    /// The file cannot be opened, written or read.
    #[error("{file}: {error}", file = .file.display())]
    #[non_exhaustive]
    Io {
        /// The file.
        file: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// The file is no recording.
    #[error("{file} is no recording of a relay", file = .0.display())]
    Foreign(PathBuf),
    /// The recording is of a version that this one does not read.
    #[error("{file} is a recording of version {version}; this program reads version 1", file = .file.display())]
    #[non_exhaustive]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u8,
    },
    /// The file ends inside a record: its writer was killed, or the file was cut. The records before are whole.
    #[error("{file} is cut short after {messages} messages, at byte {offset}", file = .file.display())]
    #[non_exhaustive]
    Cut {
        /// The file.
        file: PathBuf,
        /// Messages before the cut.
        messages: u64,
        /// Where the last record begins.
        offset: u64,
    },
    /// A record is not as it was written. The records before it are whole; where the next one begins is not known.
    #[error("{file} is damaged after {messages} messages, at byte {offset}", file = .file.display())]
    #[non_exhaustive]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Messages before the damage.
        messages: u64,
        /// Where the damaged record begins.
        offset: u64,
    },
}

/// Reasons for the end of a recording before its relay's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureEnd {
    /// It has reached its limit.
    #[error("the recording has reached its limit of {0} bytes")]
    Limit(u64),
    /// It cannot be written any further, in the operating system's words.
    #[error("the recording cannot be written: {0}")]
    Failed(String),
}
