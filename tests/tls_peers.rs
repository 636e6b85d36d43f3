//! TLS as a socket's user sees it: certificates of peers, refusals at both ends, new certificates
//! while peers are connected.
#![cfg(feature = "tls-dev")]

mod support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{
    authorize::identity_from_certificate,
    tls::{Tls, TlsClient, TlsServer},
    transport::{CertificateChain, CertificateName, RefusedBy, TlsRefusal, TransportKind},
};
use support::certificates::{Authority, elsewhere, expired, serial};
use support::events::{SocketProbe, without_detail};
use support::within_patience;

const DELAY: Duration = Duration::from_millis(20);

/// A pair of PEM files as its owner reads them.
fn server((chain, key): (impl AsRef<Path>, impl AsRef<Path>)) -> TlsServer {
    Tls::server(chain.as_ref(), key.as_ref()).build().unwrap()
}

fn mutual_server(authority: &Authority) -> TlsServer {
    let (chain, key) = authority.issue("server");
    let server = Tls::server(chain, key).client_ca(authority.ca());
    server.build().unwrap()
}

fn client(authority: &Authority) -> TlsClient {
    Tls::client().ca(authority.ca()).build().unwrap()
}

fn client_with(
    authority: &Authority,
    (chain, key): (impl AsRef<Path>, impl AsRef<Path>),
) -> TlsClient {
    let client = Tls::client().ca(authority.ca());
    let client = client.certificate(chain.as_ref(), key.as_ref());
    client.build().unwrap()
}

async fn bind(socket: &Socket, tls: &TlsServer) -> Endpoint {
    let options = BindOptions::new().tls(tls.clone());
    socket.bind_with("127.0.0.1:0", options).await.unwrap()
}

async fn connect(socket: &Socket, endpoint: &Endpoint, tls: &TlsClient) {
    let options = ConnectOptions::new().tls(tls.clone());
    socket
        .connect_with(endpoint.clone(), options)
        .await
        .unwrap();
}

async fn up(events: &mut Probe<PeerEvent>) -> (Identity, Option<CertificateChain>) {
    let up = |event| match event {
        PeerEvent::Up {
            peer, certificates, ..
        } => Some((peer, certificates)),
        _ => None,
    };
    events.find(up).await.expect("a peer")
}

#[actix::test]
async fn the_verified_certificate_is_told_with_the_peer_and_is_on_its_messages() {
    let authority = Authority::new();
    for scheme in ["tls", "wss"] {
        let (recipient, mut peers) = Probe::recipient();
        let bound = Socket::builder().on_peer_event(recipient).start().unwrap();
        let endpoint = bind(&bound, &mutual_server(&authority)).await;
        let endpoint: Endpoint = endpoint
            .to_string()
            .replace("tls:", &format!("{scheme}:"))
            .parse()
            .unwrap();

        let (recipient, mut other) = Probe::recipient();
        let dialling = Socket::builder().on_peer_event(recipient).start().unwrap();
        let tls = client_with(&authority, authority.issue_named("worker 7"));
        connect(&dialling, &endpoint, &tls).await;

        let (peer, certificates) = up(&mut peers).await;
        assert_eq!(peer, dialling.identity());
        let name = certificates.as_ref().unwrap().name();
        assert_eq!(name, Some(CertificateName::Common("worker 7".to_owned())));
        let (_, of_server) = up(&mut other).await;
        let name = of_server.unwrap().name();
        assert_eq!(name, Some(CertificateName::Dns("localhost".to_owned())));

        dialling.send("hello").await.unwrap();
        let message = within_patience("a message", bound.recv()).await.unwrap();
        assert_eq!(message.certificates(), certificates.as_ref());
        // The client trusts the server; a server that asks for none is shown none.
        let open = Socket::start().unwrap();
        let endpoint = bind(&open, &server(authority.issue("open"))).await;
        let anonymous = Socket::start().unwrap();
        connect(&anonymous, &endpoint, &client(&authority)).await;
        anonymous.send("hello").await.unwrap();
        let message = within_patience("a message", open.recv()).await.unwrap();
        assert!(message.certificates().is_none());
    }
}

