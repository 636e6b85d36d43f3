//! Each way in which a handshake fails.

use super::*;
use crate::event::RefusalReason;

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
    let one = Authority::named("forged-one", "the same name");
    let other = Authority::named("forged-other", "the same name");
    let [client, _] = refusals(&one.server(), &other.client()).await;
    assert_eq!(client, (RefusedBy::Us, TlsRefusal::UnknownAuthority));
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
    // It shows its certificate, although that is of none of the authorities that the server names.
    assert_eq!(
        refusals(&authority.mutual_server(), &client).await,
        [
            (RefusedBy::Peer, TlsRefusal::UnknownAuthority),
            (RefusedBy::Us, TlsRefusal::UnknownAuthority)
        ],
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
    let (chain, key) = pem::own_certificate(&chain, &key).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(default_provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
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
async fn without_options_the_operating_system_decides_whom_to_trust() {
    let acceptor = listen_with(&Tls::dev().server()).await;
    let endpoint = acceptor.endpoint();
    let options = ConnectOptions::new();
    let serve = async { drop(acceptor.accept().await.unwrap().establish().await) };
    tokio::select! {
        refused = dial(&endpoint, &options) => match refused.unwrap_err() {
            TransportError::Tls { refusal, .. } => assert_eq!(refusal, TlsRefusal::UnknownAuthority),
            TransportError::TlsConfig { source: TlsConfigError::NoSystemAuthorities { .. } } => {}
            other => panic!("{other:?}"),
        },
        () = async { serve.await; std::future::pending().await } => {}
    }
}

/// The reason of the connect end, as it stands in events and logs.
async fn told(server: &TlsServer, client: &TlsClient) -> (TlsRefusal, String) {
    let (client, _) = attempt(&listen_with(server).await, client).await;
    match RefusalReason::from(client.expect_err("the client refuses")) {
        reason @ RefusalReason::Tls { refusal, .. } => (refusal, reason.to_string()),
        other => panic!("{other:?}"),
    }
}

fn has(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} is missing: {told}");
    }
}

#[tokio::test]
async fn an_unknown_issuer_is_told_by_its_name() {
    let (one, other) = (Authority::new("issuer-one"), Authority::new("issuer-other"));
    let (refusal, told) = told(&one.server(), &other.client()).await;
    assert_eq!(refusal, TlsRefusal::UnknownAuthority);
    has(&told, &["CN=issuer-one", "add its authority"]);
}

#[tokio::test]
async fn a_client_of_an_unknown_issuer_is_told_at_the_bind_end_by_its_name() {
    let (authority, other) = (
        Authority::new("issuer-bind"),
        Authority::new("issuer-of-client"),
    );
    let (chain, key) = other.issue("stranger", |_| {});
    let client = Tls::client()
        .ca(authority.ca())
        .certificate(chain, key)
        .build()
        .unwrap();
    let acceptor = listen_with(&authority.mutual_server()).await;
    let (_, server) = attempt(&acceptor, &client).await;
    let told = RefusalReason::from(server.unwrap_err()).to_string();
    has(&told, &["CN=stranger", "CN=issuer-of-client"]);
}

#[tokio::test]
async fn an_expired_certificate_is_told_with_its_date() {
    let authority = Authority::new("expiry-date");
    let server = authority.server_with(|params| params.not_after = date_time_ymd(2020, 2, 3));
    let (refusal, told) = told(&server, &authority.client()).await;
    assert_eq!(refusal, TlsRefusal::Expired);
    has(&told, &["Feb  3", "2020", "renew it"]);
}

#[tokio::test]
async fn an_authority_of_the_chain_that_is_out_of_date_is_named_and_not_the_leaf() {
    let authority = Authority::new("old-authority");
    let client = authority.client();
    let server = authority.server_below(|params| params.not_after = date_time_ymd(2020, 2, 3));
    let (refusal, expired) = told(&server, &client).await;
    assert_eq!(refusal, TlsRefusal::Expired);
    let named =
        "\"CN=between\", an authority in the chain of \"CN=server\", which expired on Feb  3";
    has(&expired, &[named]);
    let server = authority.server_below(|params| params.not_before = date_time_ymd(2999, 1, 1));
    let (refusal, early) = told(&server, &client).await;
    assert_eq!(refusal, TlsRefusal::NotYetValid);
    has(&early, &["\"CN=between\", an authority", "2999"]);
}

