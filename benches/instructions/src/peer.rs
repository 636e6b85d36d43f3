//! The other end of a counted path: a process of its own without any socket of this crate.

use actix_aiomsg::wire::{Envelope, PROTOCOL_VERSION, Walk, walk};
use actix_aiomsg::{Identity, MessageId};
use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const READ_BYTES: usize = 64 * 1024;
const WRITE_BYTES: usize = 64 * 1024;
/// Connections that are made at a time, well below a backlog.
const AT_A_TIME: usize = 64;

/// Connects to the port and does its part: `PORT sink CONNECTIONS ACKNOWLEDGING` reads, and so many connections
/// acknowledge what wants it; `PORT feed MESSAGES BYTES plain|acknowledged` sends, and reads what comes back. Ends when the
/// other end has closed all connections.
pub async fn run(role: &[&str]) {
    // It may lack the right to have more, and then fails where it cannot connect.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    match *role {
        [port, "sink", connections, acknowledging] => {
            sink_all(number(port), number(connections), number(acknowledging)).await;
        }
        [port, "feed", messages, bytes, guarantee] => {
            let (mut reads, writes, mut buffer) = connect(number(port)).await;
            let acknowledged = guarantee == "acknowledged";
            actix::spawn(feed(writes, number(messages), number(bytes), acknowledged));
            while reads.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                buffer.clear();
            }
        }
        _ => panic!("no such role: {role:?}"),
    }
}

fn number<N: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> N {
    text.parse().expect("a number")
}

async fn sink_all(port: u16, connections: usize, acknowledging: usize) {
    let mut sinks = Vec::new();
    for first in (0..connections).step_by(AT_A_TIME) {
        let some = first..connections.min(first + AT_A_TIME);
        let some: Vec<_> = some.map(|_| actix::spawn(connect(port))).collect();
        for connecting in some {
            let (reads, writes, buffer) = connecting.await.expect("it ran");
            let then = if sinks.len() < acknowledging {
                Then::Acknowledge
            } else {
                Then::Nothing
            };
            sinks.push(actix::spawn(sink(reads, writes, buffer, then)));
        }
    }
    for sink in sinks {
        sink.await.expect("it ran");
    }
}

/// Connects and shakes hands. What came behind the HELLO is in the buffer.
async fn connect(port: u16) -> (OwnedReadHalf, OwnedWriteHalf, BytesMut) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let stream = stream.expect("somebody listens");
    stream.set_nodelay(true).expect("a TCP option");
    let (mut reads, mut writes) = stream.into_split();
    let mut hello = BytesMut::new();
    put(
        &mut hello,
        &Envelope::Hello {
            version: PROTOCOL_VERSION,
            identity: Identity::random(),
        },
    );
    writes.write_all(&hello).await.expect("they read");
    let mut buffer = BytesMut::new();
    loop {
        if let Ok(Walk::Frame(frame)) = walk(&buffer, u32::MAX) {
            let length = frame.len();
            let _ = buffer.split_to(length);
            return (reads, writes, buffer);
        }
        let read = reads.read_buf(&mut buffer).await.expect("a HELLO");
        assert!(read > 0, "refused");
    }
}

fn put(out: &mut BytesMut, envelope: &Envelope<&[u8]>) {
    out.put_u32(u32::try_from(envelope.encoded_len()).expect("it is small"));
    envelope.encode(out);
}

/// What happens to a message that was read and wants to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Acknowledge,
    Nothing,
}

/// Reads until the end.
async fn sink(
    mut reads: OwnedReadHalf,
    mut writes: OwnedWriteHalf,
    mut buffer: BytesMut,
    then: Then,
) {
    let mut answers = BytesMut::new();
    loop {
        while let Ok(Walk::Frame(frame)) = walk(&buffer, u32::MAX) {
            if then == Then::Acknowledge
                && let Ok(Envelope::DataReq(id, _)) = Envelope::decode(frame.envelope)
            {
                put(&mut answers, &Envelope::Ack(id));
            }
            let length = frame.len();
            let _ = buffer.split_to(length);
        }
        if writes.write_all(&answers).await.is_err() {
            return;
        }
        answers.clear();
        buffer.reserve(READ_BYTES);
        if !reads.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
}

async fn feed(mut writes: OwnedWriteHalf, messages: u64, bytes: usize, acknowledged: bool) {
    let payload = vec![7; bytes];
    let mut batch = BytesMut::with_capacity(2 * WRITE_BYTES);
    for number in 1..=messages {
        if acknowledged {
            let id = MessageId::from_bytes(u128::from(number).to_be_bytes());
            put(&mut batch, &Envelope::DataReq(id, &payload));
        } else {
            put(&mut batch, &Envelope::Data(&payload));
        }
        if batch.len() >= WRITE_BYTES || number == messages {
            if writes.write_all(&batch).await.is_err() {
                return;
            }
            batch.clear();
        }
    }
    // Dropping it would end the stream.
    std::future::pending::<()>().await;
}
