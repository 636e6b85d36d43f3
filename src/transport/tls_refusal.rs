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

/// All that an error of TLS says beyond its refusal. An alert is coarse: where it may mean several things, they are named.
#[cfg(feature = "tls")]
pub(super) fn detail_of(error: &io::Error) -> String {
    let error = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>());
    let text = match error {
        Some(Error::AlertReceived(alert)) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateRequired
            | AlertDescription::ProtocolVersion => "",
            AlertDescription::CertificateExpired => {
                "or it is not valid yet, which is the same alert; look at the clocks of both ends"
            }
            AlertDescription::DecryptError => {
                "DecryptError: a key or a signature of our chain is weak, or the peer trusts another authority of the same name"
            }
            AlertDescription::HandshakeFailure => {
                "HandshakeFailure: the ends share no cipher suite or signature scheme; \
                 the key of a certificate may be of a kind that is not supported, such as P-521"
            }
            alert => return format!("its alert is {alert:?}; the peer's log may say more"),
        },
        // Nothing else says what failed.
        Some(error) if of_error(error) == TlsRefusal::Protocol => return error.to_string(),
        _ => "",
    };
    text.to_owned()
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
        // A signature of our chain cannot be verified.
        | AlertDescription::DecryptError
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

/// No error is one of TLS in a build without it.
#[cfg(not(feature = "tls"))]
pub(super) const fn detail_of(_: &io::Error) -> String {
    String::new()
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn an_alert_of_a_handshake_that_found_nothing_in_common_names_the_kinds_of_keys() {
        let error = Error::AlertReceived(AlertDescription::HandshakeFailure);
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        let expected = Some((RefusedBy::Peer, TlsRefusal::Protocol));
        assert_eq!(refusal_of(&error), expected);
        let told = detail_of(&error);
        assert!(told.starts_with("HandshakeFailure: "), "{told}");
        assert!(told.contains("kind that is not supported"), "{told}");
    }
}
