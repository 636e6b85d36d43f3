//! The bind end's configuration, which can change while connections stand.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;

use super::config::{self, Trust};
use super::config_error::TlsConfigError;
use super::{default_provider, pem};

/// How a bind end does TLS.
///
/// Clones share one configuration: reloading or replacing it through one of them changes what
/// every endpoint bound with it shows to new connections. Connections that stand keep what they
/// began with.
#[derive(Clone)]
pub struct TlsServer {
    current: Arc<ArcSwap<ServerConfig>>,
    files: Option<Arc<TlsServerBuilder>>,
}

impl TlsServer {
    /// Reads the same files again and uses what they hold now: certificates, keys, authorities
    /// and revocation lists. After an error the old configuration stays in use.
    ///
    /// It reads files, so it blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// As [`TlsServerBuilder::build`], and [`TlsConfigError::NotFromFiles`] if there are none.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let files = self.files.as_ref().ok_or(TlsConfigError::NotFromFiles)?;
        self.replace(files.read()?);
        Ok(())
    }

    /// Uses another configuration for new connections.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.current.store(config);
    }

    /// The configuration that the next connection gets.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

/// Uses a configuration of your own as it is. WIRE knows no ALPN protocol: leave it empty.
impl From<Arc<ServerConfig>> for TlsServer {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self {
            current: Arc::new(ArcSwap::new(config)),
            files: None,
        }
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Builds a [`TlsServer`] from PEM files; see [`Tls::server`](super::Tls::server).
#[derive(Clone, Debug)]
#[must_use]
pub struct TlsServerBuilder {
    chain: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    revocations: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
}

impl TlsServerBuilder {
    pub(super) fn new(chain: PathBuf, key: PathBuf) -> Self {
        let provider = default_provider();
        Self {
            chain,
            key,
            client_ca: None,
            revocations: Vec::new(),
            provider,
        }
    }

    /// Admits only peers that show a certificate signed by an authority of this PEM file (mutual
    /// TLS). It is verified anew for each connection: sessions are not resumed. By default peers
    /// need no certificate.
    pub fn client_ca(mut self, authorities: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(authorities.into());
        self
    }

    /// Refuses the client certificates that the revocation lists of this PEM file name, and those
    /// of authorities that it has no list of. May be called several times.
    pub fn revocations(mut self, lists: impl Into<PathBuf>) -> Self {
        self.revocations.push(lists.into());
        self
    }

    /// The cryptography; ring's by default.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = provider;
        self
    }

    /// Reads the files. It blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError::Read`] for a file that cannot be used, [`TlsConfigError::Refused`] for a
    /// key that is not the certificate's, [`TlsConfigError::Verifier`] for authorities or lists
    /// that no verifier can be made of, [`TlsConfigError::RevocationsWithoutAuthority`] for lists
    /// without [`client_ca`](Self::client_ca).
    pub fn build(self) -> Result<TlsServer, TlsConfigError> {
        let config = self.read()?;
        Ok(TlsServer {
            current: Arc::new(ArcSwap::new(config)),
            files: Some(Arc::new(self)),
        })
    }

    fn read(&self) -> Result<Arc<ServerConfig>, TlsConfigError> {
        let clients = match &self.client_ca {
            None if self.revocations.is_empty() => None,
            None => return Err(TlsConfigError::RevocationsWithoutAuthority),
            Some(path) => Some(Trust {
                roots: pem::authorities(path)?,
                revocations: pem::revocations(&self.revocations)?,
            }),
        };
        let own = pem::credentials(&self.chain, &self.key)?;
        config::server(&self.provider, clients, own)
    }
}
