//! Reading PEM files, with errors that name the file.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{Error, PemObject};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
};

use super::config::OwnCertificate;
use crate::transport::tls_config_error::TlsConfigError;

/// A chain and its key; they may be in one file.
pub(super) fn own_certificate(chain: &Path, key: &Path) -> Result<OwnCertificate, TlsConfigError> {
    Ok((certificates(chain)?, private_key(key)?))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    all(path, "a certificate")
}

pub(super) fn revocations(
    paths: &[impl AsRef<Path>],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
    let mut lists = Vec::new();
    for path in paths {
        lists.extend(all(path.as_ref(), "a revocation list")?);
    }
    Ok(lists)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    PrivateKeyDer::from_pem_file(path).map_err(failure(path, "a private key"))
}

pub(super) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// Everything of one kind in a file, at least one.
fn all<T: PemObject>(path: &Path, wanted: &'static str) -> Result<Vec<T>, TlsConfigError> {
    let items = T::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|items| {
            if items.is_empty() {
                Err(Error::NoItemsFound)
            } else {
                Ok(items)
            }
        });
    items.map_err(failure(path, wanted))
}

fn failure(path: &Path, wanted: &'static str) -> impl FnOnce(Error) -> TlsConfigError {
    move |source| TlsConfigError::Read {
        wanted,
        path: path.into(),
        source,
    }
}
