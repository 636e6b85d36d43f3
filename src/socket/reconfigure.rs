//! Other limits for a socket that is in use.

use super::handle::Socket;
use crate::error::ReconfigureError;
use crate::limits::{Limits, LimitsChange};

impl Socket {
    /// Changes limits while the socket is in use:
    ///
    /// ```
    /// # fn wider(socket: &actix_aiomsg::Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// socket.reconfigure(|limits| {
    ///     limits.outbox_capacity.messages *= 2;
    ///     limits.heartbeat_interval = std::time::Duration::from_secs(2);
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// `change` edits a copy of the limits that hold, under no lock; a panic in it, or an `Err` that it
    /// answers, changes nothing. When somebody else changes the limits at the same time it is called
    /// again, with theirs. All of its changes hold from then on, for connections and subscriptions that
    /// are there and for those to come, as [`stats`](Self::stats) shows.
    ///
    /// Senders that wait for room which is there now go on. A bound that is lower than what a queue holds
    /// takes nothing back: the queue refuses new messages until it has drained. A message that waits
    /// goes by the new policy, and keeps the time that it had been given to wait.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ReconfigureError::Configuration) when the socket would not start with such
    /// limits, [`Declined`](ReconfigureError::Declined) when `change` answers an error,
    /// [`Closed`](ReconfigureError::Closed) when the socket is closed. Then nothing has changed.
    pub fn reconfigure<C: LimitsChange>(
        &self,
        mut change: impl FnMut(&mut Limits) -> C,
    ) -> Result<(), ReconfigureError> {
        self.core()
            .reconfigure(|limits| change(limits).into_result())
    }
}
