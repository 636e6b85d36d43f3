//! The coarse clock of a socket.

use std::time::Duration;

/// Time on the socket's coarse clock: what has passed since the socket started, as of the last
/// sweep. Good enough for timers of seconds and free to read.
pub(crate) type Uptime = Duration;
