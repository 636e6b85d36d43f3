//! The lines of the log that a program meets first, as docs/LOGGING.md has them. What is limited for the whole process is
//! caused by one test each.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::authorize::{Admission, Candidate};
use actix_aiomsg::discovery::{DiscoveredPeer, SourceError, from_stream};
use actix_aiomsg::prelude::*;
use actix_aiomsg::supervise::supervise;
use actix_aiomsg::testing::{Part, Probe};
use futures_util::stream::unfold;
use support::log::Log;
use support::panics::print_panics_briefly;
use support::raw_peer::RawPeer;
use support::{aside, within_patience};
use tokio::sync::watch;
use tracing::Level;

const PEER: [u8; 16] = [7; 16];

/// Longer than any test may take.
const NEVER: Duration = Duration::from_secs(3600);

fn begin() -> (Log, tracing::subscriber::DefaultGuard) {
    print_panics_briefly();
    Log::begin(Level::INFO)
}

async fn bound(builder: SocketBuilder) -> (Socket, SocketAddr) {
    let socket = builder.start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    (socket, ([127, 0, 0, 1], endpoint.port().unwrap()).into())
}

/// A peer that does not read, connected to this socket.
async fn idle_peer(socket: &Socket, address: SocketAddr) -> RawPeer {
    let peer = aside(move || RawPeer::introduced(address, PEER)).await;
    within_patience("the peer", socket.wait_for_peers(1))
        .await
        .unwrap();
    peer
}

