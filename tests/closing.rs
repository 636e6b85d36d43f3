//! What becomes of messages when a socket closes, and what is said of it.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use support::each::each;
use support::events::PeerProbe;
use support::host::Host;
use support::log::Log;
use support::raw_peer::{ACK, RawPeer};
use support::{aside, eventually, within_patience};
use tokio::sync::{Semaphore, mpsc};
use tracing::Level;

const KIB: usize = 1024;
const PEER: [u8; 16] = [1; 16];

/// How long the end of a connection waits for what its peer still has to do.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

#[actix::test]
async fn the_report_tells_acknowledged_unacknowledged_and_unsent_apart() {
    let (recipient, mut dead) = Probe::<DeadLetter>::recipient();
    let mut host = Host::alone(Socket::builder().on_dead_letter(recipient)).await;
    let address = host.address;
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    host.peers.up().await;
    let identity = Identity::from_bytes(PEER);
    for text in ["acknowledged", "ignored", "ignored too"] {
        let sending = host.socket.send(text);
        let sent = sending.guarantee(DeliveryGuarantee::AtLeastOnce).await;
        sent.unwrap();
    }
    host.socket.send("at most once").await.unwrap();
    let peer = aside(move || {
        let mut peer = peer;
        let (id, payload) = peer.expect_data_req();
        assert_eq!(payload, b"acknowledged");
        peer.frame(ACK, &id);
        assert_eq!(peer.expect_data_req().1, b"ignored");
        assert_eq!(peer.expect_data_req().1, b"ignored too");
        assert_eq!(peer.expect_data(), b"at most once");
        peer
    })
    .await;
    eventually("the acknowledgement", || {
        host.socket.stats().acknowledged == 1
    })
    .await;
    drop(peer);
    eventually("it to be gone", || host.socket.stats().peers == 0).await;
    host.socket.send_to(identity, "held").await.unwrap();
    let report = host.socket.close_within(Duration::ZERO).await;
    assert_eq!((report.sent, report.acknowledged), (4, 1));
    assert_eq!((report.unacknowledged, report.unsent), (2, 1));
    let mut texts = Vec::new();
    for _ in 0..3 {
        let letter = dead.next().await.unwrap();
        assert_eq!(letter.reason, DeadLetterReason::Closed);
        texts.push(String::from_utf8(letter.payload.to_vec()).unwrap());
    }
    texts.sort();
    assert_eq!(texts, ["held", "ignored", "ignored too"]);
    assert_eq!(host.socket.stats().losses.closed, 3);
}

#[actix::test]
async fn a_flush_waits_for_the_acknowledgement_of_what_was_sent_at_least_once() {
    let mut host = Host::alone(Socket::builder()).await;
    let address = host.address;
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    host.peers.up().await;
    let sending = host.socket.send("please");
    sending
        .guarantee(DeliveryGuarantee::AtLeastOnce)
        .await
        .unwrap();
    let (peer, id) = aside(move || {
        let mut peer = peer;
        let (id, _) = peer.expect_data_req();
        (peer, id)
    })
    .await;
    let mut flush = Box::pin(host.socket.flush());
    let early = tokio::time::timeout(Duration::from_millis(50), &mut flush).await;
    assert!(early.is_err(), "it is written, and not acknowledged");
    let _peer = aside(move || {
        let mut peer = peer;
        peer.frame(ACK, &id);
        peer
    })
    .await;
    within_patience("the flush", flush).await.unwrap();
    assert_eq!(host.socket.stats().acknowledged, 1);
}

#[actix::test]
async fn dropping_the_last_handle_closes_and_warns_of_what_that_loses() {
    let (log, _logging) = Log::begin(Level::INFO);
    let (recipient, mut dead) = Probe::<DeadLetter>::recipient();
    let builder = Socket::builder()
        .close_deadline(Duration::from_millis(20))
        .on_dead_letter(recipient);
    let socket = builder.start().unwrap();
    let mut state = socket.state();
    let other = socket.clone();
    for text in ["one", "two", "three"] {
        socket.send(text).await.unwrap();
    }
    drop(socket);
    assert_eq!(
        state.borrow_and_update().phase,
        actix_aiomsg::stats::SocketPhase::Open
    );
    drop(other);
    let closed = state.wait_for(|state| state.phase == actix_aiomsg::stats::SocketPhase::Closed);
    within_patience("the end", closed).await.unwrap();
    for text in ["one", "two", "three"] {
        let letter = dead.next().await.unwrap();
        assert_eq!(
            (&letter.payload[..], letter.reason),
            (text.as_bytes(), DeadLetterReason::Closed)
        );
    }
    let warnings = log.lines_with("closed over messages");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("WARN") && warnings[0].contains("unsent=3"),
        "{warnings:?}"
    );
}

#[actix::test]
async fn without_anybody_who_listens_dead_letters_are_counted_in_few_warnings() {
    let (log, _logging) = Log::begin(Level::INFO);
    let builder = Socket::builder()
        .outbox_capacity(1, KIB)
        .outbox_overflow(Overflow::DropOldest);
    let socket = builder.start().unwrap();
    for number in 0..=1000_u32 {
        socket.send(number.to_be_bytes().to_vec()).await.unwrap();
    }
    assert_eq!(socket.stats().losses.overflow, 1000);
    let warnings = log.lines_with("a message will not arrive");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("a queue was full"), "{warnings:?}");
}

