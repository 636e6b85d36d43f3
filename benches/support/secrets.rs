//! The certificates that both processes of a run know.

use std::process::Command;
use std::sync::Arc;

use actix_aiomsg::tls::Tls;
use actix_aiomsg::tls::rustls::crypto::ring;
use actix_aiomsg::tls::rustls::pki_types::pem::PemObject;
use actix_aiomsg::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use actix_aiomsg::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// In the environment, in PEM: the bind end's certificate with its key, and its authority.
const SERVER: &str = "AIOMSG_BENCH_SERVER";
const AUTHORITY: &str = "AIOMSG_BENCH_AUTHORITY";

/// Throwaway certificates.
pub(crate) struct Secrets {
    server: String,
    authority: String,
}

/// Those of the first process.
pub(crate) fn inherited() -> Secrets {
    let inherited = |name| std::env::var(name).expect("the first process passes it on");
    Secrets {
        server: inherited(SERVER),
        authority: inherited(AUTHORITY),
    }
}

impl Secrets {
    pub(crate) fn new() -> Self {
        let dev = Tls::dev();
        let pem = dev.server_pem();
        Self {
            server: pem.certificate + &pem.key,
            authority: dev.ca_pem(),
        }
    }

    pub(crate) fn pass_on(&self, command: &mut Command) {
        command
            .env(SERVER, &self.server)
            .env(AUTHORITY, &self.authority);
    }

    /// The configuration of a bind end.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let chain = CertificateDer::from_pem_slice(self.server.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.server.as_bytes()).expect("PEM");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key);
        Arc::new(config.expect("they belong together"))
    }

    /// The configuration of a connect end.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.authority.as_bytes()).expect("PEM");
        roots.add(authority).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}
