//! A socket within an actix-web application that does TLS: who comes in has shown a certificate to
//! the web server, and the socket knows it.

mod support;

use std::any::Any;
use std::sync::Arc;

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::tls::rustls::pki_types::pem::PemObject;
use actix_aiomsg::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use actix_aiomsg::tls::rustls::server::WebPkiClientVerifier;
use actix_aiomsg::tls::rustls::{RootCertStore, ServerConfig, crypto::ring};
use actix_aiomsg::{
    authorize::{Admission, Candidate, identity_from_certificate},
    tls::{Tls, TlsClient},
    transport::{CertificateChain, CertificateName, RefusedBy, TlsRefusal, TransportKind},
    web,
};
use actix_web::dev::Extensions;
use actix_web::{App, HttpServer};
use support::certificates::{Authority, expired, serial};
use support::events::{SocketProbe, without_detail};
use support::host::Host;
use support::raw_peer;
use support::site::{FREE, PATH, Site};
use support::web_peer::{WebPeer, request};
use support::within_patience;
use tokio::net::TcpStream;

fn client(authority: &Authority, name: &str) -> TlsClient {
    let (chain, key) = authority.issue_named(name);
    let client = Tls::client().ca(authority.ca());
    client.certificate(chain, key).build().unwrap()
}

/// A socket that connects to the mount, and what becomes of it.
async fn dial(site: &Site, tls: &TlsClient) -> (Socket, Probe<SocketEvent>) {
    let (recipient, events) = Probe::recipient();
    let socket = Socket::builder().on_socket_event(recipient).start();
    let socket = socket.unwrap();
    let endpoint = format!("wss://{}{PATH}", site.address);
    let options = ConnectOptions::new().tls(tls.clone());
    socket.connect_with(endpoint, options).await.unwrap();
    (socket, events)
}

async fn receive(socket: &Socket) -> Received {
    within_patience("a message", socket.recv()).await.unwrap()
}

#[actix::test]
async fn behind_the_servers_tls_a_peer_is_a_wss_peer() {
    let dev = Tls::dev();
    let mut host = Host::alone(Socket::builder()).await;
    let site = Site::secured(&host.socket, &dev.server());
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&dev.client().config()));
    let stream = TcpStream::connect(site.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let request = request(PATH, "X-Test", "none");
    let mut peer = WebPeer::upgrade(Box::new(stream), request).await.unwrap();
    peer.introduce([0x51; 16]).await;
    match host.peers.next().await.unwrap() {
        PeerEvent::Up {
            transport,
            certificates,
            ..
        } => assert_eq!((transport, certificates), (TransportKind::Wss, None)),
        other => panic!("{other:?}"),
    }
    peer.data(b"sealed").await;
    assert_eq!(host.message().await, "sealed");
}

#[actix::test]
async fn the_certificate_that_a_client_shows_the_server_is_its_peers_and_decides_who_it_is() {
    let authority = Authority::new();
    let (chain, key) = authority.issue("server");
    let tls = Tls::server(chain, key).client_ca(authority.ca());
    let (recipient, mut peers) = Probe::recipient();
    let socket = Socket::builder()
        .authorize(identity_from_certificate)
        .on_peer_event(recipient)
        .start()
        .unwrap();
    let site = Site::secured(&socket, &tls.build().unwrap());
    for name in ["worker 7", "worker 8"] {
        // Whatever it says of itself, it is who its certificate says.
        let (dialling, _events) = dial(&site, &client(&authority, name)).await;
        let identity = Identity::from_name(&format!("cn:{name}"));
        let up = |event| match event {
            PeerEvent::Up {
                peer, certificates, ..
            } => Some((peer, certificates.expect("it has shown one"))),
            _ => None,
        };
        let (peer, certificates) = peers.find(up).await.expect("the peer");
        assert_eq!(peer, identity);
        let common = CertificateName::Common(name.to_owned());
        assert_eq!(certificates.name(), Some(common));
        dialling.send("from inside").await.unwrap();
        let message = receive(&socket).await;
        assert_eq!(message.peer(), identity);
        assert_eq!(message.certificates(), Some(&certificates));
        socket.send_to(identity, "to you alone").await.unwrap();
        assert_eq!(receive(&dialling).await.payload(), "to you alone");
    }
}

