//! Reasons why a connection ended before it carried anything.

use crate::address::{RefusedBy, TlsRefusal, UpgradeFault};
use crate::wire::{Oversize, PROTOCOL_VERSION};

/// Reasons why a connection ended before it carried anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The bind end is not there: its name has no address, or nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke, or could not be set up as it is configured.
    #[error("{0}")]
    Transport(String),
    /// TLS was not agreed on.
    #[error("no TLS connection, {by}: {refusal}{}", Behind(.detail))]
    Tls {
        /// The end that gave up.
        by: RefusedBy,
        /// The check that failed, and what to do.
        refusal: TlsRefusal,
        /// Subject, issuer and expiry of the certificate that we refused. At the end whose certificate was refused, all that
        /// the alert of the peer may mean. Empty where no more is known than the check.
        detail: String,
    },
    /// The peer spoke TLS to an endpoint that was bound without it.
    #[error("the peer speaks TLS, but the endpoint is plain; bind it with BindOptions::tls")]
    TlsOnPlainPort,
    /// The first byte is neither that of a HELLO nor that of an HTTP request.
    #[error("the peer speaks another protocol: its first byte is {first_byte:#04x}{}", as_text(*first_byte))]
    UnknownProtocol {
        /// The first byte.
        first_byte: u8,
    },
    /// An HTTP request asked for no WebSocket, or wrongly (WIRE §8.2).
    #[error("an HTTP request was refused: {0}")]
    Upgrade(UpgradeFault),
    /// An HTTP request named the origin that is here, which is not among those that were allowed.
    #[error("an HTTP request was refused: its origin, {0}, is not allowed")]
    OriginRefused(String),
    /// The bind end, or a proxy before it, answered the WebSocket upgrade with 401: it wants to know who we
    /// are. Say so with [`ConnectOptions::header`](crate::ConnectOptions::header).
    #[error("the bind end answered 401 Unauthorized: it wants credentials, or other ones")]
    UpgradeUnauthorized,
    /// The bind end, or a proxy before it, answered the WebSocket upgrade with 403: we may not come in, or not
    /// from this origin.
    #[error("the bind end answered 403 Forbidden: we may not come in")]
    UpgradeForbidden,
    /// The bind end, or a proxy before it, did not agree to the WebSocket that was asked for.
    #[error("{0}")]
    UpgradeDenied(String),
    /// The first length prefix is above what a HELLO may have (WIRE §4.5).
    #[error("before HELLO, {0}")]
    Oversize(#[from] Oversize),
    /// The first frame is empty.
    #[error("the first frame is empty")]
    Empty,
    /// The first frame has another type, which is here.
    #[error("the first frame has type {0:#04x} and is not a HELLO")]
    NotHello(u8),
    /// The peer speaks another version of the protocol, which is here.
    #[error("the peer speaks version {0} of the protocol and we speak {PROTOCOL_VERSION}")]
    Version(u8),
    /// The HELLO is too short for its version and identity.
    #[error("a HELLO of {length} bytes is too short")]
    Short {
        /// Bytes of the envelope, its type included.
        length: usize,
    },
    /// The peer ended its stream first, as port scanners do, and bind ends that refuse us.
    #[error("the peer closed the connection {}", how_far(*received))]
    Ended {
        /// Bytes of an unfinished HELLO that had come.
        received: usize,
    },
    /// The handshake timeout passed (WIRE §4.6).
    #[error("the handshake was not finished in time")]
    TimedOut,
    /// As many handshakes were in progress as may be, and this one had waited for longest.
    #[error("a newer handshake took the place of this one")]
    Displaced,
    /// The identity is connected already; the older connection stays (WIRE §4.3).
    #[error("the peer is connected already")]
    Duplicate,
    /// The peer has our own identity: the socket connected to itself (WIRE §4.3).
    #[error("the peer has our own identity")]
    Itself,
    /// The authorizer refused the peer, for the reason that is here.
    #[error("the peer may not come in: {0}")]
    Unauthorized(String),
    /// The authorizer did not decide within its deadline.
    #[error("the authorizer did not decide in time")]
    AuthorizationTimedOut,
    /// The authorizer panicked, or its actor is gone.
    #[error("the authorizer failed")]
    AuthorizerFailed,
    /// The bind end told us over WebSocket, by close code 1008, that it does not want us: its
    /// authorizer refused us, or we are connected to it already.
    #[error("the bind end does not want us")]
    NotWanted,
    /// The socket has as many connections as it may.
    #[error("the connection limit is reached")]
    LimitReached,
}

impl RefusalReason {
    /// The other side went away before it had said anything, as health probes and port scanners do.
    pub(crate) const fn is_silence(&self) -> bool {
        matches!(self, Self::Ended { received: 0 })
    }
}

/// The first byte of a protocol of text, as it is read there.
fn as_text(first_byte: u8) -> String {
    match first_byte.is_ascii_uppercase() {
        true => format!(
            " ({:?}, as HTTP requests and other text protocols begin)",
            char::from(first_byte)
        ),
        false => String::new(),
    }
}

/// How far a handshake came that the peer ended.
fn how_far(received: usize) -> String {
    match received {
        0 => "without a word; if it is a bind end, its log says why".to_owned(),
        some => format!("{some} bytes into the handshake"),
    }
}

/// Details in brackets, if there are any.
struct Behind<'a>(&'a str);

impl std::fmt::Display for Behind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            "" => Ok(()),
            detail => write!(f, " ({detail})"),
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_first_byte_that_is_a_capital_letter_is_told_as_text() {
        let told = |first_byte| RefusalReason::UnknownProtocol { first_byte }.to_string();
        let post = told(b'P');
        assert!(
            post.ends_with("0x50 ('P', as HTTP requests and other text protocols begin)"),
            "{post}"
        );
        assert!(told(0xa5).ends_with("0xa5"));
    }
}
