//! Messages one way over TCP, TLS, WebSocket and WebSocket over TLS, beside bare streams.
//!
//! `cargo bench --bench transports --features tls-dev` sends the same volume from one process to
//! another over each, several rounds in turn, and prints rates and ratios. The bare streams are the
//! limits: tokio's TCP stream, and tokio-rustls over it with the same configuration, both with the
//! same frames, writes of 32 KiB, no queue, no bound and no actor. A ratio is taken within a round:
//! of TCP and WebSocket to bare TCP, of the other two to bare TLS. `AIOMSG_ROUNDS` chooses how many
//! rounds there are (default 7), `AIOMSG_OVER=tls,wss` what is measured beside its bare stream, and
//! `AIOMSG_BYTES=65536` with which of the two sizes of payload.

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::tls::{TlsClient, TlsServer};
use bytes::Bytes;
use support::bare;
use support::each::each;
use support::process::{End, tell};
use support::secrets::{self, Secrets};
use tokio::io::AsyncRead;

/// Present in the receiving process; its value says over what it receives.
const RECEIVER: &str = "AIOMSG_BENCH_RECEIVER";
/// How many messages of how many bytes: 512 MiB each.
const LOADS: [(usize, u64); 2] = [(1024, 524_288), (64 * 1024, 8192)];

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

fn main() {
    let system = System::new();
    match std::env::var(RECEIVER) {
        Ok(receiver) => {
            let over = ALL.into_iter().find(|over| over.name() == receiver);
            let over = over.expect("a name from here");
            let count = std::env::args().nth(1).and_then(|n| n.parse().ok());
            let count = count.expect("the number of messages");
            system.block_on(receive(over, count, secrets::inherited()));
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
    let mut receiver = receiver(over, count, secrets);
    let address: SocketAddr = receiver.line().parse().expect("an address");
    let payload: Bytes = (0..size).map(|i| (i as u8).wrapping_mul(31)).collect();
    // A bare stream is kept until all is read: closing it earlier, over session tickets that were
    // not read, would reset it.
    let told = match over {
        Over::BareTcp => {
            let mut stream = bare::connect(address).await;
            bare::send(&mut stream, &payload, count).await;
            receiver.line()
        }
        Over::BareTls => {
            let stream = bare::connect(address).await;
            let mut stream = bare::connect_tls(stream, secrets).await;
            bare::send(&mut stream, &payload, count).await;
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

fn receiver(over: Over, count: u64, secrets: &Secrets) -> End {
    let mut command = Command::new(std::env::current_exe().expect("this very program"));
    command.arg(count.to_string()).env(RECEIVER, over.name());
    secrets.pass_on(&mut command);
    End::start(command)
}

async fn receive(over: Over, count: u64, secrets: Secrets) {
    match over {
        Over::BareTcp => receive_bare(bare::accept(&bare::bind().await).await, count).await,
        Over::BareTls => {
            let stream = bare::accept(&bare::bind().await).await;
            receive_bare(bare::accept_tls(stream, &secrets).await, count).await;
        }
        Over::Tcp | Over::WebSocket | Over::Tls | Over::Wss => {
            receive_ours(over, count, secrets).await;
        }
    }
    std::future::pending().await
}

async fn receive_ours(over: Over, expected: u64, secrets: Secrets) {
    let socket = Socket::start().expect("a system runs");
    let mut options = BindOptions::new();
    if over.is_secure() {
        options = options.tls(TlsServer::from(secrets.server()));
    }
    let endpoint = socket.bind_with("127.0.0.1:0", options).await;
    let mut counted = counted(expected);
    each(&socket, move |message| {
        std::hint::black_box(message.payload().len());
        counted(1);
    });
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

async fn receive_bare(stream: impl AsyncRead + Unpin, expected: u64) {
    bare::receive(stream, counted(expected)).await;
}

/// Notes how many have just come. When all have, it tells how long that took from the first on.
fn counted(expected: u64) -> impl FnMut(u64) + Unpin {
    let (mut received, mut start) = (0, None);
    move |messages| {
        let start = start.get_or_insert_with(Instant::now);
        received += messages;
        if received == expected {
            tell(start.elapsed().as_nanos());
        }
    }
}
