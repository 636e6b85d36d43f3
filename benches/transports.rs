//! Messages one way over TCP, TLS, WebSocket and WebSocket over TLS, beside bare streams.
//!
//! `cargo bench --bench transports --features tls-dev` sends the same volume from one process to
//! another over each, several rounds in turn, and prints rates and ratios. The bare streams are the
//! limits: tokio's TCP stream, and tokio-rustls over it with the same configuration, both with the
//! same frames, writes of 32 KiB, no queue, no bound and no actor. A ratio is taken within a round:
//! of TCP and WebSocket to bare TCP, of the other two to bare TLS. `AIOMSG_ROUNDS` chooses how many
//! rounds there are (default 7), `AIOMSG_OVER=tls,wss` what is measured beside its bare stream, and
//! `AIOMSG_BYTES=65536` with which of the two sizes of payload.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::rustls::crypto::ring;
use actix_aiomsg::rustls::pki_types::pem::PemObject;
use actix_aiomsg::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use actix_aiomsg::rustls::{ClientConfig, RootCertStore, ServerConfig};
use actix_aiomsg::{Tls, TlsClient, TlsServer};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Present in the receiving process; its value says over what it receives.
const RECEIVER: &str = "AIOMSG_BENCH_RECEIVER";
/// The certificates, in PEM: the bind end's with its key, and the authority's.
const SERVER: &str = "AIOMSG_BENCH_SERVER";
const AUTHORITY: &str = "AIOMSG_BENCH_AUTHORITY";
/// How many messages of how many bytes: 512 MiB each.
const LOADS: [(usize, u64); 2] = [(1024, 524_288), (64 * 1024, 8192)];
const WRITE_BYTES: usize = 32 * 1024;
const READ_BYTES: usize = 64 * 1024;
const HEADER_BYTES: usize = 5;
const DATA: u8 = 0x03;

/// What the messages travel in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    BareTcp,
    Tcp,
    WebSocket,
    BareTls,
    Tls,
    Wss,
}

const ALL: [Over; 6] = [
    Over::BareTcp,
    Over::Tcp,
    Over::WebSocket,
    Over::BareTls,
    Over::Tls,
    Over::Wss,
];

impl Over {
    const fn name(self) -> &'static str {
        match self {
            Self::BareTcp => "bare tokio TCP",
            Self::Tcp => "tcp",
            Self::WebSocket => "ws",
            Self::BareTls => "bare tokio-rustls",
            Self::Tls => "tls",
            Self::Wss => "wss",
        }
    }

    /// What it is measured by.
    const fn limit(self) -> Self {
        match self {
            Self::BareTcp | Self::Tcp | Self::WebSocket => Self::BareTcp,
            Self::BareTls | Self::Tls | Self::Wss => Self::BareTls,
        }
    }

    const fn is_secure(self) -> bool {
        matches!(self.limit(), Self::BareTls)
    }
}

/// What both processes know.
#[derive(Clone)]
struct Secrets {
    server: String,
    authority: String,
}

impl Secrets {
    fn new() -> Self {
        let dev = Tls::dev();
        let pem = dev.server_pem();
        Self {
            server: pem.certificate + &pem.key,
            authority: dev.ca_pem(),
        }
    }

    fn inherited() -> Self {
        let inherited = |name| std::env::var(name).expect("the first process passes it on");
        Self {
            server: inherited(SERVER),
            authority: inherited(AUTHORITY),
        }
    }

    fn server(&self) -> Arc<ServerConfig> {
        let chain = CertificateDer::from_pem_slice(self.server.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.server.as_bytes()).expect("PEM");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key);
        Arc::new(config.expect("they belong together"))
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.authority.as_bytes()).expect("PEM");
        roots.add(authority).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

fn main() {
    let system = System::new();
    match std::env::var(RECEIVER) {
        Ok(receiver) => {
            let over = ALL.into_iter().find(|over| over.name() == receiver);
            let over = over.expect("a name from here");
            let count = std::env::args().nth(1).and_then(|n| n.parse().ok());
            let count = count.expect("the number of messages");
            system.block_on(receive(over, count, Secrets::inherited()));
        }
        Err(_) => system.block_on(measure()),
    }
}

async fn measure() {
    let rounds = std::env::var("AIOMSG_ROUNDS").ok();
    let rounds: usize = rounds.and_then(|n| n.parse().ok()).unwrap_or(7);
    let chosen = chosen();
    let secrets = Secrets::new();
    println!("one way, two processes, medians of {rounds} rounds\n");
    println!("| payload | over | MB/s | of its bare stream (lowest–highest) |");
    println!("|---|---|---|---|");
    let sizes = std::env::var("AIOMSG_BYTES").ok();
    let size: Option<usize> = sizes.and_then(|bytes| bytes.parse().ok());
    let wanted = |(bytes, _): &(usize, u64)| size.is_none_or(|size| size == *bytes);
    for (size, count) in LOADS.into_iter().filter(wanted) {
        let mut rates = vec![Vec::new(); chosen.len()];
        for _ in 0..rounds {
            for (over, rates) in chosen.iter().zip(&mut rates) {
                rates.push(run(*over, size, count, &secrets).await);
            }
        }
        for (index, over) in chosen.iter().enumerate() {
            let limit = chosen.iter().position(|it| *it == over.limit());
            let ratios = rates[index].iter().zip(&rates[limit.unwrap_or(index)]);
            let ratios = sorted(ratios.map(|(rate, limit)| rate / limit).collect());
            let rate = sorted(rates[index].clone())[rounds / 2];
            println!(
                "| {size} B | {} | {:.0} | {:.2} ({:.2}–{:.2}) |",
                over.name(),
                rate / 1e6,
                ratios[rounds / 2],
                ratios[0],
                ratios[rounds - 1],
            );
        }
    }
}