/// A handler that handles nothing until the test lets it.
fn gated(socket: &Socket) -> (Arc<Semaphore>, mpsc::UnboundedReceiver<usize>) {
    let gate = Arc::new(Semaphore::new(0));
    let (handled, count) = mpsc::unbounded_channel();
    let opened = Arc::clone(&gate);
    each(socket, move |message| -> ResponseFuture<()> {
        let (gate, handled) = (Arc::clone(&opened), handled.clone());
        Box::pin(async move {
            gate.acquire().await.expect("the gate stays").forget();
            // A test that has ended needs no more messages.
            let _ = handled.send(message.payload().len());
        })
    });
    (gate, count)
}

#[actix::test]
async fn what_no_handler_has_taken_when_the_socket_closes_is_a_dead_letter() {
    let (recipient, mut dead) = Probe::<DeadLetter>::recipient();
    let server = Socket::builder().on_dead_letter(recipient).start().unwrap();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    let (_gate, _handled) = gated(&server);
    let client = Socket::start().unwrap();
    client.connect(endpoint).await.unwrap();
    for _ in 0..10 {
        client.send("hello").await.unwrap();
    }
    eventually("all to be received", || server.stats().received == 10).await;
    let report = server.close_within(Duration::ZERO).await;
    assert_eq!(report.unsent, 0);
    assert!(report.unhandled >= 8, "one or two are in hand: {report:?}");
    for _ in 0..report.unhandled {
        let letter = dead.next().await.unwrap();
        assert_eq!(letter.reason, DeadLetterReason::Closed);
        assert_eq!(letter.peer, Some(client.identity()));
    }
}

#[cfg(unix)]
mod gone {
    //! A peer goes without having read, so that what we write next fails, while what it has sent finds no room.

    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::support::folder::Folder;
    use super::support::raw_peer::{DATA, frame, hello};
    use super::*;

    const MESSAGES: usize = 140;

    /// A socket with room for one message, whose handlers wait for permits, and the lengths of what they have
    /// handled.
    async fn full_of(
        builder: SocketBuilder,
    ) -> (Socket, Arc<Semaphore>, mpsc::UnboundedReceiver<usize>) {
        let socket = builder.inbox_capacity(1, KIB).start().unwrap();
        let folder = Folder::new("closing");
        let file = folder.file("socket");
        let endpoint = format!("unix://{}", file.display());
        socket.bind(endpoint).await.unwrap();
        let (gate, handled) = gated(&socket);
        let peer = aside(move || {
            let mut stream = UnixStream::connect(file).unwrap();
            stream.write_all(&hello(PEER)).unwrap();
            let one = frame(DATA, &[7; KIB]);
            stream.write_all(&one.repeat(MESSAGES)).unwrap();
            stream
        })
        .await;
        socket.wait_for_peers(1).await.unwrap();
        eventually("the first to be received", || socket.stats().received > 0).await;
        drop(peer);
        (socket, gate, handled)
    }

    /// The same, with a message that waits for the end of the connection.
    async fn full() -> (Socket, Arc<Semaphore>, mpsc::UnboundedReceiver<usize>) {
        let full = full_of(Socket::builder()).await;
        full.0.send("nobody reads this").await.unwrap();
        full
    }

    /// The same, with nothing to send but heartbeats, by which it is found out that the peer is gone.
    async fn full_and_idle(
        patience: Duration,
    ) -> (Socket, Arc<Semaphore>, mpsc::UnboundedReceiver<usize>) {
        let builder = Socket::builder()
            .heartbeat_interval(Duration::from_millis(50))
            .standstill_timeout(patience);
        full_of(builder).await
    }

    /// Handlers go on, have all messages, and then the peer is gone.
    async fn all_are_handled(
        socket: &Socket,
        gate: &Semaphore,
        handled: &mut mpsc::UnboundedReceiver<usize>,
    ) {
        gate.add_permits(1 << 20);
        for _ in 0..MESSAGES {
            let length = within_patience("a message", handled.recv()).await;
            assert_eq!(length, Some(KIB));
        }
        eventually("it to be gone", || socket.stats().peers == 0).await;
    }

    #[actix::test]
    async fn what_a_peer_sent_before_it_went_is_handled_even_if_there_was_no_room_at_first() {
        let (socket, gate, mut handled) = full().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        all_are_handled(&socket, &gate, &mut handled).await;
    }

    #[actix::test]
    async fn what_a_peer_sent_before_it_went_waits_for_its_handlers_if_nothing_waits_for_its_end() {
        let (socket, gate, mut handled) = full_and_idle(Duration::from_secs(600)).await;
        tokio::time::sleep(CLOSE_TIMEOUT + Duration::from_secs(1)).await;
        assert_eq!(socket.stats().peers, 1);
        all_are_handled(&socket, &gate, &mut handled).await;
    }

