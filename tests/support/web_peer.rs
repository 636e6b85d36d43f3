//! A WebSocket peer that is scripted frame by frame, over another implementation of WebSocket.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::raw_peer::{self, DATA, Frame, HEARTBEAT, HELLO};
use super::within_patience;

/// Whatever a WebSocket runs over.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A WebSocket connection that says exactly what the test says.
pub struct WebPeer {
    pub stream: WebSocketStream<Box<dyn Io>>,
    read: BytesMut,
}

/// An upgrade request for a path, with one more header field.
pub fn request(path: &str, name: &str, value: &str) -> Request {
    Request::builder()
        .uri(format!("ws://localhost{path}"))
        .header("Host", "localhost")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header(name, value)
        .body(())
        .expect("a valid request")
}

impl WebPeer {
    /// Connects and upgrades, and says nothing.
    pub async fn connect(address: SocketAddr, path: &str) -> Result<Self, Error> {
        Self::ask(address, request(path, "X-Test", "none")).await
    }

    /// Connects and asks for an upgrade in words of the test's own.
    pub async fn ask(address: SocketAddr, request: Request) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        stream.set_nodelay(true).expect("a TCP option");
        Self::upgrade(Box::new(stream), request).await
    }

    /// Asks for an upgrade on a connection that stands.
    pub async fn upgrade(stream: Box<dyn Io>, request: Request) -> Result<Self, Error> {
        let upgrade = client_async(request, stream);
        let (stream, _) = within_patience("the upgrade", upgrade).await?;
        Ok(Self {
            stream,
            read: BytesMut::new(),
        })
    }

    /// Connects, upgrades and shakes hands as `identity`.
    pub async fn introduced(address: SocketAddr, path: &str, identity: [u8; 16]) -> Self {
        let mut peer = Self::connect(address, path).await.expect("an upgrade");
        peer.introduce(identity).await;
        peer
    }

    /// Shakes hands as `identity`.
    pub async fn introduce(&mut self, identity: [u8; 16]) {
        self.say(raw_peer::hello(identity)).await;
        assert_eq!(self.next().await.kind, HELLO);
    }

    /// Says bytes as they are, as one binary message.
    pub async fn say(&mut self, bytes: Vec<u8>) {
        let sent = self.stream.send(Message::binary(bytes));
        within_patience("the other end to read", sent)
            .await
            .expect("the other end reads");
    }

    /// Says one frame.
    pub async fn frame(&mut self, kind: u8, body: &[u8]) {
        self.say(raw_peer::frame(kind, body)).await;
    }

    /// Says DATA.
    pub async fn data(&mut self, payload: &[u8]) {
        self.frame(DATA, payload).await;
    }

    /// The next frame that is no heartbeat.
    pub async fn next(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.take_frame() {
                if frame.kind != HEARTBEAT {
                    return frame;
                }
                continue;
            }
            match self.message().await {
                Some(Ok(Message::Binary(bytes))) => self.read.extend_from_slice(&bytes),
                other => panic!("the other end says {other:?}"),
            }
        }
    }

    /// The payload in the DATA that must come now.
    pub async fn expect_data(&mut self) -> Vec<u8> {
        let frame = self.next().await;
        assert_eq!(frame.kind, DATA);
        frame.body
    }

    /// The next WebSocket message; `None` when the connection has ended in order.
    pub async fn message(&mut self) -> Option<Result<Message, Error>> {
        within_patience("a WebSocket message", self.stream.next()).await
    }

    /// The code of the close frame that must come, whatever comes before it; `None` if there is
    /// none in it. Then waits until the other end has closed the connection.
    pub async fn expect_close(&mut self) -> Option<u16> {
        let code = loop {
            match self.message().await {
                Some(Ok(Message::Close(close))) => break close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                other => panic!("the other end says {other:?}"),
            }
        };
        while let Some(Ok(_)) = self.message().await {}
        code
    }

    /// Waits until the other end has closed, in whatever way.
    pub async fn expect_end(&mut self) {
        while let Some(Ok(_)) = self.message().await {}
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let length = self.read.first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("32 bits fit");
        if self.read.len() < 4 + length {
            return None;
        }
        self.read.advance(4);
        let mut envelope = self.read.split_to(length).to_vec();
        let body = envelope.split_off(1);
        Some(Frame {
            kind: envelope[0],
            body,
        })
    }
}
