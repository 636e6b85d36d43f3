//! The bind end's configuration, which can change while connections stand.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;

use super::key_kind::of_own_files;
use super::reloadable::{ConfigFiles, Reloadable};
use super::trust::TrustFiles;
use super::{config, pem};
use crate::transport::tls_config_error::TlsConfigError;

/// TLS configuration of a bind end.
///
/// Clones share one configuration: reloading or replacing it through one of them changes what
/// every endpoint bound with it shows to new connections. Connections that stand keep what they
/// began with.
#[derive(Clone)]
pub struct TlsServer {
    config: Reloadable<TlsServerBuilder>,
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
        self.config.reload()
    }

    /// Uses another configuration for new connections.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.config.replace(config);
    }

    /// The configuration that the next connection gets.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.current()
    }
}

/// Uses a configuration of your own as it is. WIRE knows no ALPN protocol: leave it empty.
impl From<Arc<ServerConfig>> for TlsServer {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self {
            config: Reloadable::from_config(config),
        }
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer")
            .field("config", &self.config)
            .finish()
    }
}

/// Builds a [`TlsServer`] from PEM files; see [`Tls::server`](super::Tls::server).
#[derive(Clone, Debug)]
#[must_use]
pub struct TlsServerBuilder {
    chain: PathBuf,
    key: PathBuf,
    clients: TrustFiles,
    provider: Arc<CryptoProvider>,
}

impl TlsServerBuilder {
    pub(super) fn new(chain: PathBuf, key: PathBuf) -> Self {
        let provider = config::default_provider();
        Self {
            chain,
            key,
            clients: TrustFiles::default(),
            provider,
        }
    }

    /// Admits only peers that show a certificate signed by an authority of this PEM file (mutual
    /// TLS). It is verified anew for each connection: sessions are not resumed. By default peers
    /// need no certificate.
    pub fn client_ca(mut self, authorities: impl Into<PathBuf>) -> Self {
        self.clients.authorities = Some(authorities.into());
        self
    }

    /// Refuses the client certificates that the revocation lists of this PEM file name, and those
    /// of authorities that it has no list of. May be called several times.
    pub fn revocations(mut self, lists: impl Into<PathBuf>) -> Self {
        self.clients.revocations.push(lists.into());
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
    /// key that is not the certificate's, [`TlsConfigError::UnsupportedKey`] for one of a kind that
    /// cannot be used, [`TlsConfigError::Verifier`] for authorities or lists
    /// that no verifier can be made of, [`TlsConfigError::RevocationsWithoutAuthority`] for lists
    /// without [`client_ca`](Self::client_ca).
    pub fn build(self) -> Result<TlsServer, TlsConfigError> {
        Ok(TlsServer {
            config: Reloadable::from_files(self)?,
        })
    }
}

impl ConfigFiles for TlsServerBuilder {
    type Config = ServerConfig;

    fn read(&self) -> Result<Arc<ServerConfig>, TlsConfigError> {
        let own = pem::own_certificate(&self.chain, &self.key)?;
        let leaf = own.0.first().cloned();
        let files = (self.chain.as_path(), self.key.as_path());
        config::server(&self.provider, self.clients.read()?, own)
            .map_err(|error| of_own_files(error, leaf.as_ref(), files))
    }
}
