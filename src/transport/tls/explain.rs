//! Explaining why a certificate was refused, from what the certificate itself says.
//!
//! rustls says which check failed, and not of whose certificate. The verifiers here are those of rustls; of what
//! they refuse they leave an explanation for the handshake that is polled at the moment.

use std::cell::RefCell;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
};
use x509_parser::prelude::{ASN1Time, FromDer, Validity, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::address::TlsRefusal;

/// The fewest bits of an RSA key that is accepted.
const MIN_RSA_BITS: usize = 2048;

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
) -> Result<T, Error> {
    if let Err(error) = &result
        && let Some(explanation) = explain(error, leaf, chain)
    {
        // Outside of a handshake of ours nobody asks.
        let _ = EXPLAINED.try_with(|explained| explained.replace(Some(explanation)));
    }
    result
}

fn explain(
    error: &Error,
    leaf: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
) -> Option<Explanation> {
    let Error::InvalidCertificate(error) = error else {
        return None;
    };
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let subject = certificate.subject().to_string();
    let whose = format!("it is that of {subject:?}");
    let plain = |detail: String| Some(Explanation::new(None, &detail));
    let known = |refusal, detail: String| Some(Explanation::new(Some(refusal), &detail));
    match error {
        CertificateError::UnknownIssuer if is_weak(&certificate) => {
            known(TlsRefusal::WeakKey, whose)
        }
        CertificateError::UnknownIssuer => {
            // The issuer of the last one that was shown is the one that is missing.
            let last = chain.last().unwrap_or(leaf);
            let last = X509Certificate::from_der(last).map_or(certificate, |(_, last)| last);
            plain(format!(
                "{whose}, signed by {:?}",
                last.issuer().to_string()
            ))
        }
        CertificateError::BadSignature if is_weak(&certificate) => {
            known(TlsRefusal::WeakKey, whose)
        }
        CertificateError::BadSignature => {
            let issuer = certificate.issuer().to_string();
            plain(format!(
                "{whose}, and not signed by the {issuer:?} that is trusted"
            ))
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            let whose = whose_date(
                &certificate,
                chain,
                |validity| validity.not_after,
                *not_after,
            );
            plain(format!("{whose}, which expired on {}", date(*not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let begins = |validity: &Validity| validity.not_before;
            let whose = whose_date(&certificate, chain, begins, *not_before);
            plain(format!(
                "{whose}, which is valid from {} on",
                date(*not_before)
            ))
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } if presented.is_empty() => {
            let expected = expected.to_str();
            known(
                TlsRefusal::NoName,
                format!("{whose}; it should be for {expected:?}"),
            )
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let (expected, presented) = (expected.to_str(), presented.join(", "));
            plain(format!(
                "it is for {presented}, and {expected:?} was dialled"
            ))
        }
        #[expect(deprecated, reason = "providers may still say it")]
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            known(TlsRefusal::WeakSignature, whose)
        }
        CertificateError::Other(_) if is_authority(&certificate) => {
            known(TlsRefusal::AuthorityCertificate, whose)
        }
        CertificateError::Revoked | CertificateError::UnknownRevocationStatus => plain(whose),
        // The refusal itself says no more than that it is not acceptable.
        other => plain(format!("{whose}; {other}")),
    }
}

/// Whose certificate has this date: the leaf's, or else that of an authority in the chain. rustls does not say.
fn whose_date(
    leaf: &X509Certificate<'_>,
    chain: &[CertificateDer<'_>],
    of: impl Fn(&Validity) -> ASN1Time,
    time: UnixTime,
) -> String {
    let has_date = |certificate: &X509Certificate<'_>| {
        u64::try_from(of(certificate.validity()).timestamp()) == Ok(time.as_secs())
    };
    let subject = leaf.subject().to_string();
    let mut authorities = chain
        .iter()
        .filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1));
    match authorities.find(has_date).filter(|_| !has_date(leaf)) {
        Some(authority) => {
            let authority = authority.subject().to_string();
            format!("it is that of {authority:?}, an authority in the chain of {subject:?}")
        }
        None => format!("it is that of {subject:?}"),
    }
}

fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    let constraints = certificate.basic_constraints().ok().flatten();
    constraints.is_some_and(|constraints| constraints.value.ca)
}

fn is_weak(certificate: &X509Certificate<'_>) -> bool {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => key.key_size() < MIN_RSA_BITS,
        _ => false,
    }
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
            note(self.0.$verify(message, leaf, signed), leaf, &[])
        }
    )+};
}

/// The verifier of a connect end, with explanations.
#[derive(Debug)]
pub(super) struct ExplainingServerVerifier(pub(super) Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for ExplainingServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(leaf, chain, name, ocsp, now);
        note(verified, leaf, chain)
    }

    explained_signatures!(verify_tls12_signature, verify_tls13_signature);

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.0.root_hint_subjects()
    }
}

/// The verifier of a bind end, with explanations.
#[derive(Debug)]
pub(super) struct ExplainingClientVerifier(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ExplainingClientVerifier {
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        note(self.0.verify_client_cert(leaf, chain, now), leaf, chain)
    }

    explained_signatures!(verify_tls12_signature, verify_tls13_signature);

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_short_rsa_key_is_told_as_that() {
        let pem = include_bytes!("tests/weak/short-key.pem");
        let leaf = CertificateDer::from_pem_slice(pem).unwrap();
        let error = Error::InvalidCertificate(CertificateError::BadSignature);
        let explanation = explain(&error, &leaf, &[]).unwrap();
        assert_eq!(explanation.refusal, Some(TlsRefusal::WeakKey));
        assert!(
            explanation.detail.contains("CN=short-key"),
            "{explanation:?}"
        );
    }

    #[test]
    fn a_long_certificate_has_a_short_explanation() {
        let long = Explanation::new(None, &"ä".repeat(1_000));
        assert_eq!(long.detail.chars().count(), MAX_DETAIL_CHARS);
    }
}
