//! Proofs of an admitted peer besides its identity.

use std::any::Any;

use super::admission::Principal;
use crate::address::CertificateChain;

/// Proofs of a peer, kept as long as its connection.
#[derive(Debug)]
pub(crate) struct Credentials {
    certificates: Option<CertificateChain>,
    principal: Option<Principal>,
}

impl Credentials {
    /// `None` for a peer of whom nothing is known, as most are.
    pub(crate) fn new(
        certificates: Option<CertificateChain>,
        principal: Option<Principal>,
    ) -> Option<Box<Self>> {
        (certificates.is_some() || principal.is_some()).then(|| {
            Box::new(Self {
                certificates,
                principal,
            })
        })
    }

    pub(crate) const fn certificates(&self) -> Option<&CertificateChain> {
        self.certificates.as_ref()
    }

    pub(crate) fn principal<T: Any>(&self) -> Option<&T> {
        self.principal.as_ref()?.downcast()
    }
}
