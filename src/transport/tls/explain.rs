//! Explaining why a certificate was refused, from what the certificate itself says.
//!
//! rustls says which check failed, and not of whose certificate. The verifiers here are those of rustls; of what
//! they refuse they leave an explanation for the handshake that is polled at the moment.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ExtendedKeyPurpose,
    RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{ASN1Time, GeneralName, Validity, X509Certificate, X509Version};

use super::certificate_path::CertificatePath;
use super::key_kind::KeyKind;
use crate::address::TlsRefusal;
use crate::transport::tls_certificate_fault::fault_of;

/// The longest explanation.
const MAX_DETAIL_CHARS: usize = 300;

/// A refusal that is known better than rustls says, and its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) refusal: Option<TlsRefusal>,
    pub(super) detail: String,
}

impl Explanation {
    /// A stranger may have written a certificate of any size.
    fn new(refusal: Option<TlsRefusal>, detail: &str) -> Self {
        let detail = detail.chars().take(MAX_DETAIL_CHARS).collect();
        Self { refusal, detail }
    }
}

tokio::task_local! {
    static EXPLAINED: RefCell<Option<Explanation>>;
}

/// Runs a handshake, and yields with its result the explanation that a verifier left for it.
pub(super) async fn explained<T>(handshake: impl Future<Output = T>) -> (T, Option<Explanation>) {
    EXPLAINED
        .scope(RefCell::new(None), async {
            let result = handshake.await;
            (result, EXPLAINED.with(RefCell::take))
        })
        .await
}

/// Keeps the explanation of a refusal for the handshake that is polled at the moment.
fn note<T>(
    result: Result<T, Error>,
    leaf: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
) -> Result<T, Error> {
    if let Err(Error::InvalidCertificate(error)) = &result
        && let Some(path) = CertificatePath::new(leaf, chain, roots)
    {
        let explanation = explain(error, &path);
        // Outside of a handshake of ours nobody asks.
        let _ = EXPLAINED.try_with(|explained| explained.replace(Some(explanation)));
    }
    result
}

fn explain(error: &CertificateError, path: &CertificatePath<'_>) -> Explanation {
    let leaf = path.leaf();
    let whose = whose(path, leaf);
    let plain = |detail: String| Explanation::new(None, &detail);
    let known = |refusal, detail: String| Explanation::new(Some(refusal), &detail);
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let unverified = || match error {
                CertificateError::BadSignature => "and not signed by the trusted",
                _ => "signed by",
            };
            let leaf_key = KeyKind::of(leaf.public_key());
            refused_issuer(path).unwrap_or_else(|| match leaf_key.is_weak() {
                true => known(TlsRefusal::WeakKey, format!("{whose}: {leaf_key}")),
                // The issuer of the last one is the one that is missing, or is another one.
                false => {
                    let issuer = path.last().issuer().to_string();
                    plain(format!("{whose}, {} {issuer:?}", unverified()))
                }
            })
        }
        #[expect(deprecated, reason = "providers may still say it")]
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            refused_issuer(path).unwrap_or_else(|| bad_signature(error, path))
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            let whose = whose_date(path, |validity| validity.not_after, *not_after);
            plain(format!("{whose}, which expired on {}", date(*not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let whose = whose_date(path, |validity| validity.not_before, *not_before);
            plain(format!(
                "{whose}, which is valid from {} on",
                date(*not_before)
            ))
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            match presented.is_empty() {
                true => known(
                    TlsRefusal::NoName,
                    format!("{whose}; it should be for {expected:?}"),
                ),
                false => plain(format!(
                    "it is for {}, and {expected:?} was dialled",
                    names(leaf).unwrap_or_else(|| presented.join(", "))
                )),
            }
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            known(TlsRefusal::AuthorityCertificate, whose)
        }
        CertificateError::ExpiredRevocationListContext { next_update, .. } => plain(format!(
            "{whose}; the revocation list of its authority expired on {}; fetch its successor",
            date(*next_update)
        )),
        CertificateError::Revoked | CertificateError::UnknownRevocationStatus => plain(whose),
        // The refusal itself says no more than that it is not acceptable.
        other => {
            let whose =
                at_fault(other, path).map_or(whose, |certificate| self::whose(path, certificate));
            plain(format!("{whose}; {}", fault_of(other)))
        }
    }
}

/// Tells of a certificate of the path whose it is.
fn whose(path: &CertificatePath<'_>, certificate: &X509Certificate<'_>) -> String {
    named(path, &certificate.subject().to_string())
}

/// Tells whose a certificate is that has this subject.
fn named(path: &CertificatePath<'_>, subject: &str) -> String {
    let leaf = path.leaf().subject().to_string();
    match subject == leaf {
        true => format!("it is that of {leaf:?}"),
        false => format!("it is that of {subject:?}, an authority in the chain of {leaf:?}"),
    }
}

/// The explanation of an authority by whose key nothing can be verified.
fn refused_issuer(path: &CertificatePath<'_>) -> Option<Explanation> {
    let (issuer, key) = path.refused_issuer()?;
    let detail = format!("{}: {key}", named(path, &issuer));
    Some(Explanation::new(Some(refusal_of(key)), &detail))
}

