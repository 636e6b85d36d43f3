//! Who may look into a socket by an ask.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::credentials::Credentials;
use crate::address::CertificateChain;
use crate::id::Identity;

/// A peer that asks about the socket itself; see [`SocketBuilder::introspection`](crate::SocketBuilder::introspection).
#[derive(Debug, Clone, Copy)]
pub struct Inquirer<'a> {
    peer: Identity,
    credentials: Option<&'a Credentials>,
}

impl<'a> Inquirer<'a> {
    pub(crate) const fn new(peer: Identity, credentials: Option<&'a Credentials>) -> Self {
        Self { peer, credentials }
    }

    /// The peer. Unless an authorizer gives identities, it is what the peer says.
    pub const fn peer(&self) -> Identity {
        self.peer
    }

    /// The verified certificate that the peer has proved to own, over TLS.
    pub fn certificates(&self) -> Option<&'a CertificateChain> {
        self.credentials?.certificates()
    }

    /// The value that the authorizer keeps with the peer, if it is of this type; see
    /// [`Admission::with_principal`](super::Admission::with_principal).
    pub fn principal<P: Any>(&self) -> Option<&'a P> {
        self.credentials?.principal()
    }
}

/// Decides who may look into a socket.
#[derive(Clone)]
pub(crate) struct Introspection(Arc<dyn Fn(&Inquirer<'_>) -> bool + Send + Sync>);

impl Introspection {
    pub(crate) fn new(may: impl Fn(&Inquirer<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may))
    }

    pub(crate) fn allows(&self, inquirer: &Inquirer<'_>) -> bool {
        (self.0)(inquirer)
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Introspection")
    }
}
