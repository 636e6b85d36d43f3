//! The TLS handshake at both ends, and what its failures mean.

use std::io;

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::client::TlsClient;
use super::server::TlsServer;
use crate::transport::certificates::CertificateChain;
use crate::transport::error::TransportError;
use crate::transport::linger::linger;
use crate::transport::refusal::{RefusedBy, TlsRefusal};
use crate::transport::stream::ByteStream;

/// A stream that is encrypted from here on, with the chain that its peer proved to own.
pub(in crate::transport) type Secured = (ByteStream, Option<CertificateChain>);

/// The bind end's part. A peer that is refused is told why before the connection closes.
pub(in crate::transport) async fn accept(
    stream: ByteStream,
    tls: &TlsServer,
) -> Result<Secured, TransportError> {
    let handshake = TlsAcceptor::from(tls.config()).accept(stream);
    secured(handshake.into_fallible().await).await
}

/// The connect end's part, with the name that the bind end's certificate has to be for.
pub(in crate::transport) async fn connect(
    stream: ByteStream,
    tls: &TlsClient,
    host: Option<&str>,
) -> Result<Secured, TransportError> {
    let name = tls.name_for(host)?;
    let handshake = TlsConnector::from(tls.config()).connect(name, stream);
    secured(handshake.into_fallible().await).await
}

async fn secured(
    shaken: Result<impl Into<TlsStream<ByteStream>>, (io::Error, ByteStream)>,
) -> Result<Secured, TransportError> {
    match shaken {
        Ok(stream) => {
            let stream = stream.into();
            let chain = CertificateChain::of_connection(stream.get_ref().1);
            Ok((ByteStream::Tls(Box::new(stream)), chain))
        }
        Err((source, stream)) => {
            linger(stream).await;
            Err(failure(source))
        }
    }
}

fn failure(source: io::Error) -> TransportError {
    match refusal_of(&source) {
        Some((by, refusal)) => TransportError::Tls {
            by,
            refusal,
            source,
        },
        None if source.kind() == io::ErrorKind::UnexpectedEof => TransportError::Tls {
            by: RefusedBy::Peer,
            refusal: TlsRefusal::Closed,
            source,
        },
        None => TransportError::Io {
            step: "the TLS handshake",
            source,
        },
    }
}

/// What a TLS error of an established stream or of a handshake says, and whose it is. With TLS 1.3
/// the refusal of a client's certificate arrives only after the client's handshake is done.
pub(in crate::transport) fn refusal_of(error: &io::Error) -> Option<(RefusedBy, TlsRefusal)> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some((RefusedBy::Peer, of_alert(*alert))),
        error => Some((RefusedBy::Us, of_error(error))),
    }
}

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

fn of_certificate_error(error: &CertificateError) -> TlsRefusal {
    match error {
        // A certificate of another authority with the same name has a signature that is not
        // this one's.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TlsRefusal::UnknownAuthority
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsRefusal::WrongName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsRefusal::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsRefusal::NotYetValid
        }
        CertificateError::Revoked => TlsRefusal::Revoked,
        CertificateError::UnknownRevocationStatus => TlsRefusal::RevocationUnknown,
        _ => TlsRefusal::BadCertificate,
    }
}

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