/// The refusal of a key by which nothing can be verified.
const fn refusal_of(key: &KeyKind) -> TlsRefusal {
    match key.is_weak() {
        true => TlsRefusal::WeakKey,
        false => TlsRefusal::UnsupportedKey,
    }
}

/// The explanation of a signature of a kind that is not accepted: of a certificate in the path, or of the handshake.
fn bad_signature(error: &CertificateError, path: &CertificatePath<'_>) -> Explanation {
    let algorithm = match error {
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: algorithm,
            ..
        }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: algorithm,
            ..
        } => &algorithm[..],
        _ => &[],
    };
    let signed = path.find(|certificate| {
        let own = certificate.signature_algorithm.algorithm.as_bytes();
        algorithm.windows(own.len()).any(|part| part == own)
    });
    let leaf_key = KeyKind::of(path.leaf().public_key());
    let (refusal, detail) = match signed {
        None if leaf_key.is_refused() => {
            let detail = format!("{}: {leaf_key}", whose(path, path.leaf()));
            (refusal_of(&leaf_key), detail)
        }
        signed => {
            let detail = whose(path, signed.unwrap_or(path.leaf()));
            (TlsRefusal::WeakSignature, detail)
        }
    };
    Explanation::new(Some(refusal), &detail)
}

/// The certificate of the path that has a fault which rustls tells without it.
fn at_fault<'a, 'b>(
    error: &CertificateError,
    path: &'b CertificatePath<'a>,
) -> Option<&'b X509Certificate<'a>> {
    match error {
        CertificateError::InvalidPurposeContext { required, .. } => path.find(|certificate| {
            let usage = certificate.extended_key_usage().ok().flatten();
            usage.is_some_and(|usage| match required {
                ExtendedKeyPurpose::ServerAuth => !usage.value.server_auth,
                ExtendedKeyPurpose::ClientAuth => !usage.value.client_auth,
                _ => false,
            })
        }),
        CertificateError::Other(other) => match &other.to_string()[..] {
            "UnsupportedCertVersion" => {
                path.find(|certificate| certificate.version() != X509Version::V3)
            }
            "EndEntityUsedAsCa" => {
                let mut authorities = path.steps.iter().skip(1).map(|step| &step.certificate);
                authorities.find(|authority| !is_authority(authority))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The names that a certificate is for, those of other kinds than a host's, too.
fn names(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let told = names.value.general_names.iter().map(|name| match name {
        GeneralName::DNSName(name) if name.parse::<IpAddr>().is_ok() => {
            format!("the DNS name {name} (an address has to stand there as IP:{name})")
        }
        GeneralName::DNSName(name) => name.escape_debug().to_string(),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => IpAddr::from([a, b, c, d]).to_string(),
            ref bytes => <[u8; 16]>::try_from(bytes).map_or_else(
                |_| "a malformed address".to_owned(),
                |bytes| IpAddr::from(bytes).to_string(),
            ),
        },
        GeneralName::RFC822Name(name) => format!("the e-mail address {}", name.escape_debug()),
        GeneralName::URI(name) => format!("the URI {}", name.escape_debug()),
        _ => "a name of another kind".to_owned(),
    });
    Some(told.collect::<Vec<_>>().join(", "))
}

/// Whose certificate has this date: the leaf's, or else that of an authority in the chain. rustls does not say.
fn whose_date(
    path: &CertificatePath<'_>,
    of: impl Fn(&Validity) -> ASN1Time,
    time: UnixTime,
) -> String {
    let dated = path.find(|certificate| {
        u64::try_from(of(certificate.validity()).timestamp()) == Ok(time.as_secs())
    });
    whose(path, dated.unwrap_or(path.leaf()))
}

fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    let constraints = certificate.basic_constraints().ok().flatten();
    constraints.is_some_and(|constraints| constraints.value.ca)
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let time = ASN1Time::from_timestamp(seconds);
    time.map_or_else(|_| "an impossible date".to_owned(), |time| time.to_string())
}

/// Methods of a verifier that check a signature of the handshake, with explanations.
macro_rules! explained_signatures {
    ($($verify:ident),+) => {$(
        fn $verify(
            &self,
            message: &[u8],
            leaf: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            note(self.verifier.$verify(message, leaf, signed), leaf, &[], &RootCertStore::empty())
        }
    )+};
}

/// The verifier of a connect end, with explanations.
#[derive(Debug)]
pub(super) struct ExplainingServerVerifier {
    pub(super) verifier: Arc<dyn ServerCertVerifier>,
    /// The authorities that it trusts.
    pub(super) roots: Arc<RootCertStore>,
}

impl ServerCertVerifier for ExplainingServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .verifier
            .verify_server_cert(leaf, chain, name, ocsp, now);
        note(verified, leaf, chain, &self.roots)
    }

    explained_signatures!(verify_tls12_signature, verify_tls13_signature);

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.verifier.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.verifier.root_hint_subjects()
    }
}

/// The verifier of a bind end, with explanations.
#[derive(Debug)]
pub(super) struct ExplainingClientVerifier {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// The authorities that it trusts.
    pub(super) roots: Arc<RootCertStore>,
}

impl ClientCertVerifier for ExplainingClientVerifier {
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(leaf, chain, now);
        note(verified, leaf, chain, &self.roots)
    }

    explained_signatures!(verify_tls12_signature, verify_tls13_signature);

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.verifier.requires_raw_public_keys()
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
