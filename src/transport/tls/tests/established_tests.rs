//! Connections that stand, and what each end knows of the other.

use super::*;

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
async fn a_tls_endpoint_needs_a_certificate_and_a_certificate_means_tls() {
    let listen = async |text: &str, options| {
        Acceptor::listen(&text.parse().unwrap(), &options, &Default::default()).await
    };
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
    let acceptor = Acceptor::listen(&endpoint, &options, &Default::default())
        .await
        .unwrap();
    let (client, server) = attempt(&acceptor, &dev.client()).await;
    assert_eq!(client.unwrap().meta.transport, TransportKind::Tls);
    server.unwrap();
}

#[test]
fn a_server_that_verifies_clients_resumes_no_session() {
    let authority = Authority::new("resumption");
    for (server, resumes) in [
        (authority.server(), true),
        (authority.mutual_server(), false),
        (Tls::dev().mutual_server(), false),
    ] {
        assert_eq!(server.config().session_storage.can_cache(), resumes);
    }
}
