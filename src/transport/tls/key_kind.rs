//! The kind of a public key, and whether it can be used.

use std::fmt;
use std::path::Path;

use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::transport::tls_config_error::TlsConfigError;

/// The fewest bits of an RSA key that is accepted.
const MIN_RSA_BITS: usize = 2048;

/// The most bits of an RSA key that signs; longer ones of others are verified.
const MAX_SIGNING_BITS: usize = 4096;

/// The kind of a public key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// RSA, with so many bits.
    Rsa(usize),
    /// A kind that is supported.
    Good,
    /// A kind that is not, by its name or the number of its algorithm.
    Unsupported(String),
}

impl KeyKind {
    pub(super) fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = key.algorithm.algorithm.to_id_string();
        let unsupported = |name: &str| Self::Unsupported(name.to_owned());
        match &algorithm[..] {
            "1.2.840.113549.1.1.1" => match key.parsed() {
                Ok(PublicKey::RSA(key)) => Self::Rsa(key.key_size()),
                _ => Self::Good,
            },
            "1.2.840.113549.1.1.10" => unsupported("RSA-PSS"),
            "1.2.840.10045.2.1" => Self::of_curve(key),
            "1.3.101.112" => Self::Good,
            "1.3.101.113" => unsupported("Ed448"),
            "1.2.840.10040.4.1" => unsupported("DSA"),
            other => Self::Unsupported(format!("of the algorithm {other}")),
        }
    }

    fn of_curve(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let parameters = key.algorithm.parameters.as_ref();
        let curve = parameters.and_then(|parameters| parameters.as_oid().ok());
        match curve.map(|curve| curve.to_id_string()).as_deref() {
            Some("1.2.840.10045.3.1.7" | "1.3.132.0.34") => Self::Good,
            Some("1.3.132.0.35") => Self::Unsupported("P-521".to_owned()),
            Some("1.3.132.0.10") => Self::Unsupported("secp256k1".to_owned()),
            Some(other) => Self::Unsupported(format!("of the curve {other}")),
            None => Self::Unsupported("of a curve without a name".to_owned()),
        }
    }

    /// True of a key that is too short.
    pub(super) const fn is_weak(&self) -> bool {
        matches!(self, Self::Rsa(..MIN_RSA_BITS))
    }

    /// True of a key by which no signature is accepted.
    pub(super) const fn is_refused(&self) -> bool {
        self.is_weak() || matches!(self, Self::Unsupported(_))
    }

    const fn can_sign(&self) -> bool {
        matches!(
            self,
            Self::Good | Self::Rsa(MIN_RSA_BITS..=MAX_SIGNING_BITS)
        )
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA with {bits} bits"),
            Self::Good => f.write_str("supported"),
            Self::Unsupported(name) => f.write_str(name),
        }
    }
}

/// The error of a certificate and its key, which are from these files. rustls does not say of which kind a key is that it
/// cannot use; its certificate does.
pub(super) fn of_own_files(
    error: TlsConfigError,
    leaf: Option<&CertificateDer<'_>>,
    (certificate, key): (&Path, &Path),
) -> TlsConfigError {
    let source = match error {
        TlsConfigError::Refused {
            source: source @ Error::General(_),
            ..
        } => source,
        other => return other.of_files(certificate, key),
    };
    let leaf = leaf.and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let kind = leaf.map(|(_, leaf)| KeyKind::of(leaf.public_key()));
    match kind {
        Some(kind) if !kind.can_sign() => TlsConfigError::UnsupportedKey {
            path: key.to_owned(),
            kind: kind.to_string(),
            source,
        },
        _ => TlsConfigError::from(source).of_files(certificate, key),
    }
}
