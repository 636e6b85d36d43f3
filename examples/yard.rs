//! The measured program: every role of the yardstick's contract, through the public API alone and
//! with default settings. `yard --delivery at-least-once ROLE …` does the same with
//! acknowledgements.
//!
//! One JSON object a line goes to standard output; a line on standard input starts a role that
//! waits for it, and the end of standard input ends the program.

use std::io::{BufRead, Write};
use std::process::exit;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use clap::Parser;

/// Measures this crate by the yardstick's contract.
#[derive(Parser, Clone)]
struct Options {
    /// What a message is promised.
    #[arg(long, default_value = "at-most-once", value_parser = ["at-most-once", "at-least-once"])]
    delivery: String,
    /// What to do.
    #[arg(value_parser = ["recv", "send", "echo", "ping", "pub", "sub", "idle-bind", "idle-connect"])]
    role: String,
    /// Where to bind or to connect, as HOST:PORT.
    #[arg(long)]
    addr: String,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Messages, in all or to each subscriber.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Connections.
    #[arg(long, default_value_t = 1)]
    conns: usize,
    /// Requests outstanding at a time.
    #[arg(long, default_value_t = 1)]
    window: usize,
}

impl Options {
    fn socket(&self, builder: SocketBuilder) -> Socket {
        let guarantee = match self.delivery.as_str() {
            "at-least-once" => DeliveryGuarantee::AtLeastOnce,
            _ => DeliveryGuarantee::AtMostOnce,
        };
        let started = builder.delivery_guarantee(guarantee).start();
        started.unwrap_or_else(|error| fail(&error))
    }

    async fn bound(&self, builder: SocketBuilder) -> Socket {
        let socket = self.socket(builder);
        match socket.bind(self.addr.as_str()).await {
            Ok(_) => socket,
            Err(error) => fail(&error),
        }
    }

    /// As many sockets as connections, each with its peer.
    async fn connected(&self) -> Vec<Socket> {
        let mut sockets = Vec::with_capacity(self.conns);
        for _ in 0..self.conns {
            let socket = self.socket(Socket::builder());
            if let Err(error) = socket.connect(self.addr.as_str()).await {
                fail(&error);
            }
            sockets.push(socket);
        }
        for socket in &sockets {
            let _ = socket.wait_for_peers(1).await;
        }
        sockets
    }

    fn payload(&self) -> Bytes {
        (0..self.size).map(|i| (i as u8).wrapping_mul(31)).collect()
    }
}

fn fail(error: &dyn std::error::Error) -> ! {
    eprintln!("yard: {error}");
    exit(1)
}

/// Nanoseconds of the monotonic clock that all processes share.
fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

fn emit(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn ready() {
    emit(r#"{"event":"ready"}"#);
}

fn done(n: u64, start: u64, end: u64, more: &str) {
    emit(&format!(
        r#"{{"event":"done","n":{n},"start_ns":{start},"end_ns":{end}{more}}}"#
    ));
}

/// Percentiles of round-trip times, as members of the JSON object.
fn percentiles(mut times: Vec<u64>) -> String {
    times.sort_unstable();
    let at = |q: f64| {
        let index = (times.len() as f64 * q).ceil() as usize;
        times
            .get(index.clamp(1, times.len().max(1)) - 1)
            .copied()
            .unwrap_or(0)
    };
    format!(
        r#","p50_ns":{},"p99_ns":{},"p999_ns":{},"max_ns":{}"#,
        at(0.5),
        at(0.99),
        at(0.999),
        times.last().copied().unwrap_or(0)
    )
}

/// Standard input, read on a thread of its own: yields once for `go`, then ends the process.
fn stdin_line() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(());
        }
        exit(0)
    });
    receiver
}

async fn go(input: mpsc::Receiver<()>) {
    ready();
    let _ = tokio::task::spawn_blocking(move || input.recv()).await;
}

/// Counts messages and reports when the last has come.
struct Counter {
    socket: WeakSocket,
    size: Option<usize>,
    expected: u64,
    received: u64,
    first: u64,
    progress: Option<std::rc::Rc<std::cell::Cell<u64>>>,
}

impl Counter {
    fn start_on(socket: &Socket, size: Option<usize>, expected: u64) -> Addr<Self> {
        Self {
            socket: socket.downgrade(),
            size,
            expected,
            received: 0,
            first: 0,
            progress: None,
        }
        .start()
    }
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
        assert!(self.size.is_none_or(|size| message.payload().len() == size));
        if let Some(progress) = &self.progress {
            progress.set(progress.get() + 1);
            return;
        }
        if self.received == 0 {
            self.first = now();
        }
        self.received += 1;
        if self.received == self.expected {
            done(self.received, self.first, now(), "");
        }
    }
}

/// Answers every message with itself.
struct Echo {
    socket: WeakSocket,
}

impl Actor for Echo {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Echo {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        if let Err(error) = message.reply(message.payload().clone()) {
            eprintln!("yard: {error}");
        }
    }
}

