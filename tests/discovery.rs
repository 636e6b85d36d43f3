//! Peers that are found by DNS, whose records change and which fails.

#[path = "support/name_server.rs"]
mod name_server;
mod support;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_aiomsg::discovery::{Discover, Dns};
use actix_aiomsg::error::ConnectError;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::transport::UnusableEndpoint;
use actix_aiomsg::{Endpoint, Identity};
use futures_util::FutureExt;
use name_server::{Mood, NameServer};
use parking_lot::Mutex;
use support::each::each;
use support::{PATIENCE, eventually, scale, within_patience};

const NAME: &str = "workers.test";
const SERVICE: &str = "_jobs._tcp.workers.test";

/// A loopback address of its own for each worker.
fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 7, number)
}

/// Workers at one port, each at an address of its own, and what they have received.
struct Workers {
    port: u16,
    sockets: Vec<(u8, Socket)>,
    received: Arc<Mutex<HashSet<String>>>,
}

impl Workers {
    async fn start(numbers: impl IntoIterator<Item = u8>) -> Self {
        let mut numbers = numbers.into_iter();
        let received = Arc::default();
        let first = numbers.next().unwrap();
        let socket = worker(&received);
        let endpoint = Endpoint::from(SocketAddr::from((address(first), 0)));
        let endpoint = socket.bind(endpoint).await.unwrap();
        let mut workers = Self {
            port: endpoint.port().unwrap(),
            sockets: vec![(first, socket)],
            received,
        };
        for number in numbers {
            workers.add(number).await;
        }
        workers
    }

    async fn add(&mut self, number: u8) {
        let socket = worker(&self.received);
        let endpoint = Endpoint::from(SocketAddr::from((address(number), self.port)));
        socket.bind(endpoint).await.unwrap();
        self.sockets.push((number, socket));
    }

    fn of(&self, number: u8) -> &Socket {
        let mut sockets = self.sockets.iter();
        &sockets.find(|(its, _)| *its == number).unwrap().1
    }

    /// As `connect` takes it.
    fn endpoint(&self) -> String {
        format!("dns+tcp://{NAME}:{}", self.port)
    }
}

fn worker(received: &Arc<Mutex<HashSet<String>>>) -> Socket {
    let socket = Socket::start().unwrap();
    let received = Arc::clone(received);
    each(&socket, move |message: Received| {
        let text = String::from_utf8(message.payload().to_vec()).unwrap();
        received.lock().insert(text);
    });
    socket
}

fn listed(numbers: impl IntoIterator<Item = u8>) -> impl Iterator<Item = IpAddr> {
    numbers.into_iter().map(|number| address(number).into())
}

fn dns(server: &NameServer, endpoint: &str) -> Dns {
    Dns::new(endpoint).unwrap().name_server(server.address())
}

/// Dials again at once, so that what is dialled shows.
fn client() -> Socket {
    Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .reconnect(Backoff::fixed(Duration::from_millis(20)))
        .start()
        .unwrap()
}

fn peers(socket: &Socket) -> HashSet<Identity> {
    socket.peers().iter().map(|peer| peer.peer).collect()
}

#[actix::test]
async fn all_addresses_of_a_name_are_dialled_and_followed_as_they_change() {
    let mut workers = Workers::start([1, 2]).await;
    let server = NameServer::start(1).await;
    server.set_addresses(NAME, listed([1, 2]));
    let client = client();
    let source = dns(&server, &workers.endpoint());
    client.discover(source).await.unwrap();
    within_patience("two peers", client.wait_for_peers(2))
        .await
        .unwrap();

    workers.add(3).await;
    server.set_addresses(NAME, listed([2, 3]));
    within_patience("the third", client.wait_for_peers(3))
        .await
        .unwrap();
    // Whoever has vanished stays connected, and is dialled no more once its connection has ended.
    let gone = workers.of(1).identity();
    let departed = client.watch(gone);
    assert!(peers(&client).contains(&gone));
    workers.of(1).close().await;
    within_patience("the end of the connection", departed).await;
    workers.sockets.remove(0);
    workers.add(1).await;
    // Whoever is still in the list is dialled again.
    let (number, restarted) = workers.sockets.remove(0);
    assert_eq!(number, 2);
    restarted.close().await;
    workers.add(2).await;
    let again = workers.of(2).identity();
    eventually("the one that was restarted", || {
        peers(&client).contains(&again)
    })
    .await;
    assert!(!peers(&client).contains(&workers.of(1).identity()));
    // And whoever is back in it, too.
    server.set_addresses(NAME, listed([1, 2, 3]));
    within_patience("all three", client.wait_for_peers(3))
        .await
        .unwrap();
    assert!(peers(&client).contains(&workers.of(1).identity()));
}

