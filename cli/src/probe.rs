//! One look at an endpoint, step by step, as a socket would go: name, address, TLS, HELLO.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::event::AddressFailure;
use actix_aiomsg::prelude::*;
use actix_aiomsg::tls::rustls;
use actix_aiomsg::transport::{PeerAddress, Scheme, TlsRefusal, TransportKind};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::Outcome;
use crate::failure::Failure;
use crate::options::Security;

/// The addresses of a host.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = Vec::new();
    for address in tokio::net::lookup_host((bare, port)).await? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Connects to one address, and lets go of it.
pub(crate) async fn connect(address: SocketAddr, limit: Duration) -> io::Result<()> {
    dial(address, limit).await.map(drop)
}

async fn dial(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What a bind end shows in its TLS handshake.
pub(crate) struct Shown {
    pub(crate) version: String,
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

/// Makes a TLS handshake to see the chain of the bind end. Nothing is sent over it, so that it need not be trusted.
pub(crate) async fn chain(address: SocketAddr, host: &str, limit: Duration) -> io::Result<Shown> {
    let seen = Arc::new(Looking::new());
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(&seen) as _;
    let config = ClientConfig::builder_with_provider(Arc::clone(&seen.provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
    let handshake = async {
        let stream = dial(address, limit).await?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await
    };
    let outcome = match tokio::time::timeout(limit, handshake).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let chain = seen.chain.lock().unwrap_or_else(PoisonError::into_inner);
    let version = match &outcome {
        Ok(stream) => {
            let (_, connection) = stream.get_ref();
            let version = connection.protocol_version().and_then(|v| v.as_str());
            version.unwrap_or("TLS").replace("TLSv1_", "TLS 1.")
        }
        // It showed its chain, and wants one of ours.
        Err(_) if !chain.is_empty() => "TLS".to_owned(),
        Err(_) => return outcome.map(|_| unreachable!("it is an error")),
    };
    Ok(Shown {
        version,
        chain: chain.clone(),
    })
}

/// Takes any chain, and remembers it.
#[derive(Debug)]
struct Looking {
    provider: Arc<rustls::crypto::CryptoProvider>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Looking {
    fn new() -> Self {
        Self {
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            chain: Mutex::default(),
        }
    }
}

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        chain.clear();
        chain.push(leaf.clone().into_owned());
        chain.extend(others.iter().map(|other| other.clone().into_owned()));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// A peer that has said HELLO.
pub(crate) struct Answered {
    pub(crate) peer: Identity,
    pub(crate) address: PeerAddress,
    pub(crate) transport: TransportKind,
    pub(crate) took: Duration,
    /// Messages that it gave us, which are lost to everybody else.
    pub(crate) dealt: u64,
}

/// Why a peer has not.
pub(crate) struct Refused {
    pub(crate) reason: RefusalReason,
    pub(crate) tried: Vec<AddressFailure>,
}

/// Connects as a socket and exchanges HELLO. `None` if neither came of it within `limit`.
pub(crate) async fn hello(
    endpoint: &str,
    security: &Security,
    identity: Option<Identity>,
    limit: Duration,
) -> Outcome<Option<Result<Answered, Refused>>> {
    let (sender, mut events) = mpsc::channel(64);
    let listener = Listener(sender).start();
    let mut builder = Socket::builder()
        .on_peer_event(listener.clone().recipient())
        .on_socket_event(listener.recipient())
        .reconnect(Backoff::fixed(limit))
        .handshake_timeout(limit);
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    let socket = builder.start().map_err(Failure::failed)?;
    let options = security.connect_options(endpoint)?;
    let began = Instant::now();
    let connecting = socket.connect_with(endpoint, options).await;
    connecting.map_err(Failure::usage)?;
    let end = tokio::time::timeout(limit, events.recv()).await;
    let took = began.elapsed();
    let outcome = match end {
        Ok(Some(Ok(mut answered))) => {
            answered.took = took;
            answered.dealt = socket.stats().received;
            Some(Ok(answered))
        }
        Ok(Some(Err(refused))) => Some(Err(refused)),
        Ok(None) | Err(_) => None,
    };
    socket.close_within(Duration::ZERO).await;
    Ok(outcome)
}

/// Passes on how an attempt ended.
struct Listener(mpsc::Sender<Result<Answered, Refused>>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<PeerEvent> for Listener {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        if let PeerEvent::Up {
            peer,
            address,
            transport,
            ..
        } = event
        {
            // Only the first counts.
            let _ = self.0.try_send(Ok(Answered {
                peer,
                address,
                transport,
                took: Duration::ZERO,
                dealt: 0,
            }));
        }
    }
}

impl Handler<SocketEvent> for Listener {
    type Result = ();

    fn handle(&mut self, event: SocketEvent, _: &mut Self::Context) {
        if let SocketEvent::DialFailed { reason, tried, .. } = event {
            // Only the first counts.
            let _ = self.0.try_send(Err(Refused { reason, tried }));
        }
    }
}

/// What to do about a refusal.
pub(crate) fn advice(reason: &RefusalReason, scheme: Scheme) -> &'static str {
    match reason {
        RefusalReason::Unreachable(_) | RefusalReason::Transport(_) => {
            "Is the peer started, and bound to an address that can be reached from here?"
        }
        RefusalReason::Tls { refusal, .. } => tls_advice(*refusal),
        RefusalReason::TlsOnPlainPort => "The peer speaks TLS: use tls:// or wss://.",
        RefusalReason::UnknownProtocol { .. }
        | RefusalReason::NotHello(_)
        | RefusalReason::Empty
        | RefusalReason::Short { .. }
        | RefusalReason::Oversize(_) => {
            "Another program than an aiomsg socket listens there: is the port right?"
        }
        RefusalReason::Version(_) => {
            "The peer is of another generation of the protocol: update it."
        }
        RefusalReason::UpgradeUnauthorized | RefusalReason::UpgradeForbidden => {
            "Credentials go into --header, for instance --header 'Authorization: Bearer …'."
        }
        RefusalReason::Upgrade(_) | RefusalReason::UpgradeDenied(_) => {
            "Is the path right, and does a WebSocket endpoint of aiomsg stand behind it?"
        }
        RefusalReason::Ended { .. } | RefusalReason::TimedOut => match scheme {
            Scheme::Tcp => {
                "It may speak TLS (use tls://), be another program, have reached its limit of connections, or not let us in: its log knows."
            }
            _ => {
                "It may be another program, have reached its limit of connections, or not let us in: its log knows."
            }
        },
        RefusalReason::Duplicate | RefusalReason::Itself => {
            "That identity is connected already: give another --identity."
        }
        RefusalReason::Unauthorized(_)
        | RefusalReason::AuthorizationTimedOut
        | RefusalReason::AuthorizerFailed
        | RefusalReason::NotWanted => "The peer decides who comes in: its log knows.",
        RefusalReason::LimitReached | RefusalReason::Displaced => {
            "The peer has too many connections: raise its max_connections."
        }
        _ => "The peer's log may know more.",
    }
}

fn tls_advice(refusal: TlsRefusal) -> &'static str {
    match refusal {
        TlsRefusal::UnknownAuthority => "--ca FILE names the authority to trust.",
        TlsRefusal::WrongName | TlsRefusal::NoName => {
            "Connect by a name that the certificate has, or say with --server-name whom it must be for."
        }
        TlsRefusal::NoCertificate => {
            "--cert and --key show who we are; for development `aiomsg cert client NAME` makes them."
        }
        TlsRefusal::PlainText => {
            "One end speaks TLS and the other does not: is it tls:// or tcp://?"
        }
        TlsRefusal::Expired | TlsRefusal::NotYetValid => {
            "Renew the certificate; or one of the two clocks is wrong."
        }
        TlsRefusal::Revoked => "Whoever signed the certificate has withdrawn it: get a new one.",
        _ => {
            "The reason above says whose certificate it is; the log of the end that refuses has the details."
        }
    }
}
