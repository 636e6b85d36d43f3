//! Messages one way between two processes of ours, beside raw tokio with batched writes.
//!
//! `cargo bench --bench throughput` runs both in turn, several rounds of them, and prints rates
//! and their ratio. The receiving process is this program again. Time runs from the first message
//! that the receiver sees to the last.
//!
//! Raw tokio is the limit: one task at each end, the same frames, writes of 32 KiB, no queue, no
//! bound and no actor. `AIOMSG_ROUNDS` chooses how many rounds there are (default 7).

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Present in the receiving process; its value says which receiver it is.
const RECEIVER: &str = "AIOMSG_BENCH_RECEIVER";
/// How many messages of how many bytes.
const LOADS: [(usize, u64); 2] = [(64, 8_000_000), (1024, 2_000_000)];
const WRITE_BYTES: usize = 32 * 1024;
const READ_BYTES: usize = 64 * 1024;
const HEADER_BYTES: usize = 5;
const DATA: u8 = 0x03;

#[derive(Clone, Copy)]
enum Kind {
    Ours,
    Raw,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Raw => "raw",
        }
    }
}

fn main() {
    let system = System::new();
    match std::env::var(RECEIVER) {
        Ok(receiver) => {
            let count = std::env::args().nth(1).and_then(|n| n.parse().ok());
            let count = count.expect("the number of messages");
            system.block_on(async {
                match &receiver[..] {
                    "ours" => receive_ours(count).await,
                    _ => receive_raw(count).await,
                }
            });
        }
        Err(_) => system.block_on(measure()),
    }
}

async fn measure() {
    let rounds = std::env::var("AIOMSG_ROUNDS").ok();
    let rounds: usize = rounds.and_then(|n| n.parse().ok()).unwrap_or(7);
    println!("one way, two processes, medians of {rounds} rounds\n");
    println!("| payload | raw tokio, msg/s | this crate, msg/s | ratio (lowest–highest) |");
    println!("|---|---|---|---|");
    for (size, count) in LOADS {
        let (mut raw, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let limit = run(Kind::Raw, size, count).await;
            let rate = run(Kind::Ours, size, count).await;
            raw.push(limit);
            ours.push(rate);
            ratios.push(rate / limit);
        }
        let (raw, ours, ratio) = (median(&mut raw), median(&mut ours), median(&mut ratios));
        let (lowest, highest) = (ratios[0], ratios[ratios.len() - 1]);
        println!(
            "| {size} B | {:.2} M | {:.2} M | {ratio:.2} ({lowest:.2}–{highest:.2}) |",
            raw / 1e6,
            ours / 1e6
        );
    }
}

/// The median; the numbers are in order afterwards.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// One transfer: messages per second.
async fn run(kind: Kind, size: usize, count: u64) -> f64 {
    let mut receiver = Receiver::start(kind, count);
    let address: SocketAddr = receiver.line().parse().expect("an address");
    let payload: Bytes = (0..size).map(|i| (i as u8).wrapping_mul(31)).collect();
    match kind {
        Kind::Ours => send_ours(address, &payload, count).await,
        Kind::Raw => send_raw(address, &payload, count).await,
    }
    let nanoseconds: f64 = receiver.line().parse().expect("a number");
    count as f64 / nanoseconds * 1e9
}

/// The other process; it is ended with this.
struct Receiver {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Receiver {
    fn start(kind: Kind, count: u64) -> Self {
        let program = std::env::current_exe().expect("this very program");
        let mut child = Command::new(program)
            .arg(count.to_string())
            .env(RECEIVER, kind.name())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts again");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints");
        line.trim().to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the first process, which reads this line by line.
fn tell(what: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")
        .and_then(|()| out.flush())
        .expect("the first process reads");
}

struct Counter {
    socket: WeakSocket,
    expected: u64,
    received: u64,
    bytes: usize,
    start: Instant,
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Counter {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        if self.received == 0 {
            self.start = Instant::now();
        }
        self.received += 1;
        self.bytes += message.payload().len();
        if self.received == self.expected {
            tell(self.start.elapsed().as_nanos());
        }
    }
}

async fn receive_ours(expected: u64) {
    let socket = Socket::start().expect("a system runs");
    let endpoint = socket.bind("127.0.0.1:0").await.expect("a free port");
    Counter {
        socket: socket.downgrade(),
        expected,
        received: 0,
        bytes: 0,
        start: Instant::now(),
    }
    .start();
    tell(format_args!("127.0.0.1:{}", endpoint.port().unwrap_or(0)));
    std::future::pending().await
}

async fn send_ours(address: SocketAddr, payload: &Bytes, count: u64) {
    let socket = Socket::start().expect("a system runs");
    let endpoint = format!("tcp://{address}");
    socket.connect(endpoint).await.expect("an endpoint");
    socket.wait_for_peers(1).await.expect("it comes");
    for _ in 0..count {
        socket.send(payload.clone()).await.expect("it is accepted");
    }
    socket.close_within(Duration::from_secs(10)).await;
}

async fn receive_raw(expected: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    tell(listener.local_addr().expect("a bound address"));
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut buffer = BytesMut::with_capacity(4 * READ_BYTES);
    let (mut received, mut bytes, mut start) = (0, 0, None);
    while received < expected {
        buffer.reserve(READ_BYTES);
        let read = stream.read_buf(&mut buffer).await.expect("bytes");
        assert!(read > 0, "the sender ended early");
        start.get_or_insert_with(Instant::now);
        while buffer.len() >= HEADER_BYTES {
            let length = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
            if buffer.len() < 4 + length {
                break;
            }
            buffer.advance(HEADER_BYTES);
            bytes += std::hint::black_box(&buffer[..length - 1]).len();
            buffer.advance(length - 1);
            received += 1;
        }
    }
    assert!(bytes > 0);
    tell(start.map_or(0, |start| start.elapsed().as_nanos()));
    std::future::pending().await
}

async fn send_raw(address: SocketAddr, payload: &[u8], count: u64) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a TCP option");
    let length = u32::try_from(payload.len() + 1).expect("it is small");
    let mut batch = Vec::with_capacity(2 * WRITE_BYTES);
    for number in 1..=count {
        batch.extend_from_slice(&length.to_be_bytes());
        batch.push(DATA);
        batch.extend_from_slice(payload);
        if batch.len() >= WRITE_BYTES || number == count {
            stream.write_all(&batch).await.expect("it reads");
            batch.clear();
        }
    }
}
