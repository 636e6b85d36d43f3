//! Names in certificates, and what they become.

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::*;

fn chain(common: Option<&str>, others: Vec<SanType>) -> CertificateChain {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = common {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.subject_alt_names = others;
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    CertificateChain::from_der([certificate.der()])
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

#[test]
fn a_uri_comes_before_a_dns_name_and_that_before_the_common_name() {
    let name = |common, others| chain(common, others).name().map(|name| name.to_string());
    assert_eq!(
        name(Some("c"), vec![dns("A.example"), uri("spiffe://x/y")]).as_deref(),
        Some("uri:spiffe://x/y")
    );
    let address = SanType::IpAddress([127, 0, 0, 1].into());
    assert_eq!(
        name(Some("c"), vec![address.clone(), dns("A.example")]).as_deref(),
        Some("dns:a.example")
    );
    assert_eq!(
        name(Some("worker 1"), vec![address]).as_deref(),
        Some("cn:worker 1")
    );
    assert_eq!(name(None, Vec::new()), None);
}

#[test]
fn a_renewed_certificate_has_the_identity_of_the_old_one() {
    let (old, new) = (chain(Some("w"), vec![]), chain(Some("w"), vec![]));
    assert_ne!(old, new);
    assert_eq!(old.identity(), new.identity());
    assert_eq!(old.identity(), Some(Identity::from_name("cn:w")));
}

#[test]
fn the_same_text_as_another_kind_of_name_is_another_identity() {
    assert_ne!(
        chain(Some("w"), vec![]).identity(),
        chain(None, vec![dns("w")]).identity()
    );
}

#[test]
fn what_is_no_certificate_names_nobody() {
    let junk = CertificateChain::from_der([b"no certificate"]);
    assert_eq!(junk.name(), None);
    assert_eq!(junk.identity(), None);
}
