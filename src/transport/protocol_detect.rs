//! Detects the protocol of a peer by its first byte (WIRE §8.1).

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use super::error::TransportError;
use super::stream::ByteStream;

/// Room for the first read: a HELLO with what is pipelined behind it, or a short upgrade request.
const FIRST_READ_BYTES: usize = 1024;

/// Protocol of a peer, with the bytes that were read to find out.
#[derive(Debug)]
pub(super) enum Opening {
    /// The byte stream of WIRE §2 as it is.
    Raw(Bytes),
    /// An HTTP request.
    Http(BytesMut),
}

/// Waits for the first byte.
pub(super) async fn detect_protocol(stream: &mut ByteStream) -> Result<Opening, TransportError> {
    let mut read = BytesMut::with_capacity(FIRST_READ_BYTES);
    match stream.read_buf(&mut read).await {
        Err(error) if ends_a_probe(&error) => return Err(TransportError::Silent),
        read => read.map_err(TransportError::io("reading the first byte"))?,
    };
    match read.first().copied() {
        // The length of HELLO is 18, so its prefix begins with a zero.
        Some(0x00) => Ok(Opening::Raw(read.freeze())),
        // `GET`.
        Some(b'G') => Ok(Opening::Http(read)),
        // The record type of a TLS handshake.
        Some(0x16) => Err(TransportError::TlsOnPlainPort),
        Some(first_byte) => Err(TransportError::UnknownProtocol { first_byte }),
        None => Err(TransportError::Silent),
    }
}

/// As health probes end what they began: by a reset, or below TLS without a word.
fn ends_a_probe(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
    )
}
