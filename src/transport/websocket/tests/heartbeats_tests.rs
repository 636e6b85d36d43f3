//! Heartbeats that another thread writes between the messages of a connection.

use std::io;
use std::task::{Context, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::frame::{Opcode, put_frame};
use super::super::heartbeats::WebSocketHeartbeats;
use super::super::stream::WebSocketStream;
use crate::address::Role;
use crate::wire::HEARTBEAT_FRAME;

/// A pipe of so many bytes, and the heartbeats at one end of it.
fn shared(
    bytes: usize,
    role: Role,
) -> (
    WebSocketStream<DuplexStream>,
    WebSocketHeartbeats,
    DuplexStream,
) {
    let (ours, theirs) = tokio::io::duplex(bytes);
    let mut stream = WebSocketStream::new(ours, role, BytesMut::new());
    let heartbeats = stream.heartbeats();
    (stream, heartbeats, theirs)
}

/// What a bind end writes for a message.
fn message(payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_frame(
        &mut out,
        Opcode::Binary,
        Role::BindEnd,
        std::iter::once(payload),
    );
    out.to_vec()
}

/// What is written of a heartbeat where `most` bytes are taken.
fn beat(heartbeats: &WebSocketHeartbeats, most: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    heartbeats.try_heartbeat(|bytes| {
        out.extend_from_slice(&bytes[..bytes.len().min(most)]);
        Ok(out.len())
    })?;
    Ok(out)
}

fn is_refused(heartbeats: &WebSocketHeartbeats) -> bool {
    matches!(beat(heartbeats, 64), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn a_heartbeat_is_a_message_between_two_others_and_its_rest_goes_first() {
    let (mut stream, heartbeats, mut theirs) = shared(1024, Role::BindEnd);
    assert!(is_refused(&heartbeats), "nobody has begun to write");
    stream.write_all(b"one").await.unwrap();
    stream.flush().await.unwrap();
    let whole = message(&HEARTBEAT_FRAME);
    assert_eq!(beat(&heartbeats, 64).unwrap(), whole);
    // The next is written in three parts: by two calls, and by the connection.
    let mut begun = beat(&heartbeats, 2).unwrap();
    begun.extend(beat(&heartbeats, 1).unwrap());
    assert_eq!(begun, whole[..3]);
    stream.write_all(b"two").await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let mut read = Vec::new();
    theirs.read_to_end(&mut read).await.unwrap();
    assert_eq!(
        read,
        [&message(b"one"), &whole[3..], &*message(b"two")].concat()
    );
}

#[tokio::test]
async fn a_connect_end_masks_its_heartbeats() {
    let (mut stream, heartbeats, _theirs) = shared(1024, Role::ConnectEnd);
    stream.flush().await.unwrap();
    let (mut reader, mut theirs) = {
        let (ours, theirs) = tokio::io::duplex(1024);
        (
            WebSocketStream::new(ours, Role::BindEnd, BytesMut::new()),
            theirs,
        )
    };
    theirs
        .write_all(&beat(&heartbeats, 64).unwrap())
        .await
        .unwrap();
    let mut read = [0; HEARTBEAT_FRAME.len()];
    reader.read_exact(&mut read).await.unwrap();
    assert_eq!(read, HEARTBEAT_FRAME);
}

#[tokio::test]
async fn no_heartbeat_goes_into_a_frame_a_message_or_behind_a_close_frame() {
    // Half of a frame is written.
    let (mut stream, heartbeats, mut theirs) = shared(8, Role::BindEnd);
    stream.write_all(&[7; 16]).await.unwrap();
    assert!(is_refused(&heartbeats));
    let mut read = [0; 18];
    let (read, flushed) = tokio::join!(theirs.read_exact(&mut read), stream.flush());
    read.unwrap();
    flushed.unwrap();
    assert!(beat(&heartbeats, 64).is_ok());

    // A message is to go on.
    let (mut stream, heartbeats, _theirs) = shared(1024, Role::BindEnd);
    stream.announce(8);
    stream.write_all(b"half").await.unwrap();
    stream.flush().await.unwrap();
    assert!(is_refused(&heartbeats));
    stream.write_all(b"rest").await.unwrap();
    stream.flush().await.unwrap();
    assert!(beat(&heartbeats, 64).is_ok());

    // The connection is closed.
    let mut cx = Context::from_waker(Waker::noop());
    let closed = std::pin::Pin::new(&mut stream);
    let _ = tokio::io::AsyncWrite::poll_shutdown(closed, &mut cx);
    assert!(is_refused(&heartbeats));
}
