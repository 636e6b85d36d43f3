//! The limit: tokio streams with the same frames, batched writes, and nothing else.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::end::{Options, Role, resident, tell, tell_memory, tell_percentiles};
use super::tally::Tally;

const WRITE_BYTES: usize = 32 * 1024;
const READ_BYTES: usize = 256 * 1024;
/// From this size on a payload is not copied into the batch.
const GATHER_FROM: usize = 8 * 1024;
const HEADER_BYTES: usize = 5;
const DATA: u8 = 0x03;
/// Connections that are made at a time.
const AT_A_TIME: usize = 64;

pub(crate) async fn run(options: Options) {
    match options.role {
        Role::Receive => receive_all(options).await,
        Role::Send => send_all(options).await,
        Role::Echo | Role::Answer => echo(bind().await, options.bytes).await,
        Role::Ping | Role::Ask => ping(options).await,
        Role::Publish => publish(options).await,
        Role::Subscribe => subscribe(options).await,
        Role::IdleBind => idle_bind(options).await,
        Role::Idle => {
            let mut kept = Vec::new();
            for mut stream in connect(&options).await {
                stream.write_all(b"hi").await.expect("it reads");
                kept.push(stream);
            }
            std::future::pending::<()>().await;
            drop(kept);
        }
    }
}

/// Listens, and tells where.
async fn bind() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    tell(listener.local_addr().expect("a bound address"));
    listener
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("a connection");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

/// Opens all connections.
async fn connect(options: &Options) -> Vec<TcpStream> {
    let address = options.address.expect("the other end");
    let mut streams = Vec::new();
    while streams.len() < options.connections {
        let some = AT_A_TIME.min(options.connections - streams.len());
        let some: Vec<_> = (0..some)
            .map(|_| actix::spawn(TcpStream::connect(address)))
            .collect();
        for stream in some {
            let stream = stream.await.expect("it ran").expect("it listens");
            stream.set_nodelay(true).expect("a TCP option");
            streams.push(stream);
        }
    }
    streams
}

async fn receive_all(options: Options) {
    let listener = bind().await;
    let tally = Tally::new(options.messages);
    for _ in 0..options.connections {
        let stream = accept(&listener).await;
        let tally = Rc::clone(&tally);
        #[cfg(feature = "tls-dev")]
        if options.over == super::rows::Over::Tls {
            let acceptor = tokio_rustls::TlsAcceptor::from(super::secrets::inherited().server());
            let stream = acceptor.accept(stream).await.expect("a handshake");
            actix::spawn(receive(stream, tally));
            continue;
        }
        actix::spawn(receive(stream, tally));
    }
}

/// Reads, cuts out each payload, and counts.
async fn receive(mut stream: impl AsyncRead + Unpin, tally: Rc<Tally>) {
    let mut buffer = read_buffer();
    loop {
        buffer.reserve(READ_BYTES);
        match stream.read_buf(&mut buffer).await {
            Ok(read) if read > 0 => tally.add(cut(&mut buffer, |payload| {
                std::hint::black_box(payload);
            })),
            _ => return,
        }
    }
}

/// What is read into; twice a read, so that it is used again once its frames are dropped.
fn read_buffer() -> BytesMut {
    BytesMut::with_capacity(2 * READ_BYTES)
}

/// Cuts whole frames out of what was read, and yields how many there were.
fn cut(buffer: &mut BytesMut, mut each: impl FnMut(Bytes)) -> u64 {
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

async fn send_all(options: Options) {
    let payload = Bytes::from(vec![7; options.bytes]);
    let share = options.messages / options.connections as u64;
    for stream in connect(&options).await {
        let payload = payload.clone();
        #[cfg(feature = "tls-dev")]
        if options.over == super::rows::Over::Tls {
            let connector = tokio_rustls::TlsConnector::from(super::secrets::inherited().client());
            let name = "127.0.0.1".try_into().expect("an address");
            let stream = connector.connect(name, stream).await;
            actix::spawn(send(stream.expect("a handshake"), payload, share));
            continue;
        }
        actix::spawn(send(stream, payload, share));
    }
}

fn put_header(batch: &mut Vec<u8>, payload: usize) {
    let length = u32::try_from(payload + 1).expect("it is small");
    batch.extend_from_slice(&length.to_be_bytes());
    batch.push(DATA);
}

async fn send(mut stream: impl AsyncWrite + Unpin, payload: Bytes, messages: u64) {
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
        batch.extend_from_slice(&payload);
        if batch.len() >= WRITE_BYTES || number == messages {
            stream.write_all(&batch).await.expect("it reads");
            batch.clear();
        }
    }
    stream.flush().await.expect("it reads");
    // Dropping it would end the stream before the other end has read everything.
    std::future::pending::<()>().await;
}

