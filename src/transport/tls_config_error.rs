//! Why a TLS configuration cannot be built.

use std::path::PathBuf;

use tokio_rustls::rustls::pki_types::pem;
use tokio_rustls::rustls::{self, server::VerifierBuilderError};

/// A TLS configuration cannot be built or reloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read, is not PEM, or holds nothing of the kind that is wanted.
    #[error("cannot read {wanted} from {}: {source}", path.display())]
    Read {
        /// What the file should hold: a certificate, a private key or a revocation list.
        wanted: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// rustls refuses what the files hold: a key of another certificate, for instance.
    #[error("rustls refuses the certificate, the key or the authority: {source}")]
    Refused {
        /// What rustls answered.
        #[from]
        source: rustls::Error,
    },
    /// No verifier can be made of the authorities and revocation lists.
    #[error("the authorities or revocation lists cannot be used: {source}")]
    Verifier {
        /// What rustls answered.
        #[from]
        source: VerifierBuilderError,
    },
    /// The operating system offers no authority to trust.
    #[error("the operating system has no certificate authorities; name a file with them")]
    NoSystemAuthorities,
    /// The name is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name nor an IP address, so no certificate can be for it")]
    ServerName {
        /// The name as it was given.
        name: String,
    },
    /// A revocation list without an authority file: what the operating system trusts has too many
    /// authorities for one list.
    #[error("revocation lists need the authority they belong to; name its file too")]
    RevocationsWithoutAuthority,
    /// The configuration was not built from files, so there is nothing to read again.
    #[error("the configuration was not built from files; replace it instead")]
    NotFromFiles,
}