/// Sends until the log has this line of a peer.
async fn send_until(socket: &Socket, log: &Log, line: &str) {
    let sending = async {
        while log.lines_with(line).is_empty() {
            socket.send(vec![0; 64 << 10]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    within_patience(line, sending).await;
    let peer = Identity::from_bytes(PEER).to_string();
    log.has(&["WARN", line, &peer]).await;
}

#[actix::test]
async fn where_a_socket_listens_and_who_comes_and_goes_are_lines() {
    let (log, _logging) = begin();
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    let at = endpoint.to_string();
    log.has(&["INFO", "listening", &at]).await;
    client.connect(endpoint.clone()).await.unwrap();
    for socket in [&server, &client] {
        log.has(&["INFO", "peer up", &socket.identity().to_string()])
            .await;
    }
    client.stop_connecting(endpoint.clone()).await.unwrap();
    log.has(&["INFO", "not dialling any more", &at]).await;
    for (socket, by) in [(&server, "by=Us"), (&client, "by=Peer")] {
        let peer = socket.identity().to_string();
        log.has(&["INFO", "peer down", &peer, by]).await;
    }
    server.unbind(endpoint).await.unwrap();
    log.has(&["INFO", "not listening any more", &at]).await;
    server.close().await;
    log.has(&["INFO", "socket closed", "report"]).await;
    assert_eq!(log.lines_with("WARN"), Vec::<String>::new());
}

#[actix::test]
async fn an_endpoint_that_accepts_and_says_nothing_is_a_warning_long_before_the_handshake_timeout()
{
    let (log, _logging) = begin();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let patient = Socket::builder().handshake_timeout(Duration::from_secs(600));
    let client = patient.start().unwrap();
    client.connect(&*address).await.unwrap();
    let waiting = format!("still waiting for the HELLO of {address}");
    log.has(&["WARN", "the endpoint cannot be reached", &waiting])
        .await;
}

#[actix::test]
async fn a_refusal_of_one_kind_hides_no_other_of_the_same_address() {
    let (log, _logging) = begin();
    let (_server, address) = bound(Socket::builder()).await;
    let refused = async |said: &'static [u8], why: &str| {
        let _stranger = aside(move || {
            let mut stranger = TcpStream::connect(address).unwrap();
            stranger.write_all(said).unwrap();
            stranger
        })
        .await;
        log.has(&["WARN", "connection refused", why]).await;
    };
    let probe = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    refused(probe, "an HTTP request was refused").await;
    refused(b"\x16\x03\x01\x02\x00\x01", "the peer speaks TLS").await;
    refused(&[0, 0, 0, 2, 9, 9], "is not a HELLO").await;
}

#[actix::test]
async fn peers_that_were_found_and_cannot_be_reached_have_ten_lines_a_minute() {
    let (log, _logging) = begin();
    let (recipient, mut events) = Probe::recipient();
    let builder = Socket::builder().on_socket_event(recipient);
    // Each attempt would be the last, and so has its line.
    let client = builder.reconnect(Backoff::fixed(NEVER)).start().unwrap();
    let listener = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners: Vec<_> = (0..30).map(listener).collect();
    let address = |listener: &TcpListener| listener.local_addr().unwrap();
    let peer = |listener| DiscoveredPeer::from(Endpoint::from(address(listener)));
    let found: Vec<_> = listeners.iter().map(peer).collect();
    drop(listeners);
    let answer = |found: Option<_>| async move {
        match found {
            Some(found) => Some((Ok::<_, SourceError>(found), None)),
            None => std::future::pending().await,
        }
    };
    let source = from_stream("registry", Box::pin(unfold(Some(found), answer)));
    client.discover(source).await.unwrap();
    for _ in 0..30 {
        let failed = |event| matches!(event, SocketEvent::DialFailed { .. }).then_some(());
        events.find(failed).await.expect("a failed attempt");
    }
    let lines = log.lines_with("the endpoint cannot be reached");
    assert_eq!(lines.len(), 10);
    client.close().await;
}

#[actix::test]
async fn an_endpoint_that_greets_and_closes_each_time_is_a_warning() {
    let (log, _logging) = begin();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    // The thread ends with the process.
    std::thread::spawn(move || {
        for mut stream in stranger.incoming().flatten() {
            let _ = stream.read(&mut [0; 22]);
            let _ = stream.write_all(&support::raw_peer::hello(PEER));
        }
    });
    let client = Socket::start().unwrap();
    client.connect(&*address).await.unwrap();
    let line = "connections end as soon as they are up";
    log.has(&["WARN", line, &address]).await;
    client.close().await;
}

struct Hopeless;

impl Actor for Hopeless {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Fail;

impl Handler<Fail> for Hopeless {
    type Result = ();

    fn handle(&mut self, _: Fail, _: &mut Self::Context) {
        panic!("on purpose");
    }
}

#[actix::test]
async fn an_actor_that_panics_and_one_that_is_given_up_are_errors() {
    let (log, _logging) = begin();
    let described = supervise(|| Hopeless).intensity(0, Duration::from_secs(1));
    described.on_escalate(|_| ()).start().do_send(Fail);
    let parts = ["ERROR", "an actor panicked", "Hopeless", "on purpose"];
    log.has(&parts).await;
    log.has(&["ERROR", "supervision gave up", "Hopeless", "on purpose"])
        .await;
}

#[actix::test]
async fn a_part_of_a_socket_that_panics_is_an_error() {
    let (log, _logging) = begin();
    let (recipient, _events) = Probe::<SocketEvent>::recipient();
    let (server, address) = bound(Socket::builder().on_socket_event(recipient)).await;
    let _peer = idle_peer(&server, address).await;
    server.crash(Part::Listener);
    log.has(&["ERROR", "an actor of the socket panicked", "listener"])
        .await;
    server.crash(Part::Connections);
    log.has(&["ERROR", "a connection panicked", "127.0.0.1"])
        .await;
}

#[actix::test]
async fn a_limit_that_is_reached_is_a_warning_that_names_it() {
    let (log, _logging) = begin();
    let (server, address) = bound(Socket::builder().max_connections(1)).await;
    let _first = idle_peer(&server, address).await;
    aside(move || RawPeer::connect(address).expect_end()).await;
    let endpoint = format!("tcp://{address}");
    log.has(&["WARN", "a limit is reached", "Connections", &endpoint])
        .await;
}

#[actix::test]
async fn an_authorizer_that_panics_is_an_error() {
    let (log, _logging) = begin();
    let authorize = async |_: Candidate| -> Admission { panic!("on purpose") };
    let (_server, address) = bound(Socket::builder().authorize(authorize)).await;
    let mut peer = aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.hello(PEER);
        peer
    })
    .await;
    log.has(&["ERROR", "the authorizer panicked", "on purpose"])
        .await;
    log.has(&["WARN", "connection refused", "127.0.0.1"]).await;
    aside(move || peer.expect_end()).await;
}

#[actix::test]
async fn a_matcher_that_panics_is_an_error() {
    let (log, _logging) = begin();
    let (server, address) = bound(Socket::builder()).await;
    let broken = Filter::matching("broken one", |_: &[u8]| panic!("on purpose"));
    let options = SubscribeOptions::default().filter(broken);
    let _texts = Probe::<(Identity, String)>::subscribe_with(&server, options);
    support::eventually("it to subscribe", || !server.subscriptions().is_empty()).await;
    let mut peer = idle_peer(&server, address).await;
    aside(move || peer.data(b"to nobody")).await;
    log.has(&["ERROR", "a matcher panicked", "broken one"])
        .await;
}

#[actix::test]
async fn a_peer_whose_frames_are_skipped_or_whose_metadata_is_refused_is_a_warning() {
    let (log, _logging) = begin();
    let (server, address) = bound(Socket::builder().read_metadata(true)).await;
    let mut peer = idle_peer(&server, address).await;
    let peer = aside(move || {
        // Half an id.
        peer.frame(support::raw_peer::ACK, &[1; 8]);
        peer
    })
    .await;
    let from = Identity::from_bytes(PEER).to_string();
    log.has(&[
        "WARN",
        "a peer sends malformed frames",
        &from,
        "malformed=1",
    ])
    .await;
    drop(peer);
    let other = [8; 16];
    let _other = aside(move || {
        let mut other_peer = RawPeer::introduced(address, other);
        other_peer.data(b"\xa1ENV\x01\x00\xff\xff");
        other_peer
    })
    .await;
    let from = Identity::from_bytes(other).to_string();
    let parts = ["WARN", "a peer sends messages with malformed metadata"];
    log.has(&[&parts[..], &[&from]].concat()).await;
}

fn publishing() -> SocketBuilder {
    Socket::builder().send_mode(SendMode::Publish)
}

#[actix::test]
async fn a_subscriber_that_is_waited_for_is_a_warning() {
    let (log, _logging) = begin();
    let (publisher, address) = bound(publishing().publish_overflow(Overflow::Wait)).await;
    let mut peer = idle_peer(&publisher, address).await;
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let reading = std::thread::spawn(move || {
        let pause = Duration::from_millis(20);
        while end.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            peer.expect_data();
        }
    });
    send_until(&publisher, &log, "a subscriber is slow").await;
    drop(ended);
    reading.join().unwrap();
}