/// Keeps a number of requests outstanding.
struct Ping {
    socket: WeakSocket,
    payload: Bytes,
    count: u64,
    sent: u64,
    timed: bool,
    start: u64,
    asked: u64,
    times: Vec<u64>,
}

impl Actor for Ping {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Ping {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Context<Self>) {
        assert_eq!(message.payload().len(), self.payload.len());
        let received = if self.timed { now() } else { 0 };
        self.times.push(received - self.asked.min(received));
        self.asked = received;
        if self.sent < self.count {
            self.sent += 1;
            if let Err(error) = message.reply(self.payload.clone()) {
                eprintln!("yard: {error}");
            }
        } else if self.times.len() as u64 == self.count {
            let times = std::mem::take(&mut self.times);
            done(self.count, self.start, now(), &percentiles(times));
        }
    }
}

async fn send(options: &Options, input: mpsc::Receiver<()>) {
    let sockets = options.connected().await;
    let payload = options.payload();
    go(input).await;
    let start = now();
    let share = options.count / options.conns as u64;
    let senders: Vec<_> = sockets
        .into_iter()
        .map(|socket| {
            let payload = payload.clone();
            actix::spawn(async move {
                for _ in 0..share {
                    if let Err(error) = socket.send(payload.clone()).await {
                        fail(&error);
                    }
                }
                socket
            })
        })
        .collect();
    let mut kept = Vec::new();
    for sender in senders {
        kept.extend(sender.await);
    }
    done(options.count, start, now(), "");
    std::future::pending().await
}

async fn ping(options: &Options, input: mpsc::Receiver<()>) {
    let socket = options.connected().await.remove(0);
    let payload = options.payload();
    go(input).await;
    let window = (options.window as u64).min(options.count);
    let start = now();
    Ping {
        socket: socket.downgrade(),
        payload: payload.clone(),
        count: options.count,
        sent: window,
        timed: options.window == 1,
        start,
        asked: start,
        times: Vec::with_capacity(options.count as usize),
    }
    .start();
    for _ in 0..window {
        if let Err(error) = socket.send(payload.clone()).await {
            fail(&error);
        }
    }
    std::future::pending().await
}

async fn publish(options: &Options, input: mpsc::Receiver<()>) {
    let socket = options
        .bound(Socket::builder().send_mode(SendMode::Publish))
        .await;
    let payload = options.payload();
    go(input).await;
    let _ = socket.wait_for_peers(options.conns).await;
    let start = now();
    for _ in 0..options.count {
        if let Err(error) = socket.send(payload.clone()).await {
            fail(&error);
        }
    }
    done(options.count * options.conns as u64, start, now(), "");
    std::future::pending().await
}

async fn subscribe(options: &Options) {
    let progress = std::rc::Rc::new(std::cell::Cell::new(0));
    let sockets = options.connected().await;
    for socket in &sockets {
        Counter {
            socket: socket.downgrade(),
            size: Some(options.size),
            expected: 0,
            received: 0,
            first: 0,
            progress: Some(std::rc::Rc::clone(&progress)),
        }
        .start();
    }
    ready();
    let expected = options.count * options.conns as u64;
    let (mut seen, mut last, mut quiet_since) = (0, now(), Instant::now());
    while progress.get() < expected {
        tokio::time::sleep(Duration::from_micros(500)).await;
        if progress.get() != seen {
            (seen, last, quiet_since) = (progress.get(), now(), Instant::now());
        } else if seen > 0 && quiet_since.elapsed() > Duration::from_millis(1500) {
            break;
        }
    }
    if progress.get() == expected {
        last = now();
    }
    done(progress.get(), 0, last, "");
    std::future::pending().await
}

async fn idle_connect(options: &Options, input: mpsc::Receiver<()>) {
    go(input).await;
    let start = now();
    let sockets = options.connected().await;
    for socket in &sockets {
        if let Err(error) = socket.send(Bytes::from_static(b"hi")).await {
            fail(&error);
        }
    }
    done(options.conns as u64, start, now(), "");
    std::future::pending().await
}

#[actix::main]
async fn main() {
    let options = Options::parse();
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let input = stdin_line();
    match options.role.as_str() {
        "send" => send(&options, input).await,
        "ping" => ping(&options, input).await,
        "pub" => publish(&options, input).await,
        "sub" => subscribe(&options).await,
        "idle-connect" => idle_connect(&options, input).await,
        bound => {
            let socket = options.bound(Socket::builder()).await;
            match bound {
                "recv" => drop(Counter::start_on(
                    &socket,
                    Some(options.size),
                    options.count,
                )),
                "idle-bind" => drop(Counter::start_on(&socket, None, options.conns as u64)),
                _ => drop(
                    Echo {
                        socket: socket.downgrade(),
                    }
                    .start(),
                ),
            }
            ready();
            std::future::pending().await
        }
    }
}
