//! A throwaway authority for development and tests.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::client::TlsClient;
use super::config;
use super::pem::OwnCertificate;
use super::server::TlsServer;
use super::trust::Trust;
use crate::id::Identity;

/// Names and addresses that a server certificate of a [`TlsDev`] is for.
const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// An authority that lives in this process's memory, and what both ends need to use it.
///
/// Its key is gone when it is dropped. Nothing outside trusts it unless told so with
/// [`ca_pem`](Self::ca_pem). Not for production.
#[derive(Debug)]
pub struct TlsDev {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its private key, in PEM.
#[derive(Clone)]
#[non_exhaustive]
pub struct TlsDevPem {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl TlsDev {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        // Two authorities of one name would make each other's certificates look forged.
        let name = format!("actix-aiomsg development authority {}", Identity::random());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().expect("the operating system provides random bytes");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("fixed parameters are valid");
        Self { issuer }
    }

    /// The authority's certificate in PEM, for peers in other processes.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// A bind end with a certificate for `localhost`, `127.0.0.1` and `::1`.
    #[must_use]
    pub fn server(&self) -> TlsServer {
        self.server_from(self.server_pem(), false)
    }

    /// The same, which admits only peers with a certificate of this authority.
    #[must_use]
    pub fn mutual_server(&self) -> TlsServer {
        self.server_from(self.server_pem(), true)
    }

    /// A connect end that trusts this authority alone and shows no certificate.
    #[must_use]
    pub fn client(&self) -> TlsClient {
        self.client_from(None)
    }

    /// The same with a certificate whose common name is `name`.
    #[must_use]
    pub fn client_named(&self, name: &str) -> TlsClient {
        self.client_from(Some(self.client_pem(name)))
    }

    /// A new certificate for `localhost`, `127.0.0.1` and `::1`, to be written to files.
    #[must_use]
    pub fn server_pem(&self) -> TlsDevPem {
        self.sign(
            &SERVER_NAMES,
            "localhost",
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A new client certificate whose common name is `name`, to be written to files.
    #[must_use]
    pub fn client_pem(&self, name: &str) -> TlsDevPem {
        self.sign(&[], name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, names: &[&str], common: &str, usage: ExtendedKeyUsagePurpose) -> TlsDevPem {
        let names: Vec<_> = names.iter().copied().map(String::from).collect();
        let mut params = CertificateParams::new(names).expect("fixed names are valid");
        params.distinguished_name.push(DnType::CommonName, common);
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("the operating system provides random bytes");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("an authority of ours can sign");
        TlsDevPem {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn server_from(&self, pem: TlsDevPem, mutual: bool) -> TlsServer {
        let clients = mutual.then(|| self.trust());
        let config = config::server(&config::default_provider(), clients, pem.parse());
        config.expect("certificates of ours are valid").into()
    }

    fn client_from(&self, pem: Option<TlsDevPem>) -> TlsClient {
        let own = pem.map(|pem| pem.parse());
        let config = config::client(&config::default_provider(), self.trust(), own);
        config.expect("certificates of ours are valid").into()
    }

    fn trust(&self) -> Trust {
        Trust {
            roots: self.roots(),
            revocations: Vec::new(),
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.issuer.der().clone())
            .expect("a certificate of ours is valid");
        Arc::new(roots)
    }
}

impl TlsDevPem {
    fn parse(&self) -> OwnCertificate {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        (
            vec![certificate.expect("rcgen writes PEM")],
            key.expect("rcgen writes PEM"),
        )
    }
}

/// Shows the certificate, never the key.
impl std::fmt::Debug for TlsDevPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsDevPem")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
