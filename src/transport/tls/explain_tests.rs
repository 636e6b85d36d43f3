//! What is told of certificates that OpenSSL has made, because no library here makes bad ones. A file in `tests/weak` has the
//! leaf first and the trusted authority last.

use std::path::Path;
use std::time::Duration;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::super::config::default_provider;
use super::*;

/// A time at which all of them are valid.
const NOW: Duration = Duration::from_secs(1_800_000_000);

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/transport/tls/tests/weak");
    let found = CertificateDer::pem_file_iter(folder.join(name).with_extension("pem")).unwrap();
    found.map(|der| der.unwrap()).collect()
}

async fn explanation_of(name: &str) -> Explanation {
    let mut chain = certificates(name);
    let mut roots = RootCertStore::empty();
    roots.add(chain.pop().unwrap()).unwrap();
    let leaf = chain.remove(0);
    let roots = Arc::new(roots);
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), default_provider());
    let verifier = verifier.build().unwrap();
    let verifier = ExplainingServerVerifier { verifier, roots };
    let name = ServerName::try_from("localhost").unwrap();
    let now = UnixTime::since_unix_epoch(NOW);
    let (verified, explanation) =
        explained(async { verifier.verify_server_cert(&leaf, &chain, &name, &[], now) }).await;
    verified.unwrap_err();
    explanation.unwrap()
}

async fn assert_told(name: &str, refusal: Option<TlsRefusal>, parts: &[&str]) {
    let explanation = explanation_of(name).await;
    assert_eq!(explanation.refusal, refusal, "{name}: {explanation:?}");
    for part in parts {
        let detail = &explanation.detail;
        assert!(detail.contains(part), "{part:?} is missing: {detail}");
    }
}

#[tokio::test]
async fn the_authority_of_which_the_key_or_the_signature_is_weak_is_named_and_not_the_leaf() {
    let weak = Some(TlsRefusal::WeakKey);
    let parts = [
        "\"CN=weak-authority\"",
        "RSA with 1024 bits",
        "chain of \"CN=server\"",
    ];
    assert_told("weak-authority", weak, &parts).await;
    let parts = [
        "\"CN=weak-between\"",
        "RSA with 1024 bits",
        "chain of \"CN=server\"",
    ];
    assert_told("weak-between", weak, &parts).await;
    let parts = ["\"CN=sha1-between\"", "chain of \"CN=server\""];
    assert_told("sha1-between", Some(TlsRefusal::WeakSignature), &parts).await;
}

#[tokio::test]
async fn an_authority_with_a_key_that_is_not_supported_is_told_as_that() {
    let parts = ["\"CN=p521-authority\"", "P-521"];
    let unsupported = Some(TlsRefusal::UnsupportedKey);
    assert_told("p521-authority", unsupported, &parts).await;
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_told_in_a_sentence() {
    for (name, parts) in [
        ("no-authority", ["\"CN=no-authority\"", "CA:TRUE"]),
        (
            "for-clients",
            ["\"CN=for-clients\"", "client authentication"],
        ),
        ("constrained", ["\"CN=server\"", "nameConstraints"]),
        ("critical", ["\"CN=server\"", "a critical extension"]),
        ("version-1", ["version 1", "-extfile"]),
    ] {
        assert_told(name, None, &parts).await;
    }
}

#[test]
fn a_short_rsa_key_is_told_as_that() {
    let leaf = certificates("short-key").remove(0);
    let path = CertificatePath::new(&leaf, &[], &RootCertStore::empty()).unwrap();
    let explanation = explain(&CertificateError::BadSignature, &path);
    assert_eq!(explanation.refusal, Some(TlsRefusal::WeakKey));
    let told = explanation.detail.contains("CN=short-key");
    assert!(told, "{explanation:?}");
}

#[test]
fn a_long_certificate_has_a_short_explanation() {
    let long = Explanation::new(None, &"ä".repeat(1_000));
    assert_eq!(long.detail.chars().count(), MAX_DETAIL_CHARS);
}
