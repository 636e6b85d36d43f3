//! A thousand peers that flood a socket which waits for their answers, in a process whose memory is looked at.

mod support;

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::ask::Whom;
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use support::each::each;
use support::raw_peer::{DATA, frame, hello};
use support::{again, aside, memory, within_patience};

const MIB: u64 = 1024 * 1024;

/// What may come on top of the budget: the allocator's, the tasks', and what the asks are made of.
const BESIDE: u64 = 16 * MIB;

const PEERS: u64 = 1000;

/// Descriptors that a process may need beside those of the peers.
const OTHERS: u64 = 300;

/// As many peers as the descriptors allow.
fn peers() -> u64 {
    let wanted = PEERS + OTHERS;
    let limit = rlimit::increase_nofile_limit(wanted).expect("a limit");
    PEERS.min(limit.saturating_sub(OTHERS))
}

/// The socket: says where it listens, asks all of its peers, and says what it holds when it is asked.
async fn flooded() {
    let peers = peers();
    let socket = Socket::start().unwrap();
    // Whoever receives never finishes the first message.
    each(&socket, |_| -> ResponseFuture<()> {
        Box::pin(std::future::pending())
    });
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    eprintln!("port {}", endpoint.port().unwrap());
    socket.wait_for_peers(peers as usize).await.unwrap();
    for peer in socket.peers() {
        let asking = socket.ask(Whom::Peer(peer.peer), &Bytes::from_static(b"how much?"));
        actix::spawn(asking.timeout(Duration::from_secs(600)));
    }
    while socket.stats().asks < peers as usize {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eprintln!("ready");
    while again::order().await.is_some() {
        let stats = socket.stats();
        let counted = stats.inbox_bytes
            + stats.queued_bytes
            + stats.unacknowledged_bytes
            + stats.outbox_bytes
            + stats.unfinished_bytes;
        eprintln!("holds {counted}");
        eprintln!("{stats:?}");
    }
}

/// What the peers write.
#[derive(Debug, Clone, Copy)]
enum Flood {
    /// As much as the socket takes, in messages of so many bytes.
    Stream(usize),
    /// The larger part of a frame that never ends, of so many bytes.
    Part(usize),
}

impl Flood {
    /// Bytes that are written again and again.
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Stream(bytes) => {
                let message = frame(DATA, &vec![b'x'; bytes]);
                message.repeat((256 * 1024 / message.len()).max(1))
            }
            Self::Part(bytes) => {
                let mut message = frame(DATA, &vec![b'x'; bytes]);
                message.truncate(bytes - 100);
                message
            }
        }
    }
}

/// Peers that write, once they are to go.
fn flood(address: SocketAddr, count: u64, what: Flood, over: &AtomicBool, go: &AtomicBool) {
    let mut peers: Vec<(TcpStream, usize)> = (0..count)
        .map(|number| {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut identity = [7; 16];
            identity[..8].copy_from_slice(&number.to_be_bytes());
            stream.write_all(&hello(identity)).unwrap();
            stream.set_nonblocking(true).unwrap();
            (stream, 0)
        })
        .collect();
    let messages = what.bytes();
    while !go.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10));
    }
    while !over.load(Ordering::Relaxed) {
        let mut wrote = false;
        for (stream, written) in &mut peers {
            if matches!(what, Flood::Part(_)) && *written == messages.len() {
                continue;
            }
            match stream.write(&messages[*written..]) {
                Ok(count) => {
                    *written += count;
                    if !matches!(what, Flood::Part(_)) {
                        *written %= messages.len();
                    }
                    wrote = true;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
        if !wrote {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

async fn grows_within_the_budget(test: &str, what: Flood) {
    if again::part().is_some() {
        return flooded().await;
    }
    let count = peers();
    let mut child = again::start(test, "flooded");
    let port = again::told_number(&mut child, "port ").await;
    let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
    let [over, go] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let flooding = {
        let (over, go) = (Arc::clone(&over), Arc::clone(&go));
        thread::spawn(move || flood(address, count, what, &over, &go))
    };
    again::told(&mut child, "ready").await;
    let before = memory::resident(child.id());
    go.store(true, Ordering::Relaxed);
    // Until it grows no more.
    let process = child.id();
    let settled = aside(move || {
        let (mut peak, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_secs(2) {
            let now = memory::peak(process);
            if now > peak {
                (peak, since) = (now, Instant::now());
            }
            thread::sleep(Duration::from_millis(50));
        }
        peak
    });
    let grown = within_patience("it to settle", settled).await - before;
    child.say("look");
    let counted = again::told_number(&mut child, "holds ").await;
    let stats = again::told(&mut child, "Stats").await;
    over.store(true, Ordering::Relaxed);
    flooding.join().unwrap();
    eprintln!(
        "{count} peers, {what:?}: grown {} KiB, counted {} KiB",
        grown / 1024,
        counted / 1024
    );
    eprintln!("{stats}");
    assert!(
        grown <= 64 * MIB + BESIDE,
        "grown by {grown}, of which are counted {counted}"
    );
    assert!(
        grown <= counted + BESIDE,
        "grown by {grown}, of which are counted {counted}"
    );
}

#[actix::test]
async fn a_thousand_flooding_peers_that_are_asked_grow_a_socket_within_its_budget() {
    let test = "a_thousand_flooding_peers_that_are_asked_grow_a_socket_within_its_budget";
    grows_within_the_budget(test, Flood::Stream(100)).await;
}

#[actix::test]
async fn a_thousand_flooding_peers_with_larger_messages_grow_a_socket_within_its_budget() {
    let test = "a_thousand_flooding_peers_with_larger_messages_grow_a_socket_within_its_budget";
    grows_within_the_budget(test, Flood::Stream(40_000)).await;
}

#[actix::test]
async fn a_thousand_peers_that_never_finish_a_frame_grow_a_socket_within_its_budget() {
    let test = "a_thousand_peers_that_never_finish_a_frame_grow_a_socket_within_its_budget";
    grows_within_the_budget(test, Flood::Part(65_000)).await;
}
