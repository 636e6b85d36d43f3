//! Why a TLS configuration cannot be built.

use std::io;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::{self, server::VerifierBuilderError};

use super::tls_certificate_fault::fault_of;

/// A TLS configuration cannot be built or reloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read, is not PEM, or holds nothing of the kind that is wanted. A file of which any entry of that
    /// kind cannot be read is refused as a whole.
    #[error("cannot read {wanted} from {}: {problem}", path.display())]
    Read {
        /// Expected content of the file: a certificate, a private key or a revocation list.
        wanted: &'static str,
        /// The file.
        path: PathBuf,
        /// The fault of the file, and what to do.
        problem: PemProblem,
    },
    /// rustls refuses what the files hold: a key of another certificate, for instance.
    #[error("{}", refused(files.as_deref(), source))]
    Refused {
        /// The files of the certificate and of the key, where it is they that do not fit together.
        files: Option<Box<(PathBuf, PathBuf)>>,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// The key of the own certificate is of a kind that cannot be used.
    #[error(
        "the key in {} is {kind}, which cannot be used; use P-256, or RSA with 2048 bits",
        path.display()
    )]
    #[non_exhaustive]
    UnsupportedKey {
        /// The file of the key.
        path: PathBuf,
        /// The kind of the key, and its length where that is the fault.
        kind: String,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// No verifier can be made of the authorities and revocation lists.
    #[error("the authorities or revocation lists cannot be used: {source}")]
    Verifier {
        /// The error of rustls.
        #[from]
        source: VerifierBuilderError,
    },
    /// The operating system offers no authority to trust.
    #[error(
        "the operating system has no certificate authorities; name a file with them{}",
        behind(.problems)
    )]
    #[non_exhaustive]
    NoSystemAuthorities {
        /// What went wrong as they were looked for, if anything did.
        problems: String,
    },
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

fn behind(problems: &str) -> String {
    match problems {
        "" => String::new(),
        problems => format!(" ({problems})"),
    }
}

impl From<rustls::Error> for TlsConfigError {
    fn from(source: rustls::Error) -> Self {
        Self::Refused {
            files: None,
            source,
        }
    }
}

impl TlsConfigError {
    /// The error of a certificate and its key, which are from these files.
    pub(super) fn of_files(self, certificate: &Path, key: &Path) -> Self {
        match self {
            Self::Refused { source, .. } => Self::Refused {
                files: Some(Box::new((certificate.to_owned(), key.to_owned()))),
                source,
            },
            other => other,
        }
    }
}

fn refused(files: Option<&(PathBuf, PathBuf)>, source: &rustls::Error) -> String {
    let Some((certificate, key)) = files else {
        return format!("rustls refuses the certificate, the key or the authority: {source}");
    };
    let (certificate, key) = (certificate.display(), key.display());
    match source {
        rustls::Error::InconsistentKeys(_) => format!(
            "the key in {key} is not that of the first certificate in {certificate}: {source}"
        ),
        rustls::Error::InvalidCertificate(error) => format!(
            "rustls refuses the certificate in {certificate}: {}",
            fault_of(error)
        ),
        _ => format!(
            "rustls refuses the certificate in {certificate} with the key in {key}: {source}"
        ),
    }
}

/// A PEM file cannot be used. Its entries, of every kind, are counted from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemProblem {
    /// The system refused to read it.
    #[error("{0}")]
    Io(io::Error),
    /// There is no entry of the kind that is wanted.
    #[error("it holds none, {instead}")]
    #[non_exhaustive]
    Nothing {
        /// What the file is or holds instead, and what to do.
        instead: String,
    },
    /// The file is DER, the binary form.
    #[error(
        "it is DER; convert it: openssl x509 (or pkey, crl) -inform DER -in FILE -out FILE.pem"
    )]
    Der,
    /// The file is text in UTF-16.
    #[error("it is UTF-16 text; save it as UTF-8 or ASCII")]
    Utf16,
    /// A private key is encrypted, and there is nobody to ask for its password.
    #[error("entry {entry} is encrypted; decrypt it: openssl pkey -in FILE -out FILE.key")]
    Encrypted {
        /// The number of the entry.
        entry: usize,
    },
    /// A certificate is in a form of OpenSSL's own, with trust settings.
    #[error(
        "entry {entry} is a TRUSTED CERTIFICATE, which only OpenSSL reads; convert it: openssl x509 -in FILE -out FILE.pem"
    )]
    Trusted {
        /// The number of the entry.
        entry: usize,
    },
    /// An entry has a `BEGIN` line and no `END` line of its own.
    #[error(
        "entry {entry} has no END line of its own; the file was cut off, or joined to another one without a line break"
    )]
    Unfinished {
        /// The number of the entry.
        entry: usize,
    },
    /// The lines of an entry are not base64.
    #[error("entry {entry} is not base64; the file is damaged")]
    Base64 {
        /// The number of the entry.
        entry: usize,
    },
    /// An entry can be read, and is not what it should be.
    #[error("entry {entry} cannot be used: {reason}")]
    Unusable {
        /// The number of the entry.
        entry: usize,
        /// The fault.
        reason: String,
    },
}
