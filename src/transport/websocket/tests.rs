//! Upgrades and frames at byte level: a scripted client against the bind end, a scripted server
//! against the connect end.

mod connect_end_tests;
mod frames_tests;
mod heartbeats_tests;
mod upgrade_tests;
mod with_tungstenite_tests;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::frame::{FrameHeader, Opcode, put_frame};
use super::*;
use crate::address::{Endpoint, Role, TransportKind, UpgradeFault, WebSocketViolation};
use crate::transport::request_headers::RequestHeaders;
use crate::transport::{
    Acceptor, BindOptions, ByteStream, ConnectOptions, Established, TransportError, dial,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

type Outcome = Result<Established, TransportError>;

/// A request with these lines between the first and the empty one.
fn request(lines: &[&str]) -> String {
    let mut request = String::from("GET /some/path?q HTTP/1.1\r\n");
    for line in lines {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request + "\r\n"
}

fn good_request() -> String {
    request(&[
        "Host: example",
        "Upgrade: WebSocket",
        "Connection: keep-alive, Upgrade",
        &format!("Sec-WebSocket-Key: {KEY}"),
        "Sec-WebSocket-Version: 13",
        "Origin: https://app.example",
        "Cookie: token=1",
    ])
}

/// A frame as a client sends it.
fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_frame(&mut out, opcode, Role::ConnectEnd, std::iter::once(payload));
    out.to_vec()
}

/// A connection to a bind end with these options: the scripted side, and our side to be
/// established.
async fn connect(options: BindOptions) -> (ByteStream, crate::transport::Accepted) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("mem://websocket-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let acceptor = Acceptor::listen(&name.parse().unwrap(), &options, &Default::default())
        .await
        .unwrap();
    let client = dial(&acceptor.endpoint(), &ConnectOptions::new())
        .await
        .unwrap();
    (client.stream, acceptor.accept().await.unwrap())
}

/// Sends `opening` in one write: what the bind end makes of it, and all that the client reads
/// until it is closed.
async fn refuse(opening: &[u8], options: BindOptions) -> (Outcome, String) {
    let (mut client, accepted) = connect(options).await;
    client.write_all(opening).await.unwrap();
    let mut answer = String::new();
    let (outcome, ()) = tokio::join!(accepted.establish(), async {
        client.read_to_string(&mut answer).await.unwrap();
        client.shutdown().await.unwrap();
    });
    (outcome, answer)
}

/// A client whose upgrade succeeded, with `more` sent behind the request in the same write.
async fn upgrade(more: &[u8]) -> (ByteStream, Established) {
    let (mut client, accepted) = connect(BindOptions::new()).await;
    client
        .write_all(&[good_request().as_bytes(), more].concat())
        .await
        .unwrap();
    let server = accepted.establish().await.unwrap();
    assert_eq!(
        read_head(&mut client).await.lines().next(),
        Some("HTTP/1.1 101 Switching Protocols")
    );
    (client, server)
}

async fn read_head(stream: &mut ByteStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A frame of the server's with at most 125 bytes: its first byte and its payload.
async fn read_frame(stream: &mut ByteStream) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    let length = stream.read_u8().await.unwrap();
    assert!(length <= 125, "masked or long: {length}");
    let mut payload = vec![0; length.into()];
    stream.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

fn close_frame(code: u16) -> (u8, Vec<u8>) {
    (0x88, code.to_be_bytes().to_vec())
}

#[test]
fn an_idle_connection_is_small() {
    assert!(
        size_of::<WebSocketStream<ByteStream>>() <= 256,
        "{}",
        size_of::<WebSocketStream<ByteStream>>()
    );
}

#[cfg(feature = "tls-dev")]
#[tokio::test]
async fn wss_is_served_by_the_tls_port() {
    let dev = crate::transport::tls::Tls::dev();
    let options = BindOptions::new().tls(dev.server());
    let endpoint = "wss://127.0.0.1:0/any".parse().unwrap();
    let acceptor = Acceptor::listen(&endpoint, &options, &Default::default())
        .await
        .unwrap();
    let endpoint = acceptor.endpoint();
    let options = ConnectOptions::new().tls(dev.client());
    let (client, server) = tokio::join!(dial(&endpoint, &options), async {
        acceptor.accept().await.unwrap().establish().await
    });
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(client.meta.transport, TransportKind::Wss);
    assert_eq!(server.meta.transport, TransportKind::Wss);
    client.stream.write_all(b"over both").await.unwrap();
    client.stream.flush().await.unwrap();
    let mut received = [0; 9];
    server.stream.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"over both");
}
