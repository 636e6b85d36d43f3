//! NATS servers on loopback, and what tests of the bridge share.
#![allow(dead_code, unreachable_pub, missing_docs)]

#[path = "../../../tests/support/folder.rs"]
mod folder;
#[path = "../../../tests/support/process.rs"]
pub mod process;
#[path = "../../../tests/support/python.rs"]
mod python;
#[path = "../../../tests/support/scale.rs"]
pub mod scale;
#[path = "../../../tests/support/waiting.rs"]
mod waiting;

use std::collections::BTreeMap;
use std::fs;
use std::future::IntoFuture;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use actix_aiomsg::{Dedupe, Receipt};
use actix_aiomsg_nats::async_nats;
use async_nats::jetstream;
use folder::Folder;
use process::Process;
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
pub use waiting::{PATIENCE, aside, eventually, within_patience};

/// The server of the PyPI package, beside the interpreter that the tests use.
fn program() -> PathBuf {
    let beside = python::interpreter().with_file_name("nats-server");
    assert!(
        beside.exists(),
        "there is no {}: `tests/run --setup` installs it",
        beside.display()
    );
    beside
}

/// Ports that were free a moment ago.
pub fn ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    std::array::from_fn(|index| held[index].local_addr().expect("it is bound").port())
}

/// One server, which can be killed and started again at the same port.
pub struct Server {
    pub port: u16,
    config: PathBuf,
    process: Option<Process>,
    folder: Folder,
}

impl Server {
    /// A server with JetStream, and these lines in its configuration.
    pub async fn start(lines: &str) -> Self {
        let [port] = ports();
        let mut server = Self::prepared(port, true, lines);
        server.again().await;
        server
    }

    /// One without JetStream.
    pub async fn without_jetstream() -> Self {
        let [port] = ports();
        let mut server = Self::prepared(port, false, "");
        server.again().await;
        server
    }

    pub fn prepared(port: u16, jetstream: bool, lines: &str) -> Self {
        let folder = Folder::new("nats");
        let server = Self {
            port,
            config: folder.file("server.conf"),
            process: None,
            folder,
        };
        server.configure(jetstream, lines);
        server
    }

    /// From its next start on it has these lines in its configuration.
    pub fn configure(&self, jetstream: bool, lines: &str) {
        let store = self.folder.file("store");
        let jetstream = match jetstream {
            true => format!("jetstream {{ store_dir: {store:?}, max_file_store: 1GB }}\n"),
            false => String::new(),
        };
        let port = self.port;
        let text = format!("listen: \"127.0.0.1:{port}\"\n{jetstream}{lines}\n");
        fs::write(&self.config, text).unwrap();
    }

    pub fn spawn(&mut self) {
        let mut command = Command::new(program());
        command.arg("-c").arg(&self.config);
        self.process = Some(Process::spawn(&mut command));
    }

    /// Starts it, and waits until it says that it is ready.
    pub async fn again(&mut self) {
        self.spawn();
        let process = self.process.as_mut().expect("just started");
        process
            .stderr
            .find(|line| line.contains("Server is ready"))
            .await;
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// It stands still, with its connections open; or goes on.
    pub fn stand_still(&self, still: bool) {
        let name = if still { "STOP" } else { "CONT" };
        self.process.as_ref().expect("it runs").signal(name);
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub async fn client(&self) -> async_nats::Client {
        within_patience("a connection", async_nats::connect(self.url()))
            .await
            .expect("the server is there")
    }

    pub async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client().await)
    }
}

/// What this thread logs.
#[derive(Clone, Default)]
pub struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// Has the lines at INFO and above, until what comes with it is dropped.
    pub fn begin() -> (Self, (Dispatch, DefaultGuard)) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        // With one dispatcher alone, a line that another test reaches first would be off for this thread as well.
        let another = Dispatch::new(tracing_subscriber::registry());
        let logging = tracing::subscriber::set_default(subscriber.finish());
        (logged, (another, logging))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The payload of message `number`.
pub fn payload(number: u64) -> String {
    format!("message {number}")
}

pub fn number(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).expect("text");
    let number = text.strip_prefix("message ").expect("one of ours");
    number.parse().expect("a number")
}

