//! Configurations: what is wrong with one, and changing it while connections stand.

use super::*;

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

fn assert_names_both(mismatch: &TlsConfigError, chain: &Path, key: &Path) {
    let TlsConfigError::Refused { files, .. } = mismatch else {
        panic!("{mismatch:?}");
    };
    let files = files.as_deref().expect("they are known");
    assert_eq!((files.0.as_path(), files.1.as_path()), (chain, key));
    let told = mismatch.to_string();
    let (of_key, of_chain) = (key.display(), chain.display());
    let expected =
        format!("the key in {of_key} is not that of the first certificate in {of_chain}");
    assert!(told.starts_with(&expected), "{told}");
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
    let mismatch = server(&chain, &other_key).build().unwrap_err();
    assert_names_both(&mismatch, &chain, &other_key);
    let client = Tls::client().ca(authority.ca());
    let mismatch = client.certificate(&chain, &other_key).build().unwrap_err();
    assert_names_both(&mismatch, &chain, &other_key);
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

#[test]
fn a_revocation_list_that_is_none_makes_no_verifier() {
    let authority = Authority::new("no-verifier");
    let list = authority.file("list");
    let pem = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    fs::write(&list, pem).unwrap();
    let built = Tls::client().ca(authority.ca()).revocations(list).build();
    assert!(
        matches!(built, Err(TlsConfigError::Verifier { .. })),
        "{built:?}"
    );
}
