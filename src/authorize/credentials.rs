//! Proofs of an admitted peer besides its identity.

use std::any::Any;

use super::admission::Principal;
use super::service_rights::ServiceRights;
use crate::address::CertificateChain;

/// Proofs of a peer, kept as long as its connection.
#[derive(Debug)]
pub(crate) struct Credentials {
    certificates: Option<CertificateChain>,
    principal: Option<Principal>,
    /// Absent for a peer that may offer and ask everything.
    rights: Option<ServiceRights>,
}

impl Credentials {
    /// `None` for a peer of whom nothing is known, as most are.
    pub(crate) fn new(
        certificates: Option<CertificateChain>,
        principal: Option<Principal>,
        rights: Option<ServiceRights>,
    ) -> Option<Box<Self>> {
        (certificates.is_some() || principal.is_some() || rights.is_some()).then(|| {
            Box::new(Self {
                certificates,
                principal,
                rights,
            })
        })
    }

    /// True if the peer may offer the service.
    pub(crate) fn may_offer(&self, name: &str) -> bool {
        let rights = self.rights.as_ref();
        rights.is_none_or(|rights| rights.offer.contain(name))
    }

    /// True if the peer may ask the service.
    pub(crate) fn may_ask(&self, name: &str) -> bool {
        let rights = self.rights.as_ref();
        rights.is_none_or(|rights| rights.ask.contain(name))
    }

    pub(crate) const fn certificates(&self) -> Option<&CertificateChain> {
        self.certificates.as_ref()
    }

    pub(crate) fn principal<T: Any>(&self) -> Option<&T> {
        self.principal.as_ref()?.downcast()
    }
}