/// A socket that listens, and where.
pub async fn listening(name: &str) -> (Socket, Endpoint) {
    let socket = Socket::builder()
        .identity(Identity::from_name(name))
        .dedupe(Dedupe::within(100_000, Duration::from_secs(3600)))
        .start()
        .unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    (socket, endpoint)
}

/// A socket that is connected to an endpoint, with dedupe, under a lasting identity.
pub async fn connected(name: &str, endpoint: &Endpoint) -> Socket {
    let socket = Socket::builder()
        .identity(Identity::from_name(name))
        .dedupe(Dedupe::within(100_000, Duration::from_secs(3600)))
        .reconnect(Backoff::fixed(Duration::from_millis(50)))
        .start()
        .unwrap();
    socket.connect(endpoint.clone()).await.unwrap();
    within_patience("a peer", socket.wait_for_peers(1))
        .await
        .unwrap();
    socket
}

/// Sends messages of these numbers at least once, beside the test; done when all are acknowledged.
pub fn sending(socket: &Socket, numbers: std::ops::Range<u64>) -> tokio::task::JoinHandle<()> {
    let socket = socket.clone();
    actix::spawn(async move {
        for receipt in send_all(&socket, numbers).await {
            receipt.await.unwrap();
        }
    })
}

/// Sends a message, and waits for its acknowledgement.
pub async fn acknowledged(socket: &Socket, number: u64) {
    let sending = socket.send(payload(number)).acknowledged();
    within_patience("an acknowledgement", sending)
        .await
        .unwrap();
}

/// Publishes a message to a stream, which has it then.
pub async fn publish(jetstream: &jetstream::Context, subject: &str, number: u64) {
    let subject = subject.to_owned();
    let published = jetstream.publish(subject, payload(number).into()).await;
    let stored = published.unwrap().into_future();
    within_patience("it to be stored", stored).await.unwrap();
}

/// How long it takes at most until what would come twice comes: the bridges of tests let JetStream send again after a second.
const AGAIN: Duration = Duration::from_millis(1500);

/// Asserts that the receiver gets nothing more. What is late makes this pass, and does not make it fail.
pub async fn assert_nothing_more(receiver: &Socket) {
    let more = tokio::time::timeout(AGAIN, receiver.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

/// Sends messages of these numbers at least once, without waiting for their acknowledgements.
pub async fn send_all(socket: &Socket, numbers: std::ops::Range<u64>) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in numbers {
        receipts.push(socket.send(payload(number)).receipt().await.unwrap());
    }
    receipts
}

/// Takes messages until there are so many different ones: how often each came.
pub async fn take(socket: &Socket, count: u64) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    while (counts.len() as u64) < count {
        let message = within_patience("a message", socket.recv()).await.unwrap();
        *counts.entry(number(message.payload())).or_default() += 1;
    }
    counts
}

/// What a stream holds: how often each message, and in which order.
pub async fn stored(jetstream: &jetstream::Context, stream: &str) -> Vec<u64> {
    use futures_util::StreamExt;
    // A cluster may be electing a leader.
    let deadline = Instant::now() + PATIENCE;
    let stream = loop {
        match jetstream.get_stream(stream).await {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let count = stream.cached_info().state.messages;
    if count == 0 {
        return Vec::new();
    }
    let consumer = loop {
        let config = jetstream::consumer::pull::OrderedConfig::default();
        match stream.create_consumer(config).await {
            Ok(consumer) => break consumer,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let mut messages = consumer.messages().await.unwrap().take(count as usize);
    let mut numbers = Vec::new();
    while let Some(message) = within_patience("what is stored", messages.next()).await {
        numbers.push(number(&message.unwrap().payload));
    }
    numbers
}

/// Asserts that these are the numbers below `count`, each once.
pub fn assert_each_once(numbers: &[u64], count: u64) {
    let mut counts = BTreeMap::new();
    for number in numbers {
        *counts.entry(*number).or_insert(0) += 1;
    }
    let lost: Vec<_> = (0..count)
        .filter(|number| !counts.contains_key(number))
        .collect();
    assert!(lost.is_empty(), "{} of {count} lost: {lost:?}", lost.len());
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(
        twice.is_empty(),
        "{} of {count} twice: {twice:?}",
        twice.len()
    );
}
