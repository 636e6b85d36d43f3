//! Whoever is slow makes others wait, or loses by rule; nothing grows without limit.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{SocketBuilder, stats::Stats};
use bytes::Bytes;
use support::each::each;
use support::events::PeerProbe;
use support::host::Host;
use support::raw_peer::{DATA, RawPeer};
use support::{aside, eventually, within_patience};
use tokio::sync::{Semaphore, mpsc};

const KIB: usize = 1024;
/// What inboxes and links may hold, by default.
const MESSAGES: usize = 4096;
const BYTES: usize = 256 * KIB;

/// A handler that finishes a message when the test lets it.
fn gated(socket: &Socket) -> (Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, handled) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
    let (opened, count) = (Arc::clone(&gate), Arc::clone(&handled));
    each(socket, move |_| -> ResponseFuture<()> {
        let (gate, handled) = (Arc::clone(&opened), Arc::clone(&count));
        Box::pin(async move {
            gate.acquire().await.expect("the gate stays").forget();
            handled.fetch_add(1, Ordering::SeqCst);
        })
    });
    (gate, handled)
}

async fn pair(bind: SocketBuilder, connect: SocketBuilder) -> (Socket, Socket) {
    let (a, b) = (bind.start().unwrap(), connect.start().unwrap());
    let endpoint = a.bind("127.0.0.1:0").await.unwrap();
    b.connect(endpoint).await.unwrap();
    a.wait_for_peers(1).await.unwrap();
    b.wait_for_peers(1).await.unwrap();
    (a, b)
}

/// Sends until `try_send` has found everything full for a good while.
async fn fill(socket: &Socket, payload: &Bytes) -> usize {
    let (mut sent, mut in_vain) = (0, 0);
    while in_vain < 100 {
        match socket.try_send(payload.clone()) {
            Ok(()) => (sent, in_vain) = (sent + 1, 0),
            Err(error) => {
                assert!(error.is_full());
                assert_eq!(&error.into_payload(), payload, "it is handed back");
                in_vain += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    sent
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4 * KIB
}

fn within_bounds(stats: &Stats) {
    assert!(stats.inbox_messages <= 2 * MESSAGES, "{stats:?}");
    assert!(stats.inbox_bytes <= BYTES, "{stats:?}");
    assert!(stats.queued_messages <= MESSAGES, "{stats:?}");
    assert!(stats.queued_bytes <= BYTES + 16 * KIB, "{stats:?}");
    assert!(stats.outbox_messages <= 100_000, "{stats:?}");
}

#[actix::test]
async fn a_handler_that_sleeps_holds_its_sender_back_and_memory_stays() {
    for size in [16, 64 * KIB] {
        let (server, client) = pair(Socket::builder(), Socket::builder()).await;
        let (gate, handled) = gated(&server);
        let payload = Bytes::from(vec![1; size]);
        let before = resident_bytes();
        let mut sent = fill(&client, &payload).await;
        within_bounds(&server.stats());
        within_bounds(&client.stats());
        let grown = resident_bytes().saturating_sub(before);
        assert!(
            grown < 24 << 20,
            "{grown} bytes for {sent} messages of {size}"
        );
        gate.add_permits(1 << 20);
        client.send(payload).await.unwrap();
        sent += 1;
        eventually("all to be handled", || {
            handled.load(Ordering::SeqCst) == sent
        })
        .await;
        let stats = server.stats();
        assert_eq!((stats.inbox_messages, stats.inbox_bytes), (0, 0));
    }
}

#[actix::test]
async fn a_flood_does_not_silence_a_trickle() {
    let server = Socket::builder().start().unwrap();
    let (trickles, mut trickled) = mpsc::unbounded_channel();
    each(&server, move |message| {
        if message.payload() == "trickle" {
            let _ = trickles.send(());
        }
    });
    let bound = server.bind("tcp://127.0.0.1:0").await.unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], bound.port().unwrap()));
    let stop = Arc::new(AtomicUsize::new(0));
    let flood = {
        let stop = Arc::clone(&stop);
        aside(move || {
            let mut peer = RawPeer::introduced(address, [1; 16]);
            let frames = support::raw_peer::frame(DATA, b"flood").repeat(5000);
            while stop.load(Ordering::SeqCst) == 0 {
                peer.say(&frames);
            }
        })
    };
    let flood = actix::spawn(flood);
    let mut trickle = aside(move || RawPeer::introduced(address, [2; 16])).await;
    for _ in 0..20 {
        trickle = aside(move || {
            trickle.data(b"trickle");
            trickle
        })
        .await;
        within_patience("the trickle", trickled.recv())
            .await
            .expect("the handler lives");
    }
    stop.store(1, Ordering::SeqCst);
    within_patience("the flood to end", flood).await.unwrap();
    assert!(server.stats().received > 20, "the flood came, too");
}

