//! The limit: tokio streams with the same frames, batched writes, and nothing else.

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::process::tell;
#[cfg(feature = "tls-dev")]
use super::secrets::Secrets;

pub(crate) const WRITE_BYTES: usize = 32 * 1024;
pub(crate) const READ_BYTES: usize = 256 * 1024;
/// From this size on a payload is not copied into the batch.
const GATHER_FROM: usize = 8 * 1024;
pub(crate) const HEADER_BYTES: usize = 5;
const DATA: u8 = 0x03;

/// Listens, and tells where.
pub(crate) async fn bind() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    tell(listener.local_addr().expect("a bound address"));
    listener
}

pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("a connection");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

/// TLS over what was accepted.
#[cfg(feature = "tls-dev")]
pub(crate) async fn accept_tls(
    stream: TcpStream,
    secrets: &Secrets,
) -> impl AsyncRead + Unpin + use<> {
    let acceptor = tokio_rustls::TlsAcceptor::from(secrets.server());
    acceptor.accept(stream).await.expect("a handshake")
}

/// TLS over what was connected.
#[cfg(feature = "tls-dev")]
pub(crate) async fn connect_tls(
    stream: TcpStream,
    secrets: &Secrets,
) -> impl AsyncWrite + Unpin + use<> {
    let connector = tokio_rustls::TlsConnector::from(secrets.client());
    let name = "127.0.0.1".try_into().expect("an address");
    let stream = connector.connect(name, stream).await;
    stream.expect("a handshake")
}

pub(crate) fn put_header(batch: &mut Vec<u8>, payload: usize) {
    let length = u32::try_from(payload + 1).expect("it is small");
    batch.extend_from_slice(&length.to_be_bytes());
    batch.push(DATA);
}

pub(crate) async fn send(stream: &mut (impl AsyncWrite + Unpin), payload: &[u8], messages: u64) {
    let mut batch = Vec::with_capacity(2 * WRITE_BYTES);
    for number in 1..=messages {
        put_header(&mut batch, payload.len());
        if payload.len() >= GATHER_FROM {
            stream.write_all(&batch).await.expect("it reads");
            batch.clear();
            for piece in payload.chunks(WRITE_BYTES) {
                stream.write_all(piece).await.expect("it reads");
            }
            continue;
        }
        batch.extend_from_slice(payload);
        if batch.len() >= WRITE_BYTES || number == messages {
            stream.write_all(&batch).await.expect("it reads");
            batch.clear();
        }
    }
    stream.flush().await.expect("it reads");
}

/// Reads until the other end has gone, cuts out each payload, and says how many came.
pub(crate) async fn receive(mut stream: impl AsyncRead + Unpin, mut came: impl FnMut(u64)) {
    let mut buffer = read_buffer();
    loop {
        buffer.reserve(READ_BYTES);
        match stream.read_buf(&mut buffer).await {
            Ok(read) if read > 0 => came(cut(&mut buffer, |payload| {
                std::hint::black_box(payload);
            })),
            _ => return,
        }
    }
}

/// What is read into; twice a read, so that it is used again once its frames are dropped.
pub(crate) fn read_buffer() -> BytesMut {
    BytesMut::with_capacity(2 * READ_BYTES)
}

/// Cuts whole frames out of what was read, and yields how many there were.
pub(crate) fn cut(buffer: &mut BytesMut, mut each: impl FnMut(Bytes)) -> u64 {
    let read = std::mem::take(buffer).freeze();
    let (mut at, mut messages) = (0, 0);
    while let Some(length) = read[at..].first_chunk::<4>() {
        let end = at + 4 + u32::from_be_bytes(*length) as usize;
        if end > read.len() {
            break;
        }
        each(read.slice(at + HEADER_BYTES..end));
        at = end;
        messages += 1;
    }
    // Unless a frame is still held, this is the buffer itself.
    *buffer = BytesMut::from(read);
    buffer.advance(at);
    messages
}
