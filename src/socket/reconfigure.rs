//! Other bounds for a socket that is in use.

use super::handle::Socket;
use crate::config::Changes;
use crate::error::ReconfigureError;

impl Socket {
    /// Changes bounds, overflow policies and timers while the socket is in use:
    /// `socket.reconfigure(&Changes::new().inbox_capacity(1024, 1 << 20))`. All of the changes hold
    /// from now on, for connections and subscriptions that are there and for those to come, as
    /// [`stats`](Self::stats) shows.
    ///
    /// Whoever waits for room that there is now goes on. A bound that is lower than what a queue holds
    /// takes nothing back: the queue refuses new messages until it has drained. A message that waits
    /// goes by the new policy, and keeps the time that it had been given to wait.
    ///
    /// # Errors
    ///
    /// When the socket would not start with such settings, or is closed. Then nothing has changed.
    pub fn reconfigure(&self, changes: &Changes) -> Result<(), ReconfigureError> {
        self.core().reconfigure(changes)
    }
}