#[actix::test]
async fn an_identity_is_bound_to_its_certificate_and_survives_renewal() {
    let authority = Authority::new();
    let bound = Socket::builder()
        .authorize(identity_from_certificate)
        .start()
        .unwrap();
    let endpoint = bind(&bound, &mutual_server(&authority)).await;
    let (one, two) = (Identity::from_name("cn:one"), Identity::from_name("cn:two"));

    // It claims to be the other, and is itself all the same.
    let first = Socket::builder().identity(two).start().unwrap();
    let tls = client_with(&authority, authority.issue_named("one"));
    connect(&first, &endpoint, &tls).await;
    first.send("from one").await.unwrap();
    let message = within_patience("a message", bound.recv()).await.unwrap();
    assert_eq!(message.peer(), one);

    let second = Socket::start().unwrap();
    let tls = client_with(&authority, authority.issue_named("two"));
    connect(&second, &endpoint, &tls).await;
    second.send("from two").await.unwrap();
    let message = within_patience("a message", bound.recv()).await.unwrap();
    assert_eq!(message.peer(), two);

    bound.send_to(one, "to one").await.unwrap();
    bound.send_to(two, "to two").await.unwrap();
    for (socket, expected) in [(&first, "to one"), (&second, "to two")] {
        let message = within_patience("a message", socket.recv()).await.unwrap();
        assert_eq!(message.text().unwrap(), expected);
    }

    // Renewed under the same name: the same peer again.
    first.close().await;
    let renewed = Socket::start().unwrap();
    let tls = client_with(&authority, authority.issue_named("one"));
    connect(&renewed, &endpoint, &tls).await;
    within_patience("its return", renewed.wait_for_peers(1))
        .await
        .unwrap();
    bound.send_to(one, "welcome back").await.unwrap();
    let message = within_patience("a message", renewed.recv()).await.unwrap();
    assert_eq!(message.text().unwrap(), "welcome back");
}

/// One way of not coming in, and what each end is told of it.
struct Refused {
    name: &'static str,
    server: TlsServer,
    client: Option<TlsClient>,
    scheme: &'static str,
    /// What the bind end may say.
    at_server: Vec<RefusalReason>,
    /// What the connect end may say.
    at_client: Vec<RefusalReason>,
}

fn by(by: RefusedBy, refusal: TlsRefusal) -> Vec<RefusalReason> {
    let detail = String::new();
    vec![RefusalReason::Tls {
        by,
        refusal,
        detail,
    }]
}

impl Refused {
    fn new(name: &'static str, server: TlsServer, client: TlsClient) -> Self {
        Self {
            name,
            server,
            client: Some(client),
            scheme: "tls",
            at_server: Vec::new(),
            at_client: Vec::new(),
        }
    }

    fn by_client(mut self, refusal: TlsRefusal) -> Self {
        // An alert says less than the check does.
        let told = match refusal {
            TlsRefusal::WrongName | TlsRefusal::NotYetValid => TlsRefusal::BadCertificate,
            other => other,
        };
        self.at_client = by(RefusedBy::Us, refusal);
        self.at_server = by(RefusedBy::Peer, told);
        self
    }

    fn by_server(mut self, refusal: TlsRefusal) -> Self {
        self.at_server = by(RefusedBy::Us, refusal);
        self.at_client = by(RefusedBy::Peer, refusal);
        self
    }

    fn over(mut self, scheme: &'static str) -> Self {
        self.scheme = scheme;
        self
    }

    async fn happens(self) {
        let (recipient, mut here) = Probe::recipient();
        let bound = Socket::builder()
            .on_socket_event(recipient)
            .start()
            .unwrap();
        let endpoint = bind(&bound, &self.server).await;
        let (recipient, mut there) = Probe::recipient();
        let dialling = Socket::builder()
            .on_socket_event(recipient)
            .reconnect(Backoff::fixed(DELAY))
            .start()
            .unwrap();
        let endpoint = format!("{}://127.0.0.1:{}", self.scheme, endpoint.port().unwrap());
        let mut options = ConnectOptions::new();
        if let Some(tls) = self.client {
            options = options.tls(tls);
        }
        let start = Instant::now();
        dialling.connect_with(endpoint, options).await.unwrap();
        let refused = |event| match event {
            SocketEvent::HandshakeRefused { reason, .. } => Some(reason),
            _ => None,
        };
        let failed = |event| match event {
            SocketEvent::DialFailed {
                attempt,
                next_try,
                reason,
                ..
            } => Some((attempt, next_try, reason)),
            _ => None,
        };
        for expected in 1..=3 {
            let reason = here.find(refused).await.expect(self.name);
            assert!(
                self.at_server.contains(&without_detail(reason.clone())),
                "{}: {reason:?}",
                self.name
            );
            let (attempt, next_try, reason) = there.find(failed).await.expect(self.name);
            assert!(
                self.at_client.contains(&without_detail(reason.clone())),
                "{}: {reason:?}",
                self.name
            );
            assert_eq!((attempt, next_try), (expected, DELAY), "{}", self.name);
        }
        // It waited between the attempts.
        assert!(start.elapsed() >= 2 * DELAY, "{}", self.name);
        assert_eq!(
            bound.stats().joins + dialling.stats().joins,
            0,
            "{}",
            self.name
        );
    }
}