#[actix::test]
async fn a_send_that_is_dropped_while_it_waits_sends_nothing_and_blocks_nobody() {
    let (server, client) = pair(Socket::builder(), Socket::builder()).await;
    let (gate, handled) = gated(&server);
    let payload = Bytes::from(vec![1; KIB]);
    let mut sent = fill(&client, &payload).await;
    let mut abandoned = Box::pin(client.send(payload.clone()));
    let mut kept = Box::pin(client.send(payload));
    std::future::poll_fn(|cx| {
        assert!(abandoned.as_mut().poll(cx).is_pending());
        assert!(kept.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(abandoned);
    gate.add_permits(1 << 20);
    within_patience("its turn", kept).await.unwrap();
    sent += 1;
    client.flush().await.unwrap();
    eventually("all to be handled", || {
        handled.load(Ordering::SeqCst) == sent
    })
    .await;
    assert_eq!(server.stats().received, sent as u64);
}

#[actix::test]
async fn senders_that_wait_are_served_in_the_order_in_which_they_began() {
    let mut host = Host::alone(Socket::builder().link_capacity(2, BYTES)).await;
    let address = host.address;
    let mut peer = aside(move || RawPeer::introduced(address, [1; 16])).await;
    host.peers.up().await;
    let filler = Bytes::from(vec![0; 64 * KIB]);
    let filled = fill(&host.socket, &filler).await;
    let mut waiting = Vec::new();
    for number in 0..200_u32 {
        let mut sending = Box::pin(host.socket.send(number.to_be_bytes().to_vec()));
        std::future::poll_fn(|cx| {
            assert!(sending.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        waiting.push(sending);
    }
    assert!(host.socket.try_send("overtakes").unwrap_err().is_full());
    let reading = aside(move || {
        for _ in 0..filled {
            assert_eq!(peer.expect_data().len(), 64 * KIB);
        }
        for number in 0..200_u32 {
            assert_eq!(peer.expect_data(), number.to_be_bytes());
        }
    });
    // Polled last first: only the line decides.
    let all = async {
        let mut waiting: Vec<_> = waiting.into_iter().rev().map(Some).collect();
        std::future::poll_fn(|cx| {
            for slot in &mut waiting {
                if let Some(sending) = slot
                    && let Poll::Ready(sent) = sending.as_mut().poll(cx)
                {
                    sent.unwrap();
                    *slot = None;
                }
            }
            match waiting.iter().any(Option::is_some) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
    };
    within_patience("everyone's turn", async { tokio::join!(all, reading) }).await;
}

#[actix::test]
async fn a_subscriber_that_never_reads_loses_its_copies_and_delays_no_other() {
    let (letters, mut dead) = Probe::<DeadLetter>::recipient();
    let builder = Socket::builder()
        .send_mode(SendMode::Publish)
        .publish_patience(Duration::from_millis(50))
        .on_dead_letter(letters);
    let host = Host::alone(builder).await;
    let address = host.address;
    let frozen = aside(move || RawPeer::introduced(address, [1; 16])).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let reader = Socket::start().unwrap();
        reader.connect(host.endpoint()).await.unwrap();
        readers.push(reader);
    }
    host.socket.wait_for_peers(4).await.unwrap();
    const COUNT: u32 = 2000;
    let publishing = async {
        for number in 0..COUNT {
            let mut payload = vec![0; 8 * KIB];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            host.socket.send(payload).await.unwrap();
        }
    };
    let reading = async {
        for number in 0..COUNT {
            for reader in &readers {
                let message = reader.recv().await.unwrap();
                assert_eq!(message.payload()[..4], number.to_be_bytes());
            }
        }
    };
    within_patience("the others", async { tokio::join!(publishing, reading) }).await;
    let letter = dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Overflow);
    assert_eq!(letter.peer, Some(Identity::from_bytes([1; 16])));
    within_bounds(&host.socket.stats());
    drop(frozen);
    eventually("it to be gone", || host.socket.stats().peers == 3).await;
    host.socket.flush().await.unwrap();
    let stats = host.socket.stats();
    assert_eq!(stats.sent + stats.dead_letters, 4 * u64::from(COUNT));
}

#[actix::test]
async fn of_two_peers_one_of_which_never_reads_the_other_gets_what_is_dealt_out() {
    const COUNT: u64 = 5000;
    let mut host = Host::alone(Socket::builder()).await;
    let address = host.address;
    let frozen = aside(move || RawPeer::introduced(address, [1; 16])).await;
    host.peers.up().await;
    let reader = Socket::start().unwrap();
    reader.connect(host.endpoint()).await.unwrap();
    host.peers.up().await;
    let received = Arc::<AtomicUsize>::default();
    let (counting, counted) = (reader.clone(), Arc::clone(&received));
    actix::spawn(async move {
        while counting.recv().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let payload = Bytes::from(vec![1; 8 * KIB]);
    let sending = async {
        for _ in 0..COUNT {
            host.socket.send(payload.clone()).await.unwrap();
            let queued = host.socket.stats().queued_bytes;
            assert!(queued <= 2 * (BYTES + 16 * KIB), "{queued}");
        }
    };
    within_patience("all to be accepted", sending).await;
    // What it left is the other's, but for what the kernel had taken.
    drop(frozen);
    eventually("it to be gone", || host.socket.stats().peers == 1).await;
    host.socket.flush().await.unwrap();
    let stats = host.socket.stats();
    assert_eq!((stats.sent, stats.dead_letters), (COUNT, 0));
    eventually("the last one", || {
        let received = received.load(Ordering::SeqCst) as u64;
        received == reader.stats().received && received > COUNT / 2
    })
    .await;
}

#[actix::test]
async fn closing_ends_a_connection_whose_peer_never_reads_and_accounts_for_its_messages() {
    let builder = Socket::builder().heartbeat_timeout(Duration::from_secs(3600));
    let mut host = Host::alone(builder).await;
    let address = host.address;
    let frozen = aside(move || RawPeer::introduced(address, [1; 16])).await;
    host.peers.up().await;
    let sent = fill(&host.socket, &Bytes::from(vec![1; 4 * KIB])).await;
    let report = host.socket.close_within(Duration::from_millis(10)).await;
    assert!(report.unsent > 0);
    let stats = host.socket.stats();
    assert_eq!(stats.connections, 0);
    assert_eq!(report.sent + report.unsent as u64, sent as u64);
    assert_eq!(
        (stats.sent, stats.dead_letters),
        (report.sent, report.unsent as u64)
    );
    assert_eq!(host.socket.close().await, report, "whoever closes again");
    assert_eq!((stats.outbox_messages, stats.queued_messages), (0, 0));
    drop(frozen);
}
