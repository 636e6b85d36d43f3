//! Why a connection could not be established.

use std::io;
use std::time::Duration;

use super::tls_refusal::{detail_of, refusal_of};
use crate::address::{Endpoint, PeerAddress, RefusedBy, TlsRefusal, UpgradeFault};
use crate::event::RefusalReason;

/// A connection could not be established. Each variant names the step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The host of the endpoint could not be resolved.
    #[error("cannot resolve the host of {endpoint}: {source}")]
    Resolve {
        /// The endpoint that was dialled.
        endpoint: Endpoint,
        /// Error of the resolver.
        source: io::Error,
    },
    /// The system refused the connection or could not reach the peer.
    #[error("cannot connect to {endpoint}{}: {source}", at(address))]
    Connect {
        /// The endpoint that was dialled.
        endpoint: Endpoint,
        /// The last address that was tried.
        address: PeerAddress,
        /// Error of the system.
        source: io::Error,
    },
    /// The peer did not answer within the connect timeout.
    #[error("no answer from {endpoint}{} within {timeout:?}", at(address))]
    ConnectTimeout {
        /// The endpoint that was dialled.
        endpoint: Endpoint,
        /// The last address that was tried.
        address: PeerAddress,
        /// The timeout that ended.
        timeout: Duration,
    },
    /// The connection broke, or the system refused an option, while it was being established.
    #[error("the connection failed at {step}: {source}")]
    Io {
        /// The step that failed.
        step: &'static str,
        /// Error of the system.
        source: io::Error,
    },
    /// The TLS handshake failed; `refusal` says which check.
    #[error("no TLS connection, {by}: {refusal}")]
    Tls {
        /// The end that gave up.
        by: RefusedBy,
        /// The check that failed.
        refusal: TlsRefusal,
        /// Description of the certificate, or of the peer's alert; empty if nothing is known.
        detail: String,
        /// Error of rustls.
        source: io::Error,
    },
    /// The TLS configuration of this end cannot be used.
    #[cfg(feature = "tls")]
    #[error("the TLS configuration cannot be used: {source}")]
    TlsConfig {
        /// The fault of the configuration.
        #[from]
        source: super::tls_config_error::TlsConfigError,
    },
    /// The peer closed before it had sent anything for us, as port scanners and health checks do. Over TLS some of them
    /// begin a handshake first.
    #[error("the peer closed before it sent its first byte")]
    Silent,
    /// The peer spoke TLS to an endpoint that was bound without it.
    #[error("the peer speaks TLS, but the endpoint is plain; bind it with BindOptions::tls")]
    TlsOnPlainPort,
    /// The peer speaks neither the protocol nor HTTP.
    #[error("the peer speaks another protocol: its first byte is {first_byte:#04x}")]
    UnknownProtocol {
        /// The first byte that it sent.
        first_byte: u8,
    },
    /// An HTTP request did not become a WebSocket connection, and was answered so.
    #[error("an HTTP request was refused: {fault}")]
    UpgradeRefused {
        /// The fault of the request.
        fault: UpgradeFault,
    },
    /// An HTTP request named an origin that is not allowed, and was answered so.
    #[error("an HTTP request was refused: its origin, {origin}, is not allowed")]
    OriginRefused {
        /// The origin, cut short and escaped.
        origin: String,
    },
    /// The bind end, or a proxy before it, answered the WebSocket upgrade with another status.
    #[error("the WebSocket upgrade was answered with status {status}: {advice}")]
    UpgradeStatus {
        /// The HTTP status.
        status: u16,
        /// What it means, and what to do.
        advice: String,
    },
    /// The headers of the WebSocket upgrade cannot be sent.
    #[error("no WebSocket upgrade was asked for: {problem}")]
    Headers {
        /// The fault.
        problem: String,
    },
    /// The answer to the WebSocket upgrade is not one.
    #[error("the answer to the WebSocket upgrade is wrong: {what}")]
    UpgradeAnswer {
        /// The bytes that came instead.
        what: &'static str,
    },
}

/// The address that was tried, unless the endpoint says it.
fn at(address: &PeerAddress) -> String {
    match address {
        PeerAddress::Unix { .. } | PeerAddress::Memory(_) => String::new(),
        address => format!(" at {address}"),
    }
}

impl TransportError {
    /// A stream failed while `step` was done. With TLS 1.3 the refusal of a client's certificate
    /// comes only now.
    pub(crate) fn broken(step: &'static str, source: io::Error) -> Self {
        match refusal_of(&source) {
            Some((by, refusal)) => Self::Tls {
                by,
                refusal,
                detail: detail_of(&source),
                source,
            },
            None => Self::Io { step, source },
        }
    }

    /// The scheme is not available in this build or on this system.
    #[cfg(not(all(unix, feature = "tls")))]
    pub(super) fn unsupported() -> Self {
        Self::Io {
            step: "choosing the transport",
            source: io::ErrorKind::Unsupported.into(),
        }
    }

    /// For `map_err`: an IO error while `step` was done.
    pub(super) fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::broken(step, source)
    }
}

impl From<TransportError> for RefusalReason {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Resolve { .. }
            | TransportError::Connect { .. }
            | TransportError::ConnectTimeout { .. } => Self::Unreachable(describe(&error)),
            TransportError::Io { .. } | TransportError::Headers { .. } => {
                Self::Transport(describe(&error))
            }
            #[cfg(feature = "tls")]
            TransportError::TlsConfig { .. } => Self::Transport(describe(&error)),
            TransportError::Tls {
                by,
                refusal,
                detail,
                ..
            } => Self::Tls {
                by,
                refusal,
                detail,
            },
            TransportError::Silent => Self::Ended { received: 0 },
            TransportError::TlsOnPlainPort => Self::TlsOnPlainPort,
            TransportError::UnknownProtocol { first_byte } => Self::UnknownProtocol { first_byte },
            TransportError::UpgradeRefused { fault } => Self::Upgrade(fault),
            TransportError::OriginRefused { origin } => Self::OriginRefused(origin),
            TransportError::UpgradeStatus { status: 401, .. } => Self::UpgradeUnauthorized,
            TransportError::UpgradeStatus { status: 403, .. } => Self::UpgradeForbidden,
            TransportError::UpgradeStatus { .. } | TransportError::UpgradeAnswer { .. } => {
                Self::UpgradeDenied(describe(&error))
            }
        }
    }
}

/// An error with what caused it, in one line; a cause that the error quotes is not repeated.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.ends_with(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = error.source();
    }
    text
}
