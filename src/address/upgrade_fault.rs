//! Faults of a WebSocket upgrade.

/// Reasons why an HTTP request did not become a WebSocket connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeFault {
    /// A plain GET, as from a browser's address bar; answered with 426.
    #[error("a plain GET, no WebSocket upgrade")]
    PlainGet,
    /// Another version than 13; answered with 426.
    #[error("a WebSocket version that is not 13")]
    Version,
    /// The `Upgrade` header does not ask for `websocket`, or the request is not HTTP/1.1; answered
    /// with 400.
    #[error("no Upgrade: websocket")]
    NoUpgrade,
    /// The `Connection` header does not name `Upgrade`; answered with 400.
    #[error("no Connection: Upgrade")]
    NoConnection,
    /// The key is missing, or not sixteen bytes of base64; answered with 400.
    #[error("no valid Sec-WebSocket-Key")]
    Key,
    /// The origin is not among those that were allowed; answered with 403.
    #[error("an origin that is not allowed")]
    Origin,
    /// The header is over 8 KiB or has more than 100 fields; answered with 431.
    #[error("a header that is too long")]
    TooLong,
    /// Not an HTTP request, or one that ended early; answered with 400.
    #[error("a malformed request")]
    Malformed,
}

impl UpgradeFault {
    /// The status that the request is answered with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::PlainGet | Self::Version => 426,
            Self::NoUpgrade | Self::NoConnection | Self::Key | Self::Malformed => 400,
            Self::Origin => 403,
            Self::TooLong => 431,
        }
    }
}
