//! Reading PEM files, with errors that name the file, the entry and what to do.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs1KeyDer,
    PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pem_entries::{CERTIFICATE, PRIVATE_KEY, PemEntry, REVOCATION_LIST, parse};
use crate::transport::tls_config_error::{PemProblem, TlsConfigError};

/// A certificate chain, the leaf first, and the leaf's private key.
pub(super) type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A chain and its key; they may be in one file.
pub(super) fn own_certificate(chain: &Path, key: &Path) -> Result<OwnCertificate, TlsConfigError> {
    let chain = certificates(chain)?.into_iter().map(|(_, der)| der);
    Ok((chain.collect(), private_key(key)?))
}

pub(super) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for (entry, certificate) in certificates(path)? {
        let unusable = |error: tokio_rustls::rustls::Error| PemProblem::Unusable {
            entry,
            reason: error.to_string(),
        };
        roots
            .add(certificate)
            .map_err(|error| problem(path, "a certificate", unusable(error)))?;
    }
    Ok(Arc::new(roots))
}

pub(super) fn revocations(
    paths: &[impl AsRef<Path>],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
    let mut lists = Vec::new();
    for path in paths {
        let entries = entries(path.as_ref(), "a revocation list", REVOCATION_LIST)?;
        lists.extend(entries.into_iter().map(|entry| entry.der.into()));
    }
    Ok(lists)
}

/// The certificates, each with the number of its entry.
fn certificates(path: &Path) -> Result<Vec<(usize, CertificateDer<'static>)>, TlsConfigError> {
    const WANTED: &str = "a certificate";
    let parsed = entries(path, WANTED, CERTIFICATE)?
        .into_iter()
        .map(|entry| match X509Certificate::from_der(&entry.der) {
            Ok(([], _)) => Ok((entry.number, entry.der.into())),
            Ok(_) | Err(_) => {
                let (entry, reason) =
                    (entry.number, "what it encodes is no certificate".to_owned());
                let unusable = PemProblem::Unusable { entry, reason };
                Err(problem(path, WANTED, unusable))
            }
        });
    parsed.collect()
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    let entry = entries(path, "a private key", PRIVATE_KEY)?.swap_remove(0);
    Ok(match &entry.label[..] {
        "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(entry.der).into(),
        "EC PRIVATE KEY" => PrivateSec1KeyDer::from(entry.der).into(),
        _ => PrivatePkcs8KeyDer::from(entry.der).into(),
    })
}

/// Every entry of a file with one of these labels, at least one.
fn entries(
    path: &Path,
    wanted: &'static str,
    labels: &[&str],
) -> Result<Vec<PemEntry>, TlsConfigError> {
    let wrong = |found| problem(path, wanted, found);
    let bytes = std::fs::read(path).map_err(|error| wrong(PemProblem::Io(error)))?;
    parse(&bytes, labels).map_err(wrong)
}

fn problem(path: &Path, wanted: &'static str, problem: PemProblem) -> TlsConfigError {
    TlsConfigError::Read {
        wanted,
        path: path.into(),
        problem,
    }
}
