//! Real handshakes over TCP, with certificates made for each test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::*;
use crate::transport::{
    Acceptor, BindOptions, ConnectOptions, Endpoint, Established, RefusedBy, TlsRefusal,
    TransportError, TransportKind, dial, late_refusal,
};

type Outcome = Result<Established, TransportError>;

async fn listen_with(tls: &TlsServer) -> Acceptor {
    let endpoint = "tls://127.0.0.1:0".parse().unwrap();
    let options = BindOptions::new().tls(tls.clone());
    Acceptor::listen(&endpoint, &options).await.unwrap()
}

/// Both ends of one attempt. The client's first byte goes with it, as a HELLO would.
async fn attempt(acceptor: &Acceptor, client: &TlsClient) -> (Outcome, Outcome) {
    let endpoint = acceptor.endpoint();
    let options = ConnectOptions::new().tls(client.clone());
    tokio::join!(
        async {
            let mut established = dial(&endpoint, &options).await?;
            let io = TransportError::io("the first byte");
            established.stream.write_all(&[0]).await.map_err(io)?;
            Ok(established)
        },
        async { acceptor.accept().await.unwrap().establish().await },
    )
}

/// What an attempt between these two ends in, if it is refused: at the client, at the server.
async fn refusals(server: &TlsServer, client: &TlsClient) -> [(RefusedBy, TlsRefusal); 2] {
    let acceptor = listen_with(server).await;
    let (client, server) = attempt(&acceptor, client).await;
    let client = match client {
        Ok(mut established) => {
            let error = established.stream.read_u8().await.unwrap_err();
            late_refusal(&error).unwrap_or_else(|| panic!("{error:?}"))
        }
        Err(error) => refusal(error),
    };
    [client, refusal(server.expect_err("the server refuses"))]
}

fn refusal(error: TransportError) -> (RefusedBy, TlsRefusal) {
    match error {
        TransportError::Tls { by, refusal, .. } => (by, refusal),
        other => panic!("{other:?}"),
    }
}

fn leaf(established: &Established) -> Vec<u8> {
    established
        .meta
        .certificates
        .as_ref()
        .unwrap()
        .leaf()
        .to_vec()
}