/// What a future yields while the clock stands still. Tasks and the network go on, timers do not.
async fn at_this_moment<T>(what: &str, mut future: impl Future<Output = T> + Unpin) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(outcome) = (&mut future).now_or_never() {
            return outcome;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_change_is_followed_within_one_time_to_live() {
    tokio::time::pause();
    // A name is looked up again after one second at least and five minutes at most.
    for (seconds_to_live, taken_for) in [(0, 1), (1, 1), (20, 20), (300, 300), (86_400, 300)] {
        let taken_for = Duration::from_secs(taken_for);
        let server = NameServer::start(seconds_to_live).await;
        server.set_addresses(NAME, listed([1]));
        let mut dns = dns(&server, &format!("dns+tcp://{NAME}:1"));
        let first = at_this_moment("the first look", dns.next()).await;
        assert_eq!(first.unwrap().len(), 1);
        for number in 2..=5 {
            let asked = server.asked();
            server.set_addresses(NAME, listed(1..=number));
            let mut next = dns.next();
            // Less a random tenth.
            let earliest = taken_for.mul_f64(0.9) - Duration::from_millis(1);
            tokio::time::advance(earliest).await;
            assert!((&mut next).now_or_never().is_none());
            assert_eq!(server.asked(), asked, "{seconds_to_live} s");
            // A timer of the runtime may be a millisecond late.
            let rest = taken_for - earliest + Duration::from_millis(1);
            tokio::time::advance(rest).await;
            let peers = at_this_moment("the next look", next).await.unwrap();
            assert_eq!(peers.len(), usize::from(number), "{seconds_to_live} s");
            assert_eq!(server.asked(), asked + 2, "one question for each family");
        }
    }
}

#[actix::test]
async fn records_that_change_under_traffic_cost_no_message_and_no_living_peer() {
    const ALL: u8 = 5;
    let workers = Workers::start(1..=ALL).await;
    let server = NameServer::start(1).await;
    server.set_addresses(NAME, listed([1]));
    let client = client();
    let (recipient, mut events) = Probe::<SocketEvent>::recipient();
    client.socket_events(recipient);
    let (recipient, mut peer_events) = Probe::<PeerEvent>::recipient();
    client.peer_events(recipient);
    let source = dns(&server, &workers.endpoint());
    client.discover(source).await.unwrap();
    within_patience("the first", client.wait_for_peers(1))
        .await
        .unwrap();
    let sender = client.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let sending = actix::spawn(async move {
        let mut sent = 0_u32;
        while stopped.try_recv().is_err() {
            sender.send(sent.to_string()).await.unwrap();
            sent += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sent
    });
    let mut ever = HashSet::from([1]);
    for round in 1..=scale::of(50) as u8 {
        // One, two or three neighbours, another one each time.
        let numbers: Vec<_> = (0..=round % 3).map(|n| (round + n) % ALL + 1).collect();
        let news = numbers
            .iter()
            .filter(|number| ever.insert(**number))
            .count();
        server.set_addresses(NAME, listed(numbers.clone()));
        let change = events.find(|event| match event {
            SocketEvent::Discovered { new, .. } if new >= news => Some(new),
            _ => None,
        });
        change.await.expect("the change");
        let of = |number: &u8| workers.of(*number).identity();
        let identities: Vec<_> = numbers.iter().map(of).collect();
        eventually("those that are listed", || {
            let connected = peers(&client);
            identities.iter().all(|peer| connected.contains(peer))
        })
        .await;
    }
    for mood in [Mood::Empty, Mood::ServerFailure, Mood::NoSuchName] {
        server.set_mood(mood);
        for _ in 0..scale::of(10) {
            let failure = events.find(|event| match event {
                SocketEvent::DiscoveryFailed { source, reason, .. } => Some((source, reason)),
                _ => None,
            });
            let (source, reason) = failure.await.expect("the failure");
            assert_eq!(source, workers.endpoint());
            assert!(reason.contains(NAME), "{reason}");
        }
        server.set_mood(Mood::Answers);
        let asked = server.asked();
        eventually("an answer", || server.asked() > asked + 1).await;
    }
    stop.send(()).unwrap();
    let sent = sending.await.unwrap();
    scale::reaches("messages", sent.into(), || {
        workers.received.lock().len() as u64
    })
    .await;
    // Nobody was ever dropped.
    eventually("everybody", || peers(&client).len() == ever.len()).await;
    for event in peer_events.rest() {
        assert!(!matches!(event, PeerEvent::Down { .. }), "{event:?}");
    }
}

#[actix::test]
async fn an_answer_of_a_thousand_records_comes_over_tcp_and_finds_the_living() {
    let workers = Workers::start([1, 2, 3]).await;
    let server = NameServer::start(60).await;
    let nobody = (0..997_u16).map(|n| IpAddr::from([127, 1, (n >> 8) as u8, n as u8]));
    let mut addresses: Vec<_> = nobody.collect();
    for (number, place) in [(1, 0), (2, 500), (3, 999)] {
        addresses.insert(place, address(number).into());
    }
    server.set_addresses(NAME, addresses);
    let client = Socket::builder()
        .reconnect(Backoff::fixed(Duration::from_secs(30)))
        .start()
        .unwrap();
    let (recipient, mut events) = Probe::<SocketEvent>::recipient();
    client.socket_events(recipient);
    let source = dns(&server, &workers.endpoint());
    client.discover(source).await.unwrap();
    within_patience("the living", client.wait_for_peers(3))
        .await
        .unwrap();
    assert!(server.asked_over_tcp() >= 1);
    let found = events.find(|event| match event {
        SocketEvent::Discovered { found, new, .. } => Some((found, new)),
        _ => None,
    });
    assert_eq!(found.await.expect("the set"), (1000, 1000));
}

/// Workers of a service, each at a port of its own, on hosts that the server knows: `one.test` and `two.test`.
async fn three_workers(server: &NameServer) -> (Vec<Socket>, [u16; 3]) {
    let (mut sockets, mut ports) = (Vec::new(), [0; 3]);
    for port in &mut ports {
        let socket = Socket::start().unwrap();
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        *port = endpoint.port().unwrap();
        sockets.push(socket);
    }
    for host in ["one.test", "two.test"] {
        server.set_addresses(host, [Ipv4Addr::LOCALHOST.into()]);
    }
    (sockets, ports)
}

#[actix::test]
async fn a_service_is_followed_by_its_records_with_their_ports() {
    let server = NameServer::start(1).await;
    let (sockets, ports) = three_workers(&server).await;
    // The last one is for when the others are gone.
    let targets = [
        (1, ports[0], "one.test"),
        (1, ports[1], "two.test"),
        (2, ports[2], "two.test"),
    ];
    server.set_service(SERVICE, &targets);
    let client = client();
    let source = dns(&server, &format!("dns+tcp://{SERVICE}"));
    client.discover(source).await.unwrap();
    within_patience("two peers", client.wait_for_peers(2))
        .await
        .unwrap();
    let preferred = sockets[..2].iter().map(Socket::identity).collect();
    assert_eq!(peers(&client), preferred);
    server.set_service(SERVICE, &targets[2..]);
    within_patience("the last", client.wait_for_peers(3))
        .await
        .unwrap();
}

#[actix::test]
async fn one_target_of_a_service_that_cannot_be_looked_up_is_no_hindrance_to_the_others() {
    let server = NameServer::start(1).await;
    let (_sockets, ports) = three_workers(&server).await;
    server.fail_for("broken.test");
    let broken = (1, ports[2], "broken.test");
    server.set_service(SERVICE, &[broken, (1, ports[0], "one.test")]);
    let client = client();
    let source = dns(&server, &format!("dns+tcp://{SERVICE}"));
    client.discover(source).await.unwrap();
    within_patience("the first", client.wait_for_peers(1))
        .await
        .unwrap();
    // What is known of one stays when that fails, and others come.
    server.fail_for("one.test");
    let targets = [broken, (1, ports[0], "one.test"), (1, ports[1], "two.test")];
    server.set_service(SERVICE, &targets);
    within_patience("the second", client.wait_for_peers(2))
        .await
        .unwrap();
    let (recipient, mut events) = Probe::<SocketEvent>::recipient();
    client.socket_events(recipient);
    let asked = server.asked();
    eventually("two more looks", || server.asked() > asked + 14).await;
    for event in events.rest() {
        assert!(
            !matches!(event, SocketEvent::Discovered { .. }),
            "{event:?}"
        );
    }
    // If none can be looked up, that is an error.
    server.set_service(SERVICE, &[broken]);
    let failure = events.find(|event| match event {
        SocketEvent::DiscoveryFailed { reason, .. } => Some(reason),
        _ => None,
    });
    let reason = failure.await.expect("the failure");
    assert!(reason.contains("broken.test"), "{reason}");
    assert_eq!(client.peers().len(), 2);
}

#[cfg(feature = "tls-dev")]
#[actix::test]
async fn over_tls_the_certificate_is_for_the_name() {
    use actix_aiomsg::tls::Tls;
    use actix_aiomsg::{BindOptions, ConnectOptions};
    use support::certificates::Authority;

    let authority = Authority::new();
    let server = NameServer::start(60).await;
    server.set_addresses("one.test", [Ipv4Addr::LOCALHOST.into()]);
    let socket = Socket::start().unwrap();
    let (certificate, key) = authority.issue_with(NAME, |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName(NAME.try_into().unwrap())];
    });
    let options = BindOptions::new().tls(Tls::server(certificate, key).build().unwrap());
    let endpoint = socket.bind_with("tls://127.0.0.1:0", options).await;
    let port = endpoint.unwrap().port().unwrap();
    server.set_addresses(NAME, [Ipv4Addr::LOCALHOST.into()]);
    server.set_service(SERVICE, &[(1, port, "one.test")]);
    for endpoint in [
        format!("dns+tls://{NAME}:{port}"),
        format!("dns+tls://{SERVICE}"),
    ] {
        let client = client();
        let tls = Tls::client().ca(authority.ca()).build().unwrap();
        let source = dns(&server, &endpoint);
        let options = ConnectOptions::new().tls(tls);
        client.discover_with(source, options).await.unwrap();
        within_patience(&endpoint, client.wait_for_peers(1))
            .await
            .unwrap();
    }
}

