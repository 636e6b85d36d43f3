//! The certificates that a verifier has judged, from the leaf to the authority that is trusted.

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::{CertificateDer, TrustAnchor};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

use super::key_kind::KeyKind;

/// A tag and a length of the bytes that an anchor has without them.
const MAX_HEADER_BYTES: usize = 4;

/// The certificates between the leaf and an authority that is trusted, as far as they were shown.
pub(super) struct CertificatePath<'a> {
    /// The leaf first; never empty.
    pub(super) steps: Vec<PathStep<'a>>,
}

/// A certificate, and the key by which its signature is verified.
pub(super) struct PathStep<'a> {
    pub(super) certificate: X509Certificate<'a>,
    /// The kind of its issuer's key, if the issuer is known.
    pub(super) issuer_key: Option<KeyKind>,
}

impl<'a> CertificatePath<'a> {
    /// The path from a leaf by the names of the issuers. `None` if the leaf is no certificate.
    pub(super) fn new(
        leaf: &'a CertificateDer<'_>,
        chain: &'a [CertificateDer<'_>],
        roots: &RootCertStore,
    ) -> Option<Self> {
        let parse = |der: &'a CertificateDer<'_>| Some(X509Certificate::from_der(der).ok()?.1);
        let mut others: Vec<_> = chain.iter().filter_map(parse).collect();
        let (mut steps, mut next) = (Vec::new(), Some(parse(leaf)?));
        while let Some(certificate) = next.take() {
            let issuer = certificate.issuer().as_raw();
            let trusted = roots.roots.iter().filter(|anchor| is_named(anchor, issuer));
            // Of several authorities with one name, the one that is at fault.
            let mut keys: Vec<_> = trusted.filter_map(key_of).collect();
            keys.sort_by_key(|key| !key.is_refused());
            let mut issuer_key = keys.into_iter().next();
            if issuer_key.is_none() {
                let shown = others
                    .iter()
                    .position(|other| other.subject().as_raw() == issuer);
                next = shown.map(|index| others.swap_remove(index));
                issuer_key = next.as_ref().map(|next| KeyKind::of(next.public_key()));
            }
            steps.push(PathStep {
                certificate,
                issuer_key,
            });
        }
        Some(Self { steps })
    }

    pub(super) fn leaf(&self) -> &X509Certificate<'a> {
        &self.steps[0].certificate
    }

    /// The last certificate that was shown.
    pub(super) fn last(&self) -> &X509Certificate<'a> {
        &self.steps[self.steps.len() - 1].certificate
    }

    /// The first certificate of which something holds.
    pub(super) fn find(
        &self,
        is: impl Fn(&X509Certificate<'_>) -> bool,
    ) -> Option<&X509Certificate<'a>> {
        let mut certificates = self.steps.iter().map(|step| &step.certificate);
        certificates.find(|certificate| is(certificate))
    }

    /// The name of the first issuer whose key is refused, and the key.
    pub(super) fn refused_issuer(&self) -> Option<(String, &KeyKind)> {
        self.steps.iter().find_map(|step| {
            let key = step.issuer_key.as_ref().filter(|key| key.is_refused())?;
            Some((step.certificate.issuer().to_string(), key))
        })
    }
}

/// True of an anchor with this name; its own is without tag and length.
fn is_named(anchor: &TrustAnchor<'_>, name: &[u8]) -> bool {
    let header = name.len().checked_sub(anchor.subject.len());
    name.ends_with(&anchor.subject) && header.is_some_and(|header| header <= MAX_HEADER_BYTES)
}

fn key_of(anchor: &TrustAnchor<'_>) -> Option<KeyKind> {
    let value = &anchor.subject_public_key_info[..];
    let [high, low] = u16::try_from(value.len()).ok()?.to_be_bytes();
    // The value of a sequence, without its tag and length.
    let header: &[u8] = match (high, low) {
        (0, ..0x80) => &[0x30, low],
        (0, _) => &[0x30, 0x81, low],
        (high, low) => &[0x30, 0x82, high, low],
    };
    let der = [header, value].concat();
    let (_, key) = SubjectPublicKeyInfo::from_der(&der).ok()?;
    Some(KeyKind::of(&key))
}
