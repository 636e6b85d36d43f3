//! The TLS handshake at both ends, and what its failures mean.

use std::io;

use tokio_rustls::rustls::CommonState;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::client::TlsClient;
use super::explain::{Explanation, explained};
use super::server::TlsServer;
use crate::address::{CertificateChain, RefusedBy, TlsRefusal};
use crate::transport::error::TransportError;
use crate::transport::graceful_close::close_gracefully;
use crate::transport::stream::ByteStream;
use crate::transport::tls_refusal::{detail_of, refusal_of};

/// A stream that is encrypted from here on, with the chain that its peer proved to own.
pub(in crate::transport) type Secured = (ByteStream, Option<CertificateChain>);

/// The bind end's part. A peer that is refused is told why before the connection closes.
pub(in crate::transport) async fn accept(
    stream: ByteStream,
    tls: &TlsServer,
) -> Result<Secured, TransportError> {
    let handshake = TlsAcceptor::from(tls.config()).accept(stream);
    let secured = secured(explained(handshake.into_fallible()).await).await;
    secured.map_err(|error| match error {
        // So end probes what they began, once they have seen the certificate.
        TransportError::Io { source, .. } if is_reset(&source) => TransportError::Silent,
        other => other,
    })
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// The connect end's part, with the name that the bind end's certificate has to be for.
pub(in crate::transport) async fn connect(
    stream: ByteStream,
    tls: &TlsClient,
    host: Option<&str>,
) -> Result<Secured, TransportError> {
    let name = tls.name_for(host)?;
    let handshake = TlsConnector::from(tls.config()).connect(name, stream);
    secured(explained(handshake.into_fallible()).await).await
}

async fn secured(
    (shaken, explanation): (
        Result<impl Into<TlsStream<ByteStream>>, (io::Error, ByteStream)>,
        Option<Explanation>,
    ),
) -> Result<Secured, TransportError> {
    match shaken {
        Ok(stream) => {
            let stream = stream.into();
            let chain = verified_chain(stream.get_ref().1);
            Ok((ByteStream::Tls(Box::new(stream)), chain))
        }
        Err((source, stream)) => {
            close_gracefully(stream).await;
            Err(failure(source, explanation))
        }
    }
}

fn failure(source: io::Error, explanation: Option<Explanation>) -> TransportError {
    match refusal_of(&source) {
        Some((by, refusal)) => {
            // An explanation is of what we refused.
            let explanation = explanation.filter(|_| by == RefusedBy::Us);
            let (better, detail) = match explanation {
                Some(Explanation { refusal, detail }) => (refusal, detail),
                None => (None, detail_of(&source)),
            };
            let refusal = better.unwrap_or(refusal);
            TransportError::Tls {
                by,
                refusal,
                detail,
                source,
            }
        }
        None if source.kind() == io::ErrorKind::UnexpectedEof => TransportError::Tls {
            by: RefusedBy::Peer,
            refusal: TlsRefusal::Closed,
            detail: String::new(),
            source,
        },
        None => TransportError::Io {
            step: "the TLS handshake",
            source,
        },
    }
}

/// The certificate chain that the peer of a TLS connection has proved to own, if it has shown one.
pub(crate) fn verified_chain(connection: &CommonState) -> Option<CertificateChain> {
    Some(CertificateChain::from_der(connection.peer_certificates()?))
}