#[actix::test]
async fn a_subscriber_that_takes_nothing_is_a_warning() {
    let (log, _logging) = begin();
    let builder = publishing().publish_patience(Duration::from_millis(100));
    let (publisher, address) = bound(builder).await;
    let _peer = idle_peer(&publisher, address).await;
    send_until(&publisher, &log, "a subscriber takes nothing").await;
}

#[actix::test]
async fn a_peer_that_is_disconnected_because_it_is_slow_is_a_warning() {
    let (log, _logging) = begin();
    let builder = Socket::builder().link_overflow(Overflow::Disconnect);
    let (sender, address) = bound(builder).await;
    let _peer = idle_peer(&sender, address).await;
    send_until(&sender, &log, "a peer is too slow: its connection ends").await;
    let peer = Identity::from_bytes(PEER).to_string();
    log.has(&["INFO", "peer down", &peer]).await;
}

#[cfg(feature = "dns")]
#[actix::test]
async fn a_name_server_that_says_nothing_is_a_warning_within_seconds() {
    let (log, _logging) = begin();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = actix_aiomsg::discovery::Dns::new("dns+tcp://workers.test:25000").unwrap();
    let client = Socket::start().unwrap();
    client
        .discover(dns.name_server(silent.local_addr().unwrap()))
        .await
        .unwrap();
    let line = "the source of peers does not answer";
    log.has(&["WARN", line, "workers.test", "still waiting for its answer"])
        .await;
}

#[actix::test]
async fn a_source_of_peers_that_fails_for_seconds_is_a_warning_until_it_answers_again() {
    let (log, _logging) = begin();
    let server = Socket::start().unwrap();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    let client = Socket::start().unwrap();
    let (answer, mut answers) = watch::channel(Ok(vec![DiscoveredPeer::from(endpoint)]));
    answers.mark_changed();
    // A set is told once; a failure is what every further try finds, because tries are randomly apart.
    let next = |mut answers: watch::Receiver<Result<_, SourceError>>| async move {
        let fails = answers.borrow().is_err();
        if !fails {
            answers.changed().await.ok()?;
        }
        let answer = answers.borrow_and_update().clone();
        Some((answer, answers))
    };
    let source = from_stream("registry", Box::pin(unfold(answers, next)));
    client.discover(source).await.unwrap();
    let changed = "the peers that were found have changed";
    log.has(&["INFO", changed, "source=registry", "new=1"])
        .await;
    let found = answer.send_replace(Err(SourceError::new("it is away")));
    let parts = ["WARN", "the source of peers does not answer", "it is away"];
    log.has(&parts).await;
    answer.send(found).unwrap();
    log.has(&["INFO", "the source of peers answers again"])
        .await;
    client.stop_discovering("registry").await.unwrap();
    log.has(&["INFO", "not following the source of peers any more"])
        .await;
}

/// Offers a service.
struct Clerk(WeakSocket, &'static str);

impl Actor for Clerk {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let offer = self.0.offer(self.1).expect("the socket is open");
        offer.serve::<String>(ctx);
    }
}

impl Handler<Ask<String>> for Clerk {
    type Result = Answer<String>;

    fn handle(&mut self, ask: Ask<String>, _: &mut Self::Context) -> Self::Result {
        Ok(ask.into_request())
    }
}

#[actix::test]
async fn a_service_that_nobody_offers_is_named_with_those_that_peers_offer() {
    let (log, _logging) = begin();
    let provider = Socket::start().unwrap();
    let endpoint = provider
        .bind("mem://a-name-that-is-mistyped")
        .await
        .unwrap();
    Clerk(provider.downgrade(), "stock").start();
    let consumer = Socket::start().unwrap();
    consumer.connect(endpoint).await.unwrap();
    let stock = consumer.service("stock");
    within_patience("the service", stock.wait_for(1))
        .await
        .unwrap();
    let mistyped = consumer.service("stok");
    let waiting = actix::spawn(async move { mistyped.wait_for(1).await });
    let line = "nobody offers a service that is waited for";
    log.has(&["WARN", line, "\"stok\"", "\"stock\"", "waiting=1"])
        .await;
    Clerk(provider.downgrade(), "stok").start();
    within_patience("it", waiting).await.unwrap().unwrap();
    log.has(&[
        "INFO",
        "a service that was waited for is offered",
        "\"stok\"",
    ])
    .await;
    assert_eq!(log.lines_with("WARN").len(), 1);
}
