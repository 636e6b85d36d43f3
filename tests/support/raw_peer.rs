//! A peer that is scripted byte by byte, so that it can do what no implementation would.
//!
//! It encodes by hand, not through the crate: what it says is an independent reading of the wire
//! document. It blocks; beside a socket of the same thread, run it with [`aside`](super::aside).

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

pub const HELLO: u8 = 0x01;
pub const HEARTBEAT: u8 = 0x02;
pub const DATA: u8 = 0x03;
pub const DATA_REQ: u8 = 0x04;
pub const ACK: u8 = 0x05;
/// Types that only this crate knows (WIRE §10).
pub const OURS: std::ops::RangeInclusive<u8> = 0xC0..=0xC7;

/// One end of a TCP connection that says exactly what the test says.
pub struct RawPeer {
    stream: TcpStream,
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub body: Vec<u8>,
}

impl RawPeer {
    /// Connects, and says nothing.
    pub fn connect(address: impl Into<SocketAddr>) -> Self {
        let stream =
            TcpStream::connect_timeout(&address.into(), PATIENCE).expect("somebody listens");
        Self::on(stream)
    }

    /// The same, from an address of this machine that the test chooses.
    pub fn connect_from(source: [u8; 4], address: impl Into<SocketAddr>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let source = SocketAddr::from((source, 0));
        socket.bind(&source.into()).expect("an address of ours");
        let address = address.into();
        socket.connect(&address.into()).expect("somebody listens");
        Self::on(socket.into())
    }

    /// Takes the next connection of `listener`, and says nothing.
    pub fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().expect("somebody connects");
        Self::on(stream)
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP option");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP option");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a TCP option");
        Self { stream }
    }

    /// Connects and shakes hands as `identity`.
    pub fn introduced(address: impl Into<SocketAddr>, identity: [u8; 16]) -> Self {
        let mut peer = Self::connect(address);
        peer.hello(identity);
        peer.expect_hello();
        peer
    }

    /// Says bytes as they are.
    pub fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the other end reads");
    }

    /// Says bytes as they are; false if the other end has gone.
    pub fn try_say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Says bytes one at a time, each in a segment of its own as far as the kernel lets us.
    pub fn dribble(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.say(std::slice::from_ref(byte));
        }
    }

    /// Says one frame.
    pub fn frame(&mut self, kind: u8, body: &[u8]) {
        self.say(&frame(kind, body));
    }

    /// Says HELLO, version 1.
    pub fn hello(&mut self, identity: [u8; 16]) {
        self.say(&hello(identity));
    }

    /// Says DATA.
    pub fn data(&mut self, payload: &[u8]) {
        self.frame(DATA, payload);
    }

    /// Says DATA_REQ.
    pub fn data_req(&mut self, id: [u8; 16], payload: &[u8]) {
        self.frame(DATA_REQ, &[&id[..], payload].concat());
    }

    /// The next frame of any kind; `None` when the stream has ended between frames.
    ///
    /// # Errors
    ///
    /// The stream ended inside a frame, was reset, or said nothing for too long.
    pub fn read(&mut self) -> io::Result<Option<Frame>> {
        let mut length = [0; 4];
        // The first byte alone tells a clean end from a truncated frame.
        if self.stream.read(&mut length[..1])? == 0 {
            return Ok(None);
        }
        self.stream.read_exact(&mut length[1..])?;
        let length = usize::try_from(u32::from_be_bytes(length)).expect("32 bits fit");
        assert!(length > 0, "an empty envelope is malformed");
        let mut envelope = vec![0; length];
        self.stream.read_exact(&mut envelope)?;
        let body = envelope.split_off(1);
        Ok(Some(Frame {
            kind: envelope[0],
            body,
        }))
    }

    /// The next frame that another implementation would not skip, and that is not a heartbeat.
    pub fn next(&mut self) -> Frame {
        loop {
            match self.read().expect("the other end speaks") {
                Some(frame) if frame.kind == HEARTBEAT || OURS.contains(&frame.kind) => {}
                Some(frame) => return frame,
                None => panic!("the other end closed"),
            }
        }
    }

    /// The identity in the HELLO that must come now.
    pub fn expect_hello(&mut self) -> [u8; 16] {
        let hello = self.next();
        assert_eq!(hello.kind, HELLO);
        assert_eq!(hello.body[0], 1, "the protocol version");
        hello.body[1..].try_into().expect("sixteen bytes")
    }

    /// The payload in the DATA that must come now.
    pub fn expect_data(&mut self) -> Vec<u8> {
        let data = self.next();
        assert_eq!(data.kind, DATA);
        data.body
    }

    /// The message id and the payload in the DATA_REQ that must come now.
    pub fn expect_data_req(&mut self) -> ([u8; 16], Vec<u8>) {
        let mut request = self.next();
        assert_eq!(request.kind, DATA_REQ);
        let payload = request.body.split_off(16);
        (request.body.try_into().expect("sixteen bytes"), payload)
    }

    /// What one read yields: all that has come, if that is not much.
    pub fn arrived(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.stream.read(&mut buffer);
        buffer.truncate(count.expect("the other end speaks"));
        buffer
    }

    /// Waits until the other end has closed; whatever it says before is passed over.
    pub fn expect_end(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the other end does not close: {error}"),
            }
        }
    }

    /// Whether nothing comes for `pause`. The connection stays usable.
    pub fn is_silent_for(&mut self, pause: Duration) -> bool {
        self.stream
            .set_read_timeout(Some(pause))
            .expect("a TCP option");
        let silent = match self.stream.peek(&mut [0]) {
            Ok(_) => false,
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
        };
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP option");
        silent
    }

    /// Ends our writing side.
    pub fn finish(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        super::proxy::reset(self.stream);
    }
}

/// The bytes of one frame.
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).expect("a test frame is small");
    [&length.to_be_bytes()[..], &[kind], body].concat()
}

/// The bytes of a HELLO, version 1.
pub fn hello(identity: [u8; 16]) -> Vec<u8> {
    frame(HELLO, &[&[1], &identity[..]].concat())
}