/// An authority whose certificates can be wrong in every way, in a directory of its own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    fn new(test: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("aiomsg-tls-{}-{test}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, test);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        fs::write(directory.join("ca"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn ca(&self) -> PathBuf {
        self.file("ca")
    }

    /// Writes `name.pem` and `name.key`, for `127.0.0.1`, changed as the test likes.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (chain, key_file) = (
            self.file(&format!("{name}.pem")),
            self.file(&format!("{name}.key")),
        );
        fs::write(&chain, certificate.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        (chain, key_file)
    }

    fn server(&self) -> TlsServer {
        self.server_with(|_| {})
    }

    fn server_with(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsServer {
        let (chain, key) = self.issue("server", change);
        Tls::server(chain, key).build().unwrap()
    }

    fn mutual_server(&self) -> TlsServer {
        let (chain, key) = self.issue("server", |_| {});
        Tls::server(chain, key)
            .client_ca(self.ca())
            .build()
            .unwrap()
    }

    fn client(&self) -> TlsClient {
        Tls::client().ca(self.ca()).build().unwrap()
    }

    fn client_with(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsClient {
        let (chain, key) = self.issue("client", change);
        Tls::client()
            .ca(self.ca())
            .certificate(chain, key)
            .build()
            .unwrap()
    }

    /// A revocation list that names one serial number.
    fn revoke(&self, serial: &[u8]) -> PathBuf {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.file("crl");
        fs::write(&path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        path
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
}

fn serial_7(params: &mut CertificateParams) {
    params.serial_number = Some(SerialNumber::from_slice(&[7]));
}

#[tokio::test]
async fn a_development_authority_serves_both_ends() {
    let dev = Tls::dev();
    let acceptor = listen_with(&dev.server()).await;
    let (client, server) = attempt(&acceptor, &dev.client()).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(client.meta.transport, TransportKind::Tls);
    assert_eq!(server.meta.transport, TransportKind::Tls);
    assert!(server.meta.certificates.is_none());
    assert_eq!(server.already_read[..], [0]);
    server.stream.write_all(b"answer").await.unwrap();
    server.stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
}

#[tokio::test]
async fn mutual_tls_shows_each_end_the_others_certificate() {
    let authority = Authority::new("mutual");
    let acceptor = listen_with(&authority.mutual_server()).await;
    let (client, server) = attempt(&acceptor, &authority.client_with(|_| {})).await;
    let on_disk = |name| {
        CertificateDer::from_pem_file(authority.file(name))
            .unwrap()
            .to_vec()
    };
    assert_eq!(leaf(&server.unwrap()), on_disk("client.pem"));
    assert_eq!(leaf(&client.unwrap()), on_disk("server.pem"));

    let dev = Tls::dev();
    let acceptor = listen_with(&dev.mutual_server()).await;
    let (client, server) = attempt(&acceptor, &dev.client_named("alice")).await;
    assert_eq!(client.unwrap().meta.certificates.unwrap().iter().len(), 1);
    assert_eq!(server.unwrap().meta.certificates.unwrap().iter().len(), 1);
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_refused() {
    assert_eq!(
        refusals(&Tls::dev().server(), &Tls::dev().client()).await,
        [
            (RefusedBy::Us, TlsRefusal::UnknownAuthority),
            (RefusedBy::Peer, TlsRefusal::UnknownAuthority)
        ],
    );
}

#[tokio::test]
async fn a_forged_authority_of_the_same_name_is_refused() {
    let one = Authority::new("forged");
    let server = one.server();
    let other = Authority::new("forged");
    let [client, _] = refusals(&server, &other.client()).await;
    assert_eq!(client, (RefusedBy::Us, TlsRefusal::UnknownAuthority));
    std::mem::forget(one); // They share a directory.
}

#[tokio::test]
async fn a_server_for_another_name_is_refused() {
    let dev = Tls::dev();
    let client = dev.client().with_server_name("other.example").unwrap();
    assert_eq!(
        refusals(&dev.server(), &client).await,
        [
            (RefusedBy::Us, TlsRefusal::WrongName),
            (RefusedBy::Peer, TlsRefusal::BadCertificate)
        ],
    );
}

#[tokio::test]
async fn a_server_name_may_differ_from_the_host() {
    let authority = Authority::new("server-name");
    let server = authority.server_with(|params| {
        *params = CertificateParams::new(["service.example".to_owned()]).unwrap();
    });
    let client = Tls::client()
        .ca(authority.ca())
        .server_name("service.example")
        .build()
        .unwrap();
    let acceptor = listen_with(&server).await;
    let (client, server) = attempt(&acceptor, &client).await;
    client.unwrap();
    server.unwrap();
}

#[tokio::test]
async fn an_expired_server_is_refused() {
    let authority = Authority::new("expired-server");
    assert_eq!(
        refusals(&authority.server_with(expired), &authority.client()).await,
        [
            (RefusedBy::Us, TlsRefusal::Expired),
            (RefusedBy::Peer, TlsRefusal::Expired)
        ],
    );
}

#[tokio::test]
async fn a_server_that_is_not_valid_yet_is_refused() {
    let authority = Authority::new("early-server");
    let server = authority.server_with(|params| params.not_before = date_time_ymd(2999, 1, 1));
    let [client, _] = refusals(&server, &authority.client()).await;
    assert_eq!(client, (RefusedBy::Us, TlsRefusal::NotYetValid));
}

#[tokio::test]
async fn a_revoked_server_is_refused() {
    let authority = Authority::new("revoked-server");
    let list = authority.revoke(&[7]);
    let client = Tls::client()
        .ca(authority.ca())
        .revocations(list)
        .build()
        .unwrap();
    assert_eq!(
        refusals(&authority.server_with(serial_7), &client).await,
        [
            (RefusedBy::Us, TlsRefusal::Revoked),
            (RefusedBy::Peer, TlsRefusal::Revoked)
        ],
    );
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new("no-certificate");
    assert_eq!(
        refusals(&authority.mutual_server(), &authority.client()).await,
        [
            (RefusedBy::Peer, TlsRefusal::NoCertificate),
            (RefusedBy::Us, TlsRefusal::NoCertificate)
        ],
    );
}

#[tokio::test]
async fn a_client_of_an_unknown_authority_is_refused() {
    let (authority, other) = (
        Authority::new("client-ca"),
        Authority::new("other-client-ca"),
    );
    let (chain, key) = other.issue("client", |_| {});
    let client = Tls::client()
        .ca(authority.ca())
        .certificate(chain, key)
        .build()
        .unwrap();
    let [_, server] = refusals(&authority.mutual_server(), &client).await;
    // A client may keep back a certificate that none of the named authorities signed.
    let unknown = [TlsRefusal::UnknownAuthority, TlsRefusal::NoCertificate];
    assert!(
        server.0 == RefusedBy::Us && unknown.contains(&server.1),
        "{server:?}"
    );
}

#[tokio::test]
async fn an_expired_client_is_refused() {
    let authority = Authority::new("expired-client");
    assert_eq!(
        refusals(&authority.mutual_server(), &authority.client_with(expired)).await,
        [
            (RefusedBy::Peer, TlsRefusal::Expired),
            (RefusedBy::Us, TlsRefusal::Expired)
        ],
    );
}

#[tokio::test]
async fn a_revoked_client_is_refused_and_another_admitted() {
    let authority = Authority::new("revoked-client");
    let (chain, key) = authority.issue("server", |_| {});
    let list = authority.revoke(&[7]);
    let server = Tls::server(chain, key)
        .client_ca(authority.ca())
        .revocations(list)
        .build()
        .unwrap();
    assert_eq!(
        refusals(&server, &authority.client_with(serial_7)).await,
        [
            (RefusedBy::Peer, TlsRefusal::Revoked),
            (RefusedBy::Us, TlsRefusal::Revoked)
        ],
    );
    let (client, admitted) =
        attempt(&listen_with(&server).await, &authority.client_with(|_| {})).await;
    client.unwrap();
    admitted.unwrap();
}

#[tokio::test]
async fn a_client_that_no_revocation_list_covers_is_refused() {
    let (authority, other) = (Authority::new("covered"), Authority::new("uncovered"));
    let (chain, key) = authority.issue("server", |_| {});
    let list = other.revoke(&[7]);
    let server = Tls::server(chain, key)
        .client_ca(authority.ca())
        .revocations(list)
        .build()
        .unwrap();
    let [_, server] = refusals(&server, &authority.client_with(|_| {})).await;
    assert_eq!(server, (RefusedBy::Us, TlsRefusal::RevocationUnknown));
}

#[tokio::test]
async fn plain_text_on_a_tls_port_is_called_that() {
    let acceptor = listen_with(&Tls::dev().server()).await;
    let hello = [&[0, 0, 0, 18, 1, 1][..], &[7; 16]].concat();
    for plain in [&hello[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let address = ("127.0.0.1", acceptor.endpoint().port().unwrap());
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(plain).await.unwrap();
        let peer = async {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            drop(client);
        };
        let (refused, ()) = tokio::join!(
            async {
                acceptor
                    .accept()
                    .await
                    .unwrap()
                    .establish()
                    .await
                    .unwrap_err()
            },
            peer
        );
        assert_eq!(refusal(refused), (RefusedBy::Us, TlsRefusal::PlainText));
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_in_plain_text_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from(listener.local_addr().unwrap());
    let options = ConnectOptions::new().tls(Tls::dev().client());
    let (refused, ()) = tokio::join!(dial(&endpoint, &options), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[0, 0, 0, 18, 1, 1]).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    assert_eq!(
        refusal(refused.unwrap_err()),
        (RefusedBy::Us, TlsRefusal::PlainText)
    );
}

#[tokio::test]
async fn a_server_that_closes_instead_of_answering_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from(listener.local_addr().unwrap());
    let options = ConnectOptions::new().tls(Tls::dev().client());
    let (refused, ()) = tokio::join!(dial(&endpoint, &options), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    assert_eq!(
        refusal(refused.unwrap_err()),
        (RefusedBy::Peer, TlsRefusal::Closed)
    );
}

#[tokio::test]
async fn ends_without_a_common_version_say_so() {
    let authority = Authority::new("version");
    let only = |version| {
        let roots = pem::authorities(&authority.ca()).unwrap();
        let config = ClientConfig::builder_with_provider(default_provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsClient::from(Arc::new(config))
    };
    let (chain, key) = authority.issue("server", |_| {});
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(default_provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            pem::certificates(&chain).unwrap(),
            pem::private_key(&key).unwrap(),
        )
        .unwrap();
    let new = TlsServer::from(Arc::new(config));
    assert_eq!(
        refusals(&new, &only(&TLS12)).await,
        [
            (RefusedBy::Peer, TlsRefusal::Version),
            (RefusedBy::Us, TlsRefusal::Version)
        ],
    );
    for version in [&TLS12, &TLS13] {
        let acceptor = listen_with(&authority.server()).await;
        let (client, server) = attempt(&acceptor, &only(version)).await;
        client.unwrap();
        server.unwrap();
    }
}

#[tokio::test]
async fn a_reloaded_server_shows_the_new_certificate_and_keeps_its_connections() {
    let authority = Authority::new("reload-server");
    let server = authority.server();
    let acceptor = listen_with(&server).await;
    let (before, mut standing) = attempt(&acceptor, &authority.client()).await;

    authority.issue("server", |_| {});
    server.reload().unwrap();
    let (after, _served) = attempt(&acceptor, &authority.client()).await;
    let mut before = before.unwrap();
    assert_ne!(leaf(&before), leaf(&after.unwrap()));

    before.stream.write_all(&[9]).await.unwrap();
    assert_eq!(
        standing.as_mut().unwrap().stream.read_u8().await.unwrap(),
        9
    );
}

#[tokio::test]
async fn a_reloaded_client_trusts_the_new_authority() {
    let (old, new) = (
        Authority::new("reload-client"),
        Authority::new("reload-client-new"),
    );
    let client = old.client();
    let acceptor = listen_with(&new.server()).await;
    let (refused, _) = attempt(&acceptor, &client).await;
    assert_eq!(
        refusal(refused.unwrap_err()).1,
        TlsRefusal::UnknownAuthority
    );

    fs::copy(new.ca(), old.ca()).unwrap();
    client.reload().unwrap();
    let (client, server) = attempt(&acceptor, &client).await;
    client.unwrap();
    server.unwrap();
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing() {
    let authority = Authority::new("reload-fails");
    let server = authority.server();
    fs::write(authority.file("server.pem"), "not PEM").unwrap();
    assert!(matches!(server.reload(), Err(TlsConfigError::Read { .. })));
    let (client, _) = attempt(&listen_with(&server).await, &authority.client()).await;
    client.unwrap();
}

#[test]
fn a_configuration_error_names_what_is_wrong() {
    let authority = Authority::new("configuration");
    let (chain, key) = authority.issue("one", |_| {});
    let (_, other_key) = authority.issue("other", |_| {});
    let server = |chain: &Path, key: &Path| Tls::server(chain, key);

    let missing = authority.file("missing");
    match server(&missing, &key).build() {
        Err(TlsConfigError::Read { path, .. }) => assert_eq!(path, missing),
        other => panic!("{other:?}"),
    }
    match server(&chain, &chain).build() {
        Err(TlsConfigError::Read { wanted, path, .. }) => {
            assert_eq!((wanted, path), ("a private key", chain.clone()));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        server(&chain, &other_key).build(),
        Err(TlsConfigError::Refused { .. })
    ));
    assert!(matches!(
        server(&chain, &key).revocations(&chain).build(),
        Err(TlsConfigError::RevocationsWithoutAuthority)
    ));
    assert!(matches!(
        Tls::client()
            .ca(authority.ca())
            .server_name("not a name")
            .build(),
        Err(TlsConfigError::ServerName { .. })
    ));
    assert!(matches!(
        Tls::dev().server().reload(),
        Err(TlsConfigError::NotFromFiles)
    ));
    assert!(matches!(
        Tls::dev().client().reload(),
        Err(TlsConfigError::NotFromFiles)
    ));
}

#[tokio::test]
async fn a_tls_endpoint_needs_a_certificate_and_a_certificate_means_tls() {
    let listen =
        async |text: &str, options| Acceptor::listen(&text.parse().unwrap(), &options).await;
    for text in ["tls://127.0.0.1:0", "wss://127.0.0.1:0"] {
        let error = listen(text, BindOptions::new()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    let dev = Tls::dev();
    let options = BindOptions::new().tls(dev.server());
    let acceptor = listen("127.0.0.1:0", options).await.unwrap();
    assert_eq!(acceptor.endpoint().scheme().as_str(), "tls");
    let (client, _) = attempt(&acceptor, &dev.client()).await;
    client.unwrap();
}

#[tokio::test]
async fn local_endpoints_carry_tls_too() {
    let dev = Tls::dev();
    let endpoint = "mem://tls".parse().unwrap();
    let options = BindOptions::new().tls(dev.server());
    let acceptor = Acceptor::listen(&endpoint, &options).await.unwrap();
    let (client, server) = attempt(&acceptor, &dev.client()).await;
    assert_eq!(client.unwrap().meta.transport, TransportKind::Tls);
    server.unwrap();
}

#[tokio::test]
async fn without_options_the_operating_system_decides_whom_to_trust() {
    let acceptor = listen_with(&Tls::dev().server()).await;
    let endpoint = acceptor.endpoint();
    let options = ConnectOptions::new();
    let serve = async { drop(acceptor.accept().await.unwrap().establish().await) };
    tokio::select! {
        refused = dial(&endpoint, &options) => match refused.unwrap_err() {
            TransportError::Tls { refusal, .. } => assert_eq!(refusal, TlsRefusal::UnknownAuthority),
            TransportError::TlsConfig { source: TlsConfigError::NoSystemAuthorities } => {}
            other => panic!("{other:?}"),
        },
        () = async { serve.await; std::future::pending().await } => {}
    }
}