/// What is measured, with the bare streams that it is measured by.
fn chosen() -> Vec<Over> {
    let Ok(names) = std::env::var("AIOMSG_OVER") else {
        return ALL.into();
    };
    let wanted: Vec<_> = ALL
        .into_iter()
        .filter(|over| names.split(',').any(|name| name == over.name()))
        .collect();
    let is_limit = |over: &Over| wanted.iter().any(|wanted| wanted.limit() == *over);
    ALL.into_iter()
        .filter(|over| wanted.contains(over) || is_limit(over))
        .collect()
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// One transfer: bytes of payload per second.
async fn run(over: Over, size: usize, count: u64, secrets: &Secrets) -> f64 {
    let mut receiver = Receiver::start(over, count, secrets);
    let address: SocketAddr = receiver.line().parse().expect("an address");
    let payload: Bytes = (0..size).map(|i| (i as u8).wrapping_mul(31)).collect();
    let told = match over {
        Over::BareTcp => {
            let mut stream = connect(address).await;
            send_bare(&mut stream, &payload, count).await;
            receiver.line()
        }
        Over::BareTls => {
            let name = ServerName::try_from("127.0.0.1").expect("an address");
            let connector = TlsConnector::from(secrets.client());
            let stream = connector.connect(name, connect(address).await).await;
            let mut stream = stream.expect("a handshake");
            send_bare(&mut stream, &payload, count).await;
            // Closing it earlier, over session tickets that were not read, would reset it.
            receiver.line()
        }
        Over::Tcp | Over::WebSocket | Over::Tls | Over::Wss => {
            send_ours(over, address, &payload, count, secrets).await;
            receiver.line()
        }
    };
    let nanoseconds: f64 = told.parse().expect("a number");
    (count as f64) * (size as f64) / nanoseconds * 1e9
}

/// The other process; it is ended with this.
struct Receiver {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Receiver {
    fn start(over: Over, count: u64, secrets: &Secrets) -> Self {
        let program = std::env::current_exe().expect("this very program");
        let mut child = Command::new(program)
            .arg(count.to_string())
            .env(RECEIVER, over.name())
            .env(SERVER, &secrets.server)
            .env(AUTHORITY, &secrets.authority)
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
        // It may have ended already.
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

async fn receive(over: Over, count: u64, secrets: Secrets) {
    match over {
        Over::BareTcp | Over::BareTls => {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            tell(listener.local_addr().expect("a bound address"));
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a TCP option");
            if over == Over::BareTcp {
                receive_bare(stream, count).await;
            } else {
                let acceptor = TlsAcceptor::from(secrets.server());
                let stream = acceptor.accept(stream).await;
                receive_bare(stream.expect("a handshake"), count).await;
            }
        }
        Over::Tcp | Over::WebSocket | Over::Tls | Over::Wss => {
            receive_ours(over, count, secrets).await;
        }
    }
    std::future::pending().await
}

struct Counter {
    socket: WeakSocket,
    expected: u64,
    received: u64,
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
        std::hint::black_box(message.payload().len());
        if self.received == self.expected {
            tell(self.start.elapsed().as_nanos());
        }
    }
}

async fn receive_ours(over: Over, expected: u64, secrets: Secrets) {
    let socket = Socket::start().expect("a system runs");
    let mut options = BindOptions::new();
    if over.is_secure() {
        options = options.tls(TlsServer::from(secrets.server()));
    }
    let endpoint = socket.bind_with("127.0.0.1:0", options).await;
    Counter {
        socket: socket.downgrade(),
        expected,
        received: 0,
        start: Instant::now(),
    }
    .start();
    let port = endpoint.expect("a free port").port().unwrap_or(0);
    tell(format_args!("127.0.0.1:{port}"));
    std::future::pending().await
}

async fn send_ours(
    over: Over,
    address: SocketAddr,
    payload: &Bytes,
    count: u64,
    secrets: &Secrets,
) {
    let socket = Socket::start().expect("a system runs");
    let mut options = ConnectOptions::new();
    if over.is_secure() {
        options = options.tls(TlsClient::from(secrets.client()));
    }
    let endpoint = format!("{}://{address}", over.name());
    socket
        .connect_with(endpoint, options)
        .await
        .expect("an endpoint");
    socket.wait_for_peers(1).await.expect("it comes");
    for _ in 0..count {
        socket.send(payload.clone()).await.expect("it is accepted");
    }
    socket.close_within(Duration::from_secs(30)).await;
}

async fn receive_bare(mut stream: impl AsyncRead + Unpin, expected: u64) {
    let mut buffer = BytesMut::with_capacity(4 * READ_BYTES);
    let (mut received, mut start) = (0, None);
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
            std::hint::black_box(&buffer[..length - 1]);
            buffer.advance(length - 1);
            received += 1;
        }
    }
    tell(start.map_or(0, |start| start.elapsed().as_nanos()));
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

async fn send_bare(stream: &mut (impl AsyncWrite + Unpin), payload: &[u8], count: u64) {
    let length = u32::try_from(payload.len() + 1).expect("it is small");
    let mut batch = Vec::with_capacity(2 * WRITE_BYTES + payload.len());
    for number in 1..=count {
        batch.extend_from_slice(&length.to_be_bytes());
        batch.push(DATA);
        batch.extend_from_slice(payload);
        if batch.len() >= WRITE_BYTES || number == count {
            for piece in batch.chunks(WRITE_BYTES) {
                stream.write_all(piece).await.expect("it reads");
            }
            batch.clear();
        }
    }
    stream.flush().await.expect("it reads");
}