async fn echo(listener: TcpListener, bytes: usize) {
    let mut stream = accept(&listener).await;
    let mut buffer = read_buffer();
    let mut batch = Vec::with_capacity(WRITE_BYTES);
    loop {
        buffer.reserve(READ_BYTES);
        if !stream
            .read_buf(&mut buffer)
            .await
            .is_ok_and(|read| read > 0)
        {
            return;
        }
        cut(&mut buffer, |payload| {
            assert_eq!(payload.len(), bytes);
            put_header(&mut batch, payload.len());
            batch.extend_from_slice(&payload);
        });
        stream.write_all(&batch).await.expect("it reads");
        batch.clear();
    }
}

async fn ping(options: Options) {
    let mut stream = connect(&options).await.remove(0);
    let payload = vec![7; options.bytes];
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    put_header(&mut frame, payload.len());
    frame.extend_from_slice(&payload);
    let outstanding = options.outstanding as u64;
    let mut sent_at: VecDeque<Instant> = VecDeque::new();
    let mut times = Vec::with_capacity(options.messages as usize);
    let (mut buffer, mut sent, mut replies) = (read_buffer(), 0, 0);
    let began = Instant::now();
    while replies < options.messages {
        let more = (replies + outstanding).min(options.messages) - sent;
        if outstanding == 1 {
            sent_at.push_back(Instant::now());
        }
        let batch = frame.repeat(more as usize);
        stream.write_all(&batch).await.expect("it reads");
        sent += more;
        buffer.reserve(READ_BYTES);
        let read = stream.read_buf(&mut buffer).await.expect("replies");
        assert!(read > 0, "the other end has gone");
        replies += cut(&mut buffer, |payload| {
            std::hint::black_box(payload);
            if let Some(sent_at) = sent_at.pop_front() {
                times.push(sent_at.elapsed().as_nanos() as u64);
            }
        });
    }
    if outstanding == 1 {
        tell_percentiles(times);
    } else {
        let rate = replies as f64 / began.elapsed().as_secs_f64();
        tell(format_args!("0 {rate}"));
    }
}

/// Encodes each message once, and writes each batch to all.
async fn publish(options: Options) {
    let listener = bind().await;
    let mut streams = Vec::new();
    for _ in 0..options.connections {
        streams.push(accept(&listener).await);
    }
    let payload = vec![7; options.bytes];
    let mut batch = Vec::with_capacity(2 * WRITE_BYTES);
    let messages = options.messages / options.connections as u64;
    for number in 1..=messages {
        put_header(&mut batch, payload.len());
        batch.extend_from_slice(&payload);
        if batch.len() >= WRITE_BYTES || number == messages {
            for stream in &mut streams {
                stream.write_all(&batch).await.expect("it reads");
            }
            batch.clear();
        }
    }
    std::future::pending::<()>().await;
    drop(streams);
}

async fn subscribe(options: Options) {
    let tally = Tally::new(options.messages);
    for stream in connect(&options).await {
        actix::spawn(receive(stream, Rc::clone(&tally)));
    }
}

async fn idle_bind(options: Options) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let before = resident();
    tell(listener.local_addr().expect("a bound address"));
    for _ in 0..options.connections {
        let mut stream = accept(&listener).await;
        actix::spawn(async move {
            let mut little = [0; 16];
            while stream.read(&mut little).await.is_ok_and(|read| read > 0) {}
        });
    }
    tokio::time::sleep(super::tally::QUIET).await;
    tell_memory(before, options.connections);
}
