//! A look into a running socket from outside its process (feature `inspection`, on Unix alone): what `aiomsg top` shows.
//!
//! A socket that is told a path has a Unix socket there, which only its user can reach: the file has mode 0600, and its
//! directory 0700. Whoever connects may look and cannot change anything, and sees no payload. By default there is none.
//!
//! ```
//! use actix_aiomsg::Socket;
//! use actix_aiomsg::inspection::{self, Report};
//! use std::io::{BufRead, BufReader, Write};
//! use std::os::unix::net::UnixStream;
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("actix-aiomsg-look-{}", std::process::id()));
//! let path = directory.join("orders.sock");
//! let socket = Socket::builder().inspection(&path).start()?;
//!
//! let mut look = UnixStream::connect(&path)?; // in another process, as a rule
//! look.write_all(b"\n")?;
//! let mut line = String::new();
//! BufReader::new(look).read_line(&mut line)?;
//! let report: Report = serde_json::from_str(&line)?;
//! assert_eq!(report.identity, socket.identity().to_string());
//! # drop(std::fs::remove_dir_all(&directory));
//! # Ok(())
//! # }
//! ```
//!
//! # Requests and reports
//!
//! Each line that is written is answered with a line of JSON, a [`Report`]. The line is empty, or an object:
//!
//! | member | meaning |
//! |---|---|
//! | `format` | the format that the watcher knows: [`FORMAT`]. Another one is answered with an error |
//! | `every` | from then on a report every so many seconds, from 0.1 to 3600; without it one report |
//!
//! What cannot be answered yields `{"format":1,"error":"…"}`. Eight may look at a time. Whoever asks for nothing for a minute, or does
//! not read for ten seconds, is let go. None of them slows the socket: a thread of its own answers, which sleeps while nobody
//! looks, and which sees a handler that blocks the socket's thread.

#[cfg(not(unix))]
compile_error!(
    "the feature `inspection` of actix-aiomsg wants Unix sockets, which this system does not have: leave it out"
);

#[cfg(unix)]
mod endpoint;
#[cfg(unix)]
mod file;
#[cfg(unix)]
mod gather;
mod report;
#[cfg(unix)]
mod watcher;

use std::path::PathBuf;

#[cfg(unix)]
pub(crate) use endpoint::Endpoint;
pub use report::{
    Blocked, Child, FORMAT, Followed, Handler, Instance, LogLine, Offer, Peer, Report,
};

/// The directory where `aiomsg top` looks for endpoints when it is given no path: `aiomsg` in the user's own directory for what
/// runs, `$XDG_RUNTIME_DIR`. `None` where the system has not set that.
pub fn runtime_directory() -> Option<PathBuf> {
    let directory =
        std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty())?;
    Some(PathBuf::from(directory).join("aiomsg"))
}
