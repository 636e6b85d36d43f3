//! A whole connection, fed with bytes: what the connection target checks. `tests/corpus.rs` makes the
//! same checks over the committed corpus.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use actix_aiomsg::wire::{Envelope, PROTOCOL_VERSION, Walk, walk};

const LIMIT: u32 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// A peer that sends the input and then ends its side. The socket closes the connection, says only
/// whole frames before that, a HELLO first, and serves the next peer as if nothing had been.
pub(crate) fn connection(input: &[u8]) {
    let mut answer = Vec::new();
    let mut peer = connect();
    // The socket may close on us half-way: that is what it is for.
    let _ = peer.write_all(input);
    let _ = peer.shutdown(Shutdown::Write);
    match peer.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert!(!is_timeout(&error), "the socket neither answers nor closes"),
    }
    if input.first() == Some(&b'G') {
        // An HTTP request (WIRE §8.1): it gets an answer of its own kind, if any.
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
        return echo();
    }
    let mut said = envelopes(&answer);
    assert!(
        said.next()
            .is_none_or(|first| matches!(first, Envelope::Hello { .. }))
    );
    assert!(
        said.all(|envelope| !matches!(envelope, Envelope::Hello { .. } | Envelope::Unknown(_)))
    );
    echo();
}

/// A good peer, which gets back what it sends.
fn echo() {
    static PEERS: AtomicU64 = AtomicU64::new(0);
    let mut identity = [0xee; 16];
    identity[..8].copy_from_slice(&PEERS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let mut peer = connect();
    let mut request = Vec::new();
    for envelope in [
        Envelope::Hello {
            version: PROTOCOL_VERSION,
            identity: Identity::from_bytes(identity),
        },
        Envelope::Data(&b"are you there?"[..]),
    ] {
        request.extend_from_slice(&(envelope.encoded_len() as u32).to_be_bytes());
        envelope.encode(&mut request);
    }
    peer.write_all(&request).expect("a good peer is served");
    let mut answer = Vec::new();
    let mut buffer = [0; 256];
    while !envelopes(&answer).any(|e| e == Envelope::Data(&b"are you there?"[..])) {
        let count = match peer.read(&mut buffer) {
            // The fuzzer's own timer.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            result => result.expect("a good peer is answered"),
        };
        assert_ne!(count, 0, "a good peer was dropped");
        answer.extend_from_slice(&buffer[..count]);
    }
}

fn connect() -> TcpStream {
    let peer = TcpStream::connect(echo_socket()).expect("the socket listens");
    peer.set_read_timeout(Some(PATIENCE))
        .expect("it is not zero");
    peer.set_write_timeout(Some(PATIENCE))
        .expect("it is not zero");
    peer
}

/// Where a socket listens that sends everything back. It lives as long as the process.
fn echo_socket() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            actix::System::new().block_on(async move {
                let socket = Socket::builder()
                    .max_frame_bytes(LIMIT)
                    .start()
                    .expect("valid");
                let endpoint = socket
                    .bind("tcp://127.0.0.1:0")
                    .await
                    .expect("a port is free");
                let port = endpoint.port().expect("a port was chosen");
                tell.send(SocketAddr::from(([127, 0, 0, 1], port)))
                    .expect("it waits");
                while let Ok(message) = socket.recv().await {
                    // A peer that is gone, or full, gets nothing.
                    let _ = message.reply(message.payload().clone());
                }
            });
        });
        told.recv().expect("the socket starts")
    })
}

fn envelopes(mut stream: &[u8]) -> impl Iterator<Item = Envelope<&[u8]>> {
    if stream.starts_with(b"HTTP/1.1 ") {
        // The bytes began like a request for an upgrade and were answered as one.
        stream = &[];
    }
    std::iter::from_fn(move || match walk(stream, LIMIT) {
        Ok(Walk::Frame(frame)) => {
            stream = &stream[frame.len()..];
            Some(Envelope::decode(frame.envelope).expect("we never send a malformed envelope"))
        }
        Ok(Walk::Partial(_)) => None,
        Err(oversize) => panic!("we never send {oversize}"),
    })
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}
