//! TLS refusals, read from the errors of rustls.

use std::io;

#[cfg(feature = "tls")]
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible,
};

use crate::address::{RefusedBy, TlsRefusal};

/// The refusal behind an IO error of a TLS stream, and who refused. `None` if the error is none of TLS.
///
/// An established stream can have one, too: with TLS 1.3 the refusal of a client's certificate
/// arrives only after the client's handshake is done.
#[cfg(feature = "tls")]
pub(crate) fn refusal_of(error: &io::Error) -> Option<(RefusedBy, TlsRefusal)> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some((RefusedBy::Peer, of_alert(*alert))),
        error => Some((RefusedBy::Us, of_error(error))),
    }
}

#[cfg(feature = "tls")]
fn of_error(error: &Error) -> TlsRefusal {
    match error {
        Error::NoCertificatesPresented => TlsRefusal::NoCertificate,
        Error::InvalidCertificate(error) => of_certificate_error(error),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => TlsRefusal::PlainText,
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => TlsRefusal::Version,
        _ => TlsRefusal::Protocol,
    }
}

#[cfg(feature = "tls")]
fn of_certificate_error(error: &CertificateError) -> TlsRefusal {
    match error {
        // A certificate of another authority with the same name has a signature that is not
        // this one's.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TlsRefusal::UnknownAuthority
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            TlsRefusal::NoName
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsRefusal::WrongName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsRefusal::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsRefusal::NotYetValid
        }
        #[expect(deprecated, reason = "providers may still say it")]
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            TlsRefusal::WeakSignature
        }
        CertificateError::Revoked => TlsRefusal::Revoked,
        CertificateError::UnknownRevocationStatus => TlsRefusal::RevocationUnknown,
        _ => TlsRefusal::BadCertificate,
    }
}

#[cfg(feature = "tls")]
fn of_alert(alert: AlertDescription) -> TlsRefusal {
    match alert {
        AlertDescription::UnknownCA => TlsRefusal::UnknownAuthority,
        AlertDescription::CertificateExpired => TlsRefusal::Expired,
        AlertDescription::CertificateRevoked => TlsRefusal::Revoked,
        AlertDescription::CertificateRequired => TlsRefusal::NoCertificate,
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => TlsRefusal::BadCertificate,
        AlertDescription::ProtocolVersion => TlsRefusal::Version,
        _ => TlsRefusal::Protocol,
    }
}

/// No error is one of TLS in a build without it.
#[cfg(not(feature = "tls"))]
pub(crate) const fn refusal_of(_: &io::Error) -> Option<(RefusedBy, TlsRefusal)> {
    None
}
