//! The two ends of a connection.

/// Which end of a connection this socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The peer dialled us.
    BindEnd,
    /// We dialled the peer, and redial when the connection ends.
    ConnectEnd,
}
