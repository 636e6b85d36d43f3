//! The certificate that a peer showed.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "tls")]
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

#[cfg(feature = "tls")]
use crate::id::Identity;

/// The verified certificate chain of a peer, the leaf first; each one is DER, as it travelled.
///
/// Cloning it is cheap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificateChain(Arc<[Box<[u8]>]>);

impl CertificateChain {
    /// A chain of certificates in DER, the leaf first. Whoever makes one vouches for it: where other
    /// software verifies certificates, or in the test of an authorizer.
    pub fn from_der<C: AsRef<[u8]>>(certificates: impl IntoIterator<Item = C>) -> Self {
        let certificates = certificates.into_iter();
        Self(certificates.map(|it| it.as_ref().into()).collect())
    }

    /// The peer's own certificate, in DER.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.0.first().map_or(&[], |leaf| leaf)
    }

    /// Every certificate, the leaf first, in DER.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Name in the leaf: its first URI (as SPIFFE has it), else its first DNS name, else its common name.
    /// `None` if it has none of them. The name stays the same when the certificate is renewed for
    /// the same name.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn name(&self) -> Option<CertificateName> {
        let (_, leaf) = X509Certificate::from_der(self.leaf()).ok()?;
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        let uri = names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => Some(CertificateName::Uri((*uri).to_owned())),
            _ => None,
        });
        let dns = || {
            names.iter().find_map(|name| match name {
                GeneralName::DNSName(dns) => Some(CertificateName::Dns(dns.to_ascii_lowercase())),
                _ => None,
            })
        };
        let common = || {
            let name = leaf.subject().iter_common_name().next()?.as_str().ok()?;
            Some(CertificateName::Common(name.to_owned()))
        };
        uri.or_else(dns).or_else(common)
    }

    /// The identity that stands for [`name`](Self::name): [`Identity::from_name`] of its text,
    /// `uri:…`, `dns:…` or `cn:…`.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.name()
            .map(|name| Identity::from_name(&name.to_string()))
    }
}

impl fmt::Debug for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateChain({} certificates)", self.0.len())
    }
}

/// Name in a certificate. Shown with its kind before it, so that a name of one kind never stands
/// for the same text of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CertificateName {
    /// A URI among its alternative names, as it is; shown as `uri:…`.
    Uri(String),
    /// A DNS name among its alternative names, in lower case; shown as `dns:…`.
    Dns(String),
    /// The common name of its subject, as it is; shown as `cn:…`.
    Common(String),
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Common(name) => write!(f, "cn:{name}"),
        }
    }
}

#[cfg(all(test, feature = "tls-dev"))]
#[path = "certificates_tests.rs"]
mod tests;