#[actix::test]
async fn a_client_that_the_server_does_not_trust_never_reaches_the_socket() {
    let (authority, others) = (Authority::new(), Authority::new());
    let (chain, key) = authority.issue("server");
    let tls = Tls::server(chain, key)
        .client_ca(authority.ca())
        .revocations(authority.revoke(7));
    let socket = Socket::builder()
        .authorize(|_: Candidate| async { Admission::admit() })
        .start()
        .unwrap();
    let site = Site::secured(&socket, &tls.build().unwrap());
    let client = || Tls::client().ca(authority.ca());
    let with = |(chain, key)| client().certificate(chain, key).build().unwrap();
    for (tls, expected) in [
        (client().build().unwrap(), TlsRefusal::NoCertificate),
        (
            with(authority.issue_with("late", expired)),
            TlsRefusal::Expired,
        ),
        (
            with(authority.issue_with("revoked", serial(7))),
            TlsRefusal::Revoked,
        ),
        (with(others.issue("stranger")), TlsRefusal::UnknownAuthority),
    ] {
        let (_dialling, mut events) = dial(&site, &tls).await;
        let reason = events.dial_failure().await;
        let refusal = RefusalReason::Tls {
            by: RefusedBy::Peer,
            refusal: expected,
            detail: String::new(),
        };
        assert_eq!(without_detail(reason), refusal);
    }
    let stats = socket.stats();
    assert_eq!((stats.joins, stats.refused), (0, 0));
}

/// A configuration that asks clients for a certificate and goes without.
fn asking(authority: &Authority) -> ServerConfig {
    let (chain, key) = authority.issue("server");
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.ca()).unwrap();
    roots.add(ca).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(chain).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap()
}

#[actix::test]
async fn where_certificates_are_optional_the_authorizer_decides_who_needs_one() {
    let authority = Authority::new();
    let (recipient, mut refusals) = Probe::recipient();
    let socket = Socket::builder()
        .authorize(identity_from_certificate)
        .on_socket_event(recipient)
        .start()
        .unwrap();
    let site = Site::secured_at(FREE, &socket, asking(&authority));
    let anonymous = Tls::client().ca(authority.ca()).build().unwrap();
    let (_dialling, _events) = dial(&site, &anonymous).await;
    let reason = refusals.refusal().await.to_string();
    assert!(reason.contains("shown no certificate"), "{reason}");

    let (known, _events) = dial(&site, &client(&authority, "known")).await;
    known.send("it is me").await.unwrap();
    let message = receive(&socket).await;
    assert_eq!(message.peer(), Identity::from_name("cn:known"));
}

#[actix::test]
async fn an_application_with_an_on_connect_of_its_own_says_what_others_have_verified() {
    let authority = Authority::new();
    let (chain, _) = authority.issue_named("behind a proxy");
    let leaf = CertificateDer::from_pem_file(chain).unwrap();
    let socket = Socket::builder()
        .authorize(identity_from_certificate)
        .start()
        .unwrap();
    let shared = socket.clone();
    let server = HttpServer::new(move || App::new().service(web::endpoint(PATH, &shared)))
        .workers(1)
        .disable_signals()
        .on_connect(move |connection: &dyn Any, data: &mut Extensions| {
            // Plain TCP: there is nothing to find.
            web::on_connect(connection, data);
            assert!(!data.contains::<CertificateChain>());
            data.insert(CertificateChain::from_der([&leaf]));
        })
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    actix::spawn(server.run());
    let mut peer = WebPeer::connect(address, PATH).await.unwrap();
    peer.say(raw_peer::hello([1; 16])).await;
    peer.data(b"vouched for").await;
    let message = receive(&socket).await;
    assert_eq!(message.peer(), Identity::from_name("cn:behind a proxy"));
    assert_eq!(message.payload(), "vouched for");
}
