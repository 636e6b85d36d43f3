//! The head of an HTTP message: read in whatever pieces it comes, limited, kept for later.

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use super::stream::Stream;
use crate::address::UpgradeFault;
use crate::transport::error::TransportError;

/// The longest head of a request or an answer (WIRE §8.7).
pub(super) const MAX_HEAD_BYTES: usize = 8 * 1024;

/// The most header fields of one; browsers send about fifteen.
pub(super) const MAX_FIELDS: usize = 100;

/// Room for one read.
const READ_BYTES: usize = 1024;

/// Splits the head, its last empty line included, off `read`, reading on until it is whole. What
/// follows stays in `read`.
pub(super) async fn read(
    stream: &mut impl Stream,
    read: &mut BytesMut,
) -> Result<Result<Bytes, UpgradeFault>, TransportError> {
    let mut searched = 0;
    loop {
        if let Some(end) = end_of_head(read, searched) {
            if end > MAX_HEAD_BYTES {
                return Ok(Err(UpgradeFault::TooLong));
            }
            return Ok(Ok(read.split_to(end).freeze()));
        }
        if read.len() >= MAX_HEAD_BYTES {
            return Ok(Err(UpgradeFault::TooLong));
        }
        // Only the end of what was searched can be the beginning of an end.
        searched = read.len();
        read.reserve(READ_BYTES);
        let io = TransportError::io("reading the HTTP head of a WebSocket upgrade");
        if stream.read_buf(read).await.map_err(io)? == 0 {
            return Ok(Err(UpgradeFault::Malformed));
        }
    }
}

/// Where the first empty line ends; `searched` bytes hold none. A lone line feed ends a line too.
fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    bytes[from..]
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(index, _)| from + index + 1)
        .find(|end| bytes[..*end].ends_with(b"\n\r\n") || bytes[..*end].ends_with(b"\n\n"))
}

/// The values of every field of one name.
pub(super) fn values<'a>(
    fields: &[httparse::Header<'a>],
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// True if a list of tokens, over all fields of one name, has this one, without regard to case.
pub(super) fn has_token(fields: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    values(fields, name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