#[actix::test]
async fn a_wrong_certificate_is_refused_with_its_reason_at_both_ends_and_without_haste() {
    let (ours, others) = (Authority::new(), Authority::new());
    let good = |authority: &Authority| server(authority.issue("server"));
    let revoking = {
        let (chain, key) = ours.issue("revoking");
        let server = Tls::server(chain, key).client_ca(ours.ca());
        server.revocations(ours.revoke(7)).build().unwrap()
    };
    let wary = Tls::client().ca(ours.ca()).revocations(ours.revoke(7));
    let wary = wary.build().unwrap();
    let mutual = mutual_server(&ours);
    let expired_client = client_with(&ours, ours.issue_with("late", expired));
    let (chain, key) = others.issue_named("stranger");
    let stranger = Tls::client().ca(ours.ca()).certificate(chain, key);
    let stranger = stranger.build().unwrap();
    let revoked = ours.issue_with("revoked", serial(7));
    let cases = vec![
        Refused::new("unknown authority", good(&others), client(&ours))
            .by_client(TlsRefusal::UnknownAuthority),
        Refused::new(
            "wrong name",
            server(ours.issue_with("elsewhere", elsewhere)),
            client(&ours),
        )
        .by_client(TlsRefusal::WrongName),
        Refused::new(
            "expired server",
            server(ours.issue_with("old", expired)),
            client(&ours),
        )
        .by_client(TlsRefusal::Expired),
        Refused::new("revoked server", server(revoked.clone()), wary)
            .by_client(TlsRefusal::Revoked),
        Refused::new("no certificate", mutual.clone(), client(&ours))
            .by_server(TlsRefusal::NoCertificate),
        Refused::new("no certificate", mutual.clone(), client(&ours))
            .by_server(TlsRefusal::NoCertificate)
            .over("wss"),
        Refused::new("client of another authority", mutual.clone(), stranger)
            .by_server(TlsRefusal::UnknownAuthority),
        Refused::new("expired client", mutual.clone(), expired_client.clone())
            .by_server(TlsRefusal::Expired),
        Refused::new("expired client", mutual, expired_client)
            .by_server(TlsRefusal::Expired)
            .over("wss"),
        Refused::new("revoked client", revoking, client_with(&ours, revoked))
            .by_server(TlsRefusal::Revoked),
    ];
    for case in cases {
        case.happens().await;
    }
}

#[actix::test]
async fn plain_text_on_a_tls_port_is_told_at_both_ends() {
    let authority = Authority::new();
    let plain = Refused {
        name: "plain text",
        server: server(authority.issue("server")),
        client: None,
        scheme: "tcp",
        at_server: by(RefusedBy::Us, TlsRefusal::PlainText),
        at_client: by(RefusedBy::Peer, TlsRefusal::PlainText),
    };
    plain.happens().await;
}

/// The beginning of a TLS record with a ClientHello of 512 bytes.
const HALF_A_CLIENT_HELLO: [u8; 9] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];

#[actix::test]
async fn a_tls_handshake_that_does_not_go_on_is_given_up_at_both_ends() {
    let authority = Authority::new();
    let quick = || Socket::builder().handshake_timeout(Duration::from_millis(200));
    let (recipient, mut here) = Probe::recipient();
    let bound = quick().on_socket_event(recipient).start().unwrap();
    let endpoint = bind(&bound, &server(authority.issue("server"))).await;
    for said in [&HALF_A_CLIENT_HELLO[..0], &HALF_A_CLIENT_HELLO] {
        let mut peer = TcpStream::connect(("127.0.0.1", endpoint.port().unwrap())).unwrap();
        peer.write_all(said).unwrap();
        let reason = here.refusal().await;
        assert_eq!(reason, RefusalReason::TimedOut);
    }

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for scheme in ["tls", "wss"] {
        let (recipient, mut there) = Probe::recipient();
        let dialling = quick().on_socket_event(recipient).start().unwrap();
        let endpoint = format!("{scheme}://{address}").parse().unwrap();
        connect(&dialling, &endpoint, &client(&authority)).await;
        let reason = there.dial_failure().await;
        assert_eq!(reason, RefusalReason::TimedOut);
    }
}

