//! What the bind end answers to an HTTP request.

use std::io;

use tokio::io::AsyncWriteExt;

use crate::transport::error::TransportError;
use crate::transport::linger::linger;
use crate::transport::stream::ByteStream;

/// Why an HTTP request did not become a WebSocket connection.
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

    const fn phrase(self) -> &'static str {
        match self.status() {
            426 => "Upgrade Required",
            403 => "Forbidden",
            431 => "Request Header Fields Too Large",
            _ => "Bad Request",
        }
    }

    /// What a person reads who opens the port in a browser.
    const fn explanation(self) -> &'static str {
        match self {
            Self::PlainGet => {
                "Programs core messages here, over the aiomsg protocol, on plain sockets or \
                 WebSocket. There is nothing to see in a browser's address bar: a page connects \
                 with <code>new WebSocket(url)</code>."
            }
            Self::Version => "This port speaks version 13 of WebSocket and no other.",
            Self::NoUpgrade => {
                "A WebSocket request is HTTP/1.1 and has the header <code>Upgrade: \
                 websocket</code>. A proxy in between may have removed it."
            }
            Self::NoConnection => {
                "A WebSocket request has the header <code>Connection: Upgrade</code>. A proxy in \
                 between may have removed it."
            }
            Self::Key => {
                "A WebSocket request has one header <code>Sec-WebSocket-Key</code> with 16 bytes \
                 in base64."
            }
            Self::Origin => "This port does not serve pages of your origin.",
            Self::TooLong => "The header of a request may have 8 KiB and 100 fields here.",
            Self::Malformed => "This is not an HTTP request that can be understood.",
        }
    }

    /// The same as a page.
    pub(crate) fn page(self) -> String {
        let (status, phrase) = (self.status(), self.phrase());
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{status} {phrase}</title>\n<h1>This is a message socket</h1>\n<p>{}</p>\n\
             </html>\n",
            self.explanation()
        )
    }
}

/// Agrees: what follows are frames.
pub(super) async fn switch(stream: &mut ByteStream, accept: &str) -> Result<(), TransportError> {
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    write(stream, &answer)
        .await
        .map_err(TransportError::io("answering a WebSocket upgrade"))
}

/// Says what is wrong, and closes once that was read.
pub(super) async fn refuse(mut stream: ByteStream, fault: UpgradeFault) {
    let (status, phrase, page) = (fault.status(), fault.phrase(), fault.page());
    let upgrade = match status {
        426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade, close\r\n",
        _ => "Connection: close\r\n",
    };
    let answer = format!(
        "HTTP/1.1 {status} {phrase}\r\n{upgrade}\
         Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    // A peer that is gone needs no answer.
    if write(&mut stream, &answer).await.is_ok() {
        linger(stream).await;
    }
}

async fn write(stream: &mut ByteStream, answer: &str) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await
}
