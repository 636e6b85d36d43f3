//! The two ends of a connection.

/// The end of a connection that this socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The peer dialled us.
    BindEnd,
    /// We dialled the peer, and redial when the connection ends.
    ConnectEnd,
}
