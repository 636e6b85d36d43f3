//! The actors and connections of a socket, as an inspection shows them.

use std::fmt;

use crate::connection::ConnectedPeer;
use crate::id::Identity;
use crate::supervise::ChildReport;

/// The actors and connections of a socket at the moment of an inspection. Its `Display` draws them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SocketReport {
    /// The name that peers know the socket by.
    pub identity: Identity,
    /// The router, then listeners and dialers in the order in which they were added. Empty when the
    /// socket is closed.
    pub children: Vec<ChildReport>,
    /// The peers that are connected, as [`Socket::peers`](crate::Socket::peers) lists them.
    pub peers: Vec<ConnectedPeer>,
    /// Connections whose peer is not admitted yet.
    pub handshakes: usize,
    /// Connections that have panicked since the socket was started.
    pub crashed_connections: u64,
}

impl SocketReport {
    /// The report of a socket whose actors are gone.
    pub(crate) fn closed(identity: Identity) -> Self {
        Self {
            identity,
            children: Vec::new(),
            peers: Vec::new(),
            handshakes: 0,
            crashed_connections: 0,
        }
    }
}

impl fmt::Display for SocketReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers = self.peers.iter().map(|peer| format!("peer {peer}"));
        let mut lines: Vec<String> = self.children.iter().map(ToString::to_string).collect();
        lines.extend(peers);
        if self.handshakes > 0 {
            lines.push(format!("{} in their handshake", self.handshakes));
        }
        write!(f, "socket {}", self.identity)?;
        if self.crashed_connections > 0 {
            write!(f, ", {} connections panicked", self.crashed_connections)?;
        }
        for (index, line) in lines.iter().enumerate() {
            let branch = if index + 1 == lines.len() {
                "└─"
            } else {
                "├─"
            };
            write!(f, "\n{branch} {line}")?;
        }
        Ok(())
    }
}