#[actix::test]
async fn certificates_are_replaced_under_a_hundred_peers_and_none_of_them_is_dropped() {
    const PEERS: usize = 100;
    let (old, new) = (Authority::new(), Authority::new());
    let (chain, key) = old.issue("server");
    let tls = Tls::server(&chain, &key).build().unwrap();
    let (recipient, mut peers) = Probe::recipient();
    let bound = Socket::builder()
        .send_mode(SendMode::Publish)
        .on_peer_event(recipient)
        .start()
        .unwrap();
    let endpoint = bind(&bound, &tls).await;
    let trusting_old = client(&old);
    let mut sockets = Vec::new();
    for _ in 0..PEERS {
        let socket = Socket::start().unwrap();
        connect(&socket, &endpoint, &trusting_old).await;
        sockets.push(socket);
    }
    within_patience("all peers", bound.wait_for_peers(PEERS))
        .await
        .unwrap();

    // The files change, as when certbot has been there.
    let (new_chain, new_key) = new.issue("server");
    std::fs::copy(new_chain, &chain).unwrap();
    std::fs::copy(new_key, &key).unwrap();
    tls.reload().unwrap();

    let late = Socket::start().unwrap();
    connect(&late, &endpoint, &client(&new)).await;
    within_patience("the late peer", late.wait_for_peers(1))
        .await
        .unwrap();
    let (recipient, mut events) = Probe::recipient();
    let outdated = Socket::builder()
        .on_socket_event(recipient)
        .start()
        .unwrap();
    connect(&outdated, &endpoint, &client(&old)).await;
    let reason = events.dial_failure().await;
    let reason = without_detail(reason);
    assert_eq!(by(RefusedBy::Us, TlsRefusal::UnknownAuthority), [reason]);

    within_patience("room", bound.wait_for_peers(PEERS + 1))
        .await
        .unwrap();
    bound.send("to all").await.unwrap();
    for socket in sockets.iter().chain([&late]) {
        let message = within_patience("the message", socket.recv()).await.unwrap();
        assert_eq!(message.text().unwrap(), "to all");
        socket.send("back").await.unwrap();
        within_patience("the answer", bound.recv()).await.unwrap();
    }
    assert_eq!(bound.stats().joins, PEERS as u64 + 1);
    let down = peers
        .rest()
        .into_iter()
        .find(|event| matches!(event, PeerEvent::Down { .. }));
    assert_eq!(down, None);

    // Files that cannot be used change nothing.
    std::fs::write(&key, "no key").unwrap();
    tls.reload().unwrap_err();
    let later = Socket::start().unwrap();
    connect(&later, &endpoint, &client(&new)).await;
    within_patience("the later peer", later.wait_for_peers(1))
        .await
        .unwrap();
}

#[actix::test]
async fn a_connect_end_shows_its_new_certificate_from_its_next_connection_on() {
    let authority = Authority::new();
    let (recipient, mut peers) = Probe::recipient();
    let bound = Socket::builder().on_peer_event(recipient).start().unwrap();
    let server = mutual_server(&authority);
    let endpoint = bind(&bound, &server).await;
    let (chain, key) = authority.issue_named("client");
    let tls = client_with(&authority, (&chain, &key));
    let dialling = Socket::start().unwrap();
    connect(&dialling, &endpoint, &tls).await;
    let (_, first) = up(&mut peers).await;

    authority.issue_named("client");
    tls.reload().unwrap();
    assert_eq!(bound.stats().peers, 1);
    bound.close().await;
    let (recipient, mut peers) = Probe::recipient();
    let successor = Socket::builder().on_peer_event(recipient).start().unwrap();
    let options = BindOptions::new().tls(server);
    successor.bind_with(endpoint, options).await.unwrap();
    let (peer, second) = up(&mut peers).await;
    assert_eq!(peer, dialling.identity());
    assert_ne!(first, second);
    assert_eq!(first.unwrap().name(), second.unwrap().name());
}

#[actix::test]
async fn what_a_connection_travels_in_is_told() {
    let authority = Authority::new();
    let (recipient, mut peers) = Probe::recipient();
    let bound = Socket::builder().on_peer_event(recipient).start().unwrap();
    let endpoint = bind(&bound, &server(authority.issue("server"))).await;
    for (scheme, expected) in [("tls", TransportKind::Tls), ("wss", TransportKind::Wss)] {
        let socket = Socket::start().unwrap();
        let endpoint = format!("{scheme}://localhost:{}", endpoint.port().unwrap());
        connect(&socket, &endpoint.parse().unwrap(), &client(&authority)).await;
        let up = |event| match event {
            PeerEvent::Up { transport, .. } => Some(transport),
            _ => None,
        };
        assert_eq!(peers.find(up).await.expect("a peer"), expected);
    }
}