#[tokio::test]
async fn a_certificate_for_clients_at_a_bind_end_is_told_as_that() {
    let authority = Authority::new("purpose");
    let server = authority.server_with(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (_, told) = told(&server, &authority.client()).await;
    has(&told, &["CN=server", "allows client authentication"]);
}

#[tokio::test]
async fn a_wrong_name_is_told_with_both_names() {
    let authority = Authority::new("both-names");
    let client = authority
        .client()
        .with_server_name("other.example")
        .unwrap();
    let (refusal, told) = told(&authority.server(), &client).await;
    assert_eq!(refusal, TlsRefusal::WrongName);
    has(&told, &["127.0.0.1", "other.example"]);
}

#[tokio::test]
async fn a_certificate_without_alternative_names_is_told_as_that() {
    let authority = Authority::new("no-san");
    let server = authority.server_with(|params| params.subject_alt_names.clear());
    let (refusal, told) = told(&server, &authority.client()).await;
    assert_eq!(refusal, TlsRefusal::NoName);
    has(&told, &["subjectAltName", "127.0.0.1"]);
}

#[tokio::test]
async fn an_authority_that_shows_its_own_certificate_is_told_as_that() {
    let authority = Authority::new("shows-itself");
    let server = authority.server_with(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let (refusal, told) = told(&server, &authority.client()).await;
    assert_eq!(refusal, TlsRefusal::AuthorityCertificate);
    has(&told, &["authority's own", "CA:FALSE"]);
}

/// Certificates that are made by OpenSSL, because no library here makes bad ones.
fn weak(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/transport/tls/tests/weak")
        .join(name)
}

#[tokio::test]
async fn a_signature_with_sha_1_is_told_as_that() {
    let file = weak("sha1.pem");
    let server = Tls::server(&file, &file).build().unwrap();
    let client = Tls::client().ca(weak("ca.pem")).build().unwrap();
    let (refusal, told) = told(&server, &client).await;
    assert_eq!(refusal, TlsRefusal::WeakSignature);
    has(&told, &["CN=sha1", "SHA-256"]);
}

#[test]
fn a_file_with_one_damaged_certificate_is_refused_as_a_whole() {
    let authority = Authority::new("damaged");
    let ca = fs::read_to_string(authority.ca()).unwrap();
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    fs::write(authority.ca(), format!("\u{feff}{ca}")).unwrap();
    Tls::client().ca(authority.ca()).build().unwrap();
    fs::write(authority.ca(), format!("{ca}{no_certificate}{ca}")).unwrap();
    let refused = Tls::client()
        .ca(authority.ca())
        .build()
        .unwrap_err()
        .to_string();
    has(
        &refused,
        &["entry 2", &authority.ca().display().to_string()],
    );
}

#[test]
fn a_damaged_boundary_of_a_second_authority_is_an_error() {
    let authority = Authority::new("damaged-boundary");
    let ca = fs::read_to_string(authority.ca()).unwrap();
    fs::write(
        authority.ca(),
        format!("{ca}{}", ca.replace("E-----", "E-----;")),
    )
    .unwrap();
    let refused = Tls::client().ca(authority.ca()).build().unwrap_err();
    has(&refused.to_string(), &["entry 2", "BEGIN line"]);
}

#[tokio::test]
async fn names_that_do_not_count_are_told_by_their_kind() {
    let authority = Authority::new("other-names");
    let text = |text: &str| text.to_owned().try_into().unwrap();
    for (name, parts) in [
        (
            rcgen::SanType::Rfc822Name(text("a@b.example")),
            ["the e-mail address a@b.example", "127.0.0.1"],
        ),
        (
            rcgen::SanType::URI(text("spiffe://a/b")),
            ["the URI spiffe://a/b", "127.0.0.1"],
        ),
        (
            rcgen::SanType::DnsName(text("127.0.0.1")),
            ["the DNS name 127.0.0.1", "IP:127.0.0.1"],
        ),
    ] {
        let server = authority.server_with(|params| params.subject_alt_names = vec![name]);
        let (refusal, told) = told(&server, &authority.client()).await;
        assert_eq!(refusal, TlsRefusal::WrongName);
        has(&told, &parts);
    }
}

#[test]
fn a_key_of_our_own_that_cannot_be_used_is_told_by_its_kind() {
    for (name, kind) in [
        ("short-key", "RSA with 1024 bits"),
        ("own-p-521", "P-521"),
        ("own-secp256k1", "secp256k1"),
        ("own-ed448", "Ed448"),
        ("own-rsa-pss", "RSA-PSS"),
    ] {
        let file = weak(&format!("{name}.pem"));
        let parts = [
            kind,
            "use P-256, or RSA with 2048 bits",
            &format!("{name}.pem"),
        ];
        let refused = Tls::server(&file, &file).build().unwrap_err();
        has(&refused.to_string(), &parts);
        let client = Tls::client().ca(weak("ca.pem")).certificate(&file, &file);
        has(&client.build().unwrap_err().to_string(), &parts);
    }
    let file = weak("version-1.pem");
    let refused = Tls::server(&file, &file).build().unwrap_err();
    has(&refused.to_string(), &["version 1", "-extfile"]);
}

/// The reason of the bind end, which the connect end refuses.
async fn told_at_the_bind_end(server: &TlsServer, client: &TlsClient) -> String {
    let (_, server) = attempt(&listen_with(server).await, client).await;
    RefusalReason::from(server.expect_err("the client refuses")).to_string()
}

#[tokio::test]
async fn an_end_whose_certificate_is_refused_is_told_all_that_the_alert_may_mean() {
    let authority = Authority::new("alerts");
    let server = authority.server_with(|params| params.not_before = date_time_ymd(2999, 1, 1));
    let early = told_at_the_bind_end(&server, &authority.client()).await;
    has(&early, &["the peer refused us", "not valid yet", "clocks"]);

    let file = weak("sha1.pem");
    let server = Tls::server(&file, &file).build().unwrap();
    let client = Tls::client().ca(weak("ca.pem")).build().unwrap();
    let weak_signature = told_at_the_bind_end(&server, &client).await;
    has(
        &weak_signature,
        &["DecryptError", "weak", "another authority of the same name"],
    );
}

#[tokio::test]
async fn a_client_is_told_of_its_own_certificate_by_the_first_read() {
    let authority = Authority::new("client-alert");
    let (chain, key) = authority.issue("server", |_| {});
    let server = Tls::server(chain, key).client_ca(weak("ca.pem"));
    let file = weak("sha1.pem");
    let client = Tls::client().ca(authority.ca()).certificate(&file, &file);
    let acceptor = listen_with(&server.build().unwrap()).await;
    let (client, _) = attempt(&acceptor, &client.build().unwrap()).await;
    let error = match client {
        Ok(mut established) => {
            let error = established.stream.read_u8().await.unwrap_err();
            TransportError::broken("waiting for HELLO", error)
        }
        Err(error) => error,
    };
    let told = RefusalReason::from(error).to_string();
    has(
        &told,
        &["DecryptError", "weak", "another authority of the same name"],
    );
}

#[tokio::test]
async fn a_client_that_has_no_certificate_or_none_that_can_be_used_is_told_both() {
    let authority = Authority::new("none-to-show");
    let server = authority.mutual_server();
    let told = told_at_the_bind_end(&server, &authority.client()).await;
    has(
        &told,
        &["none was shown", "a key of a kind that is not supported"],
    );
}

#[tokio::test]
async fn a_probe_that_begins_tls_and_is_reset_has_said_nothing() {
    let acceptor = listen_with(&Tls::dev().server()).await;
    let address = ("127.0.0.1", acceptor.endpoint().port().unwrap());
    let mut client = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let config = Tls::dev().client().config();
    let mut tls = tokio_rustls::rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let probe = async {
        client.write_all(&hello).await.unwrap();
        // The server has answered, and waits for the end of the handshake.
        client.read_u8().await.unwrap();
        let no_time = Some(std::time::Duration::ZERO);
        socket2::SockRef::from(&client).set_linger(no_time).unwrap();
        drop(client);
    };
    let accepted = acceptor.accept().await.unwrap();
    let (refused, ()) = tokio::join!(accepted.establish(), probe);
    let refused = refused.unwrap_err();
    assert!(matches!(refused, TransportError::Silent), "{refused:?}");
}
