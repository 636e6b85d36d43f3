//! The files that say whose certificates are good.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateRevocationListDer;

use super::pem;
use crate::transport::tls_config_error::TlsConfigError;

/// Trusted authorities.
pub(super) struct Trust {
    /// The authorities that sign them.
    pub(super) roots: Arc<RootCertStore>,
    /// Certificates that are not good any more. Where there is any list, every certificate needs to be
    /// covered by one.
    pub(super) revocations: Vec<CertificateRevocationListDer<'static>>,
}

/// The files of a [`Trust`].
#[derive(Clone, Debug, Default)]
pub(super) struct TrustFiles {
    pub(super) authorities: Option<PathBuf>,
    pub(super) revocations: Vec<PathBuf>,
}

impl TrustFiles {
    /// Reads the files; `None` if no authorities are named.
    pub(super) fn read(&self) -> Result<Option<Trust>, TlsConfigError> {
        match &self.authorities {
            Some(path) => Ok(Some(Trust {
                roots: pem::authorities(path)?,
                revocations: pem::revocations(&self.revocations)?,
            })),
            None if self.revocations.is_empty() => Ok(None),
            None => Err(TlsConfigError::RevocationsWithoutAuthority),
        }
    }
}
