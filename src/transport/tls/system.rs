//! The authorities that the operating system trusts, or those that the environment names in their place.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Once};

use rustls_native_certs::CertificateResult;
use tokio_rustls::rustls::RootCertStore;

use super::pem;
use crate::transport::tls_config_error::TlsConfigError;

/// The variable that names a file of authorities, as for OpenSSL.
const FILE: &str = "SSL_CERT_FILE";
/// The variable that names folders of them.
const FOLDERS: &str = "SSL_CERT_DIR";

/// So many problems are told of: a folder may have a thousand files.
const MAX_PROBLEMS: usize = 3;

/// The authorities of the system.
pub(super) fn authorities() -> Result<Arc<RootCertStore>, TlsConfigError> {
    let named = |variable| std::env::var_os(variable).filter(|named| !named.is_empty());
    match named(FILE) {
        Some(file) => named_by_environment(Path::new(&file), named(FOLDERS)),
        None => usable(
            RootCertStore::empty(),
            rustls_native_certs::load_native_certs(),
        ),
    }
}

/// Whoever names a file means all of it.
fn named_by_environment(
    file: &Path,
    folders: Option<OsString>,
) -> Result<Arc<RootCertStore>, TlsConfigError> {
    let roots = pem::authorities(file).map_err(|error| match error {
        TlsConfigError::Read { path, problem, .. } => TlsConfigError::Read {
            wanted: "the authorities that SSL_CERT_FILE names",
            path,
            problem,
        },
        other => other,
    })?;
    let mut all = CertificateResult::default();
    for folder in std::env::split_paths(&folders.unwrap_or_default()) {
        let found = rustls_native_certs::load_certs_from_paths(None, Some(&folder));
        all.certs.extend(found.certs);
        all.errors.extend(found.errors);
    }
    usable(Arc::unwrap_or_clone(roots), all)
}

/// Those that are known, and what else was found. Single certificates that cannot be read are common in system stores, and
/// harmless.
fn usable(
    mut roots: RootCertStore,
    found: CertificateResult,
) -> Result<Arc<RootCertStore>, TlsConfigError> {
    let problems = found.errors.iter().take(MAX_PROBLEMS);
    let problems: Vec<_> = problems.map(ToString::to_string).collect();
    let problems = problems.join("; ");
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(TlsConfigError::NoSystemAuthorities { problems });
    }
    if !problems.is_empty() {
        warn_once(&problems);
    }
    Ok(Arc::new(roots))
}

fn warn_once(problems: &str) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            problems,
            "some certificate authorities of the system cannot be read"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_environment_names_and_that_cannot_be_read_is_an_error_with_both() {
        let path = Path::new("/no/such/authorities.pem");
        let error = named_by_environment(path, None).unwrap_err().to_string();
        for part in [FILE, "/no/such/authorities.pem"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn where_no_authority_is_found_the_error_says_why() {
        let missing = Path::new("/no/such/authorities");
        let found = rustls_native_certs::load_certs_from_paths(Some(missing), Some(missing));
        let none = RootCertStore::empty;
        let error = usable(none(), found).unwrap_err().to_string();
        assert!(error.contains("/no/such/authorities"), "{error}");
        let error = usable(none(), CertificateResult::default())
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("name a file with them"), "{error}");
    }

    #[test]
    fn the_bundle_of_a_system_is_no_damaged_file() {
        let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
        if bundle.exists() {
            let roots = named_by_environment(bundle, None).unwrap();
            assert!(!roots.is_empty());
        }
    }
}
