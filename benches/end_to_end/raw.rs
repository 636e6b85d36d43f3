//! The limit: tokio streams with the same frames, batched writes, and nothing else.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::end::{Options, Role, resident, tell_memory, tell_percentiles};
use super::support::bare::{
    self, HEADER_BYTES, READ_BYTES, WRITE_BYTES, accept, bind, cut, put_header, read_buffer,
};
use super::support::process::tell;
#[cfg(feature = "tls-dev")]
use super::support::secrets;
use super::tally::Tally;

/// Connections that are made at a time.
const AT_A_TIME: usize = 64;

pub(crate) async fn run(options: Options) {
    match options.role {
        Role::Receive => receive_all(options).await,
        Role::Send => send_all(options).await,
        Role::Echo | Role::Answer => echo(bind().await, options.bytes).await,
        Role::Ping | Role::Ask | Role::AskByName => ping(options).await,
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

/// Opens all connections.
async fn connect(options: &Options) -> Vec<TcpStream> {
    let address = options.address.expect("the other end");
    let mut streams = Vec::new();
    while streams.len() < options.connections {
        let some = AT_A_TIME.min(options.connections - streams.len());
        let some: Vec<_> = (0..some)
            .map(|_| actix::spawn(bare::connect(address)))
            .collect();
        for stream in some {
            streams.push(stream.await.expect("it ran"));
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
            let stream = bare::accept_tls(stream, &secrets::inherited()).await;
            actix::spawn(receive(stream, tally));
            continue;
        }
        actix::spawn(receive(stream, tally));
    }
}

/// Reads until the other end has gone, and counts.
async fn receive(stream: impl AsyncRead + Unpin, tally: Rc<Tally>) {
    bare::receive(stream, |messages| tally.add(messages)).await;
}

async fn send_all(options: Options) {
    let payload = Bytes::from(vec![7; options.bytes]);
    let share = options.messages / options.connections as u64;
    for stream in connect(&options).await {
        let payload = payload.clone();
        #[cfg(feature = "tls-dev")]
        if options.over == super::rows::Over::Tls {
            let stream = bare::connect_tls(stream, &secrets::inherited()).await;
            actix::spawn(send(stream, payload, share));
            continue;
        }
        actix::spawn(send(stream, payload, share));
    }
}

async fn send(mut stream: impl AsyncWrite + Unpin, payload: Bytes, messages: u64) {
    bare::send(&mut stream, &payload, messages).await;
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