#[actix::test]
async fn the_names_of_the_system_are_followed_by_connect_and_left_by_stop_connecting() {
    let server = Socket::start().unwrap();
    let port = server.bind("127.0.0.1:0").await.unwrap().port().unwrap();
    let client = client();
    let endpoint = format!("dns+tcp://localhost:{port}");
    // The second call changes nothing.
    client.connect(&endpoint).await.unwrap();
    client.connect(&endpoint).await.unwrap();
    within_patience("the peer", client.wait_for_peers(1))
        .await
        .unwrap();
    client.stop_connecting(&endpoint).await.unwrap();
    eventually("the end", || client.peers().is_empty()).await;
    assert!(client.stop_connecting(&endpoint).await.is_err());
}

#[actix::test]
async fn what_cannot_be_followed_is_refused_at_once() {
    let client = client();
    let refusal = |outcome| match outcome {
        Err(ConnectError::Unusable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let address = refusal(client.connect("dns+tcp://127.0.0.1:1").await);
    assert!(
        matches!(address, UnusableEndpoint::NoName { .. }),
        "{address}"
    );
    let port = refusal(client.connect("dns+tcp://workers.test:0").await);
    assert_eq!(port, UnusableEndpoint::PortZero);
    let bound = client.bind("dns+tcp://workers.test:1").await.unwrap_err();
    assert!(bound.to_string().contains("names peers"), "{bound}");
    for text in ["dns+unix:///a", "dns+mem://a", "dns+://a", "dns://a"] {
        let error = client.connect(text).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Endpoint(_)),
            "{text}: {error}"
        );
    }
}
