//! Where a socket is in its life: a phase that only moves forward.

/// Where a socket is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SocketPhase {
    /// The socket sends and receives.
    #[default]
    Open,
    /// The socket accepts no new messages and is sending the queued ones.
    Closing,
    /// The socket is closed.
    Closed,
}

impl SocketPhase {
    /// The phase after a step to `next`, which never leads back.
    pub(crate) fn advanced_to(self, next: Self) -> Self {
        self.max(next)
    }
}

#[cfg(test)]
mod tests {
    use super::SocketPhase::{Closed, Closing, Open};

    #[test]
    fn a_socket_never_goes_back_to_an_earlier_phase() {
        let all = [Open, Closing, Closed];
        for (at, before) in all.into_iter().enumerate() {
            for (to, next) in all.into_iter().enumerate() {
                assert_eq!(before.advanced_to(next), all[at.max(to)]);
            }
        }
    }
}
