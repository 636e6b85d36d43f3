//! Errors of inspection endpoints.

use std::io;
use std::path::PathBuf;

/// The inspection endpoint of a socket cannot be opened; each text says what can be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectionError {
    /// Another socket has its endpoint there, in this process or in another one.
    #[error(
        "somebody listens at {path}: the endpoint of one socket has one path; end the other one, or choose another path"
    )]
    InUse {
        /// The path that was to be used.
        path: PathBuf,
    },
    /// Something stands there that is no socket file.
    #[error("{path} is there and is no socket file: it is left as it is; choose another path")]
    NoSocketFile {
        /// The path that was to be used.
        path: PathBuf,
    },
    /// The path is longer than the system takes for the address of a Unix socket.
    #[error(
        "{path} has {length} bytes, and the path of a Unix socket has 100 at most: choose a shorter one"
    )]
    TooLong {
        /// The path that was to be used.
        path: PathBuf,
        /// Its length, in bytes.
        length: usize,
    },
    /// Others may look into the directory, or it is theirs.
    #[error(
        "the directory {directory} {problem}: the endpoint stands in a directory that nobody else can enter; \
         `chmod 700` it if it is for this alone, or choose one that is not there yet, which is made so"
    )]
    OpenDirectory {
        /// The directory of the path.
        directory: PathBuf,
        /// What is wrong with it, for people.
        problem: String,
    },
    /// The system refused.
    #[error("cannot open the inspection endpoint {path}: {source}")]
    Io {
        /// The path that was to be used.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}
