//! A throwaway authority for development and tests.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::client::TlsClient;
use super::server::TlsServer;
use super::{VERSIONS, default_provider};
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
        let builder = ServerConfig::builder_with_provider(default_provider())
            .with_protocol_versions(VERSIONS)
            .expect("ring does TLS 1.2 and 1.3");
        let builder = if mutual {
            let roots = self.roots();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, default_provider());
            builder.with_client_cert_verifier(verifier.build().expect("there is an authority"))
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = pem.parse();
        let config = builder
            .with_single_cert(chain, key)
            .expect("the key is the certificate's");
        Arc::new(config).into()
    }

    fn client_from(&self, pem: Option<TlsDevPem>) -> TlsClient {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(self.roots(), default_provider());
        let builder = ClientConfig::builder_with_provider(default_provider())
            .with_protocol_versions(VERSIONS)
            .expect("ring does TLS 1.2 and 1.3")
            .with_webpki_verifier(verifier.build().expect("there is an authority"));
        let config = match pem.map(|pem| pem.parse()) {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .expect("the key is the certificate's"),
        };
        Arc::new(config).into()
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
    fn parse(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
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
