//! The certificate that a peer showed.

use std::fmt;
use std::sync::Arc;

/// The verified certificate chain of a peer, the leaf first; each one is DER, as it travelled.
///
/// Cloning it is cheap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificateChain(Arc<[Box<[u8]>]>);

impl CertificateChain {
    pub(super) fn new<'a>(certificates: impl Iterator<Item = &'a [u8]>) -> Self {
        Self(certificates.map(Into::into).collect())
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
}

impl fmt::Debug for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateChain({} certificates)", self.0.len())
    }
}