    #[actix::test]
    async fn what_a_peer_sent_before_it_went_does_not_wait_for_handlers_that_stand_still() {
        let (log, _logging) = Log::begin(Level::INFO);
        let (socket, ..) = full_and_idle(Duration::from_millis(50)).await;
        eventually("it to be gone", || socket.stats().peers == 0).await;
        log.has(&["WARN", "over messages that its peer had sent"])
            .await;
    }

    #[actix::test]
    async fn what_finds_no_room_for_two_seconds_after_its_peer_has_gone_is_lost() {
        let begun = Instant::now();
        let (log, _logging) = Log::begin(Level::INFO);
        let (socket, gate, handled) = full().await;
        eventually("it to be gone", || socket.stats().peers == 0).await;
        log.has(&["WARN", "over messages that its peer had sent"])
            .await;
        assert!(begun.elapsed() >= CLOSE_TIMEOUT, "{:?}", begun.elapsed());
        let received = socket.stats().received as usize;
        assert!(received < MESSAGES, "{received}");
        gate.add_permits(1 << 20);
        let was_read = || handled.len() == received;
        eventually("what was read to be handled", was_read).await;
    }
}

#[actix::test]
async fn a_peer_that_does_not_end_its_side_holds_the_end_up_for_two_seconds() {
    let mut host = Host::alone(Socket::builder()).await;
    let address = host.address;
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    host.peers.up().await;
    host.socket.send("farewell").await.unwrap();
    let (log, _logging) = Log::begin(Level::INFO);
    let begun = Instant::now();
    let closing = host.socket.close_within(Duration::from_secs(3_600));
    let report = within_patience("the end", closing).await;
    assert!(begun.elapsed() >= CLOSE_TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!((report.sent, report.unsent), (1, 0));
    log.has(&["WARN", "has not read everything"]).await;
    aside(move || {
        let mut peer = peer;
        assert_eq!(peer.expect_data(), b"farewell");
        peer.expect_end();
    })
    .await;
}

#[actix::test]
async fn a_handler_may_close_its_own_socket() {
    let server = Socket::start().unwrap();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    let (report, mut reports) = mpsc::unbounded_channel();
    let socket = server.clone();
    each(&server, move |message| -> ResponseFuture<()> {
        message.reply("goodbye").expect("there is room");
        let (socket, report) = (socket.clone(), report.clone());
        Box::pin(async move {
            // A test that has ended needs no report.
            let _ = report.send(socket.close().await);
        })
    });
    let client = Socket::start().unwrap();
    client.connect(endpoint).await.unwrap();
    client.send("close").await.unwrap();
    let goodbye = within_patience("an answer", client.recv()).await.unwrap();
    assert_eq!(goodbye.payload(), "goodbye");
    let report = within_patience("the end", reports.recv()).await.unwrap();
    assert_eq!((report.sent, report.unsent), (1, 0));
    assert_eq!(server.close().await, report, "whoever closes again");
}

#[cfg(unix)]
#[actix::test]
async fn asked_to_stop_by_a_signal_a_socket_delivers_what_it_has_accepted_and_returns() {
    let server = Socket::start().unwrap();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    let client = Socket::start().unwrap();
    client.connect(endpoint).await.unwrap();
    client.wait_for_peers(1).await.unwrap();
    let sender = server.clone();
    let sending = actix::spawn(async move {
        let mut accepted = 0;
        while sender.send("something").await.is_ok() {
            accepted += 1;
            if accepted == 1000 {
                let this = std::process::id().to_string();
                let kill = std::process::Command::new("kill")
                    .args(["-TERM", &this])
                    .status();
                assert!(kill.expect("it runs").success());
            }
        }
        accepted
    });
    let mut state = client.state();
    let receiving = actix::spawn(async move {
        let mut received = 0;
        loop {
            tokio::select! {
                biased;
                message = client.recv() => {
                    message.expect("it is open");
                    received += 1;
                }
                end = state.wait_for(|state| state.peers == 0) => {
                    end.expect("it is open");
                    return received;
                }
            }
        }
    });
    let running = server.run_until_signal(Drain::within(Duration::from_secs(20)));
    let report = within_patience("the end", running).await.unwrap();
    let (accepted, received) = (sending.await.unwrap(), receiving.await.unwrap());
    assert!(accepted >= 1000);
    assert_eq!((report.sent, report.unsent), (accepted, 0));
    assert_eq!(received, accepted);
}

#[actix::test]
async fn what_recv_hands_out_is_in_hand_if_it_is_to_be_acknowledged_and_handled_otherwise() {
    for (guarantee, handled) in [
        (DeliveryGuarantee::AtMostOnce, (1, 0)),
        (DeliveryGuarantee::AtLeastOnce, (0, 1)),
    ] {
        let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
        let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
        client.connect(endpoint).await.unwrap();
        client.send("job").guarantee(guarantee).await.unwrap();
        let job = within_patience("the job", server.recv()).await.unwrap();
        let report = server.close_within(Duration::ZERO).await;
        assert_eq!((report.handled as usize, report.unfinished), handled);
        drop(job);
    }
}
