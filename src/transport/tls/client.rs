//! The connect end's configuration, which can change while connections stand.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::ServerName;

use super::key_kind::of_own_files;
use super::reloadable::{ConfigFiles, Reloadable};
use super::trust::{Trust, TrustFiles};
use super::{config, pem, system};
use crate::transport::tls_config_error::TlsConfigError;

/// TLS configuration of a connect end.
///
/// Clones share one configuration: reloading or replacing it through one of them changes what
/// every endpoint connected with it does from its next connection on. Connections that stand keep
/// what they began with.
#[derive(Clone)]
pub struct TlsClient {
    config: Reloadable<TlsClientBuilder>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// Expects the bind end's certificate to be for `name`, not for the host of the endpoint.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError::ServerName`] if it is neither a DNS name nor an IP address.
    pub fn with_server_name(mut self, name: &str) -> Result<Self, TlsConfigError> {
        self.server_name = Some(parse_name(name)?);
        Ok(self)
    }

    /// Reads the same files again and uses what they hold now: certificates, keys, authorities
    /// and revocation lists. After an error the old configuration stays in use.
    ///
    /// It reads files, so it blocks for as long as the disk takes.
    ///
    /// # Errors
    ///
    /// As [`TlsClientBuilder::build`], and [`TlsConfigError::NotFromFiles`] if it was not used.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        self.config.reload()
    }

    /// Uses another configuration for new connections.
    pub fn replace(&self, config: Arc<ClientConfig>) {
        self.config.replace(config);
    }

    /// The configuration that the next connection gets.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.current()
    }

    /// The name that the bind end's certificate has to be for.
    pub(super) fn name_for(
        &self,
        host: Option<&str>,
    ) -> Result<ServerName<'static>, TlsConfigError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => parse_name(host.unwrap_or("localhost")),
        }
    }
}

pub(super) fn parse_name(name: &str) -> Result<ServerName<'static>, TlsConfigError> {
    // A zone says which interface leads to an address; no certificate has one.
    let address = name.split('%').next().unwrap_or(name);
    ServerName::try_from(address.to_owned())
        .map_err(|_| TlsConfigError::ServerName { name: name.into() })
}

/// Uses a configuration of your own as it is. WIRE knows no ALPN protocol: leave it empty.
impl From<Arc<ClientConfig>> for TlsClient {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self {
            config: Reloadable::from_config(config),
            server_name: None,
        }
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("server_name", &self.server_name)
            .field("config", &self.config)
            .finish()
    }
}

/// Builds a [`TlsClient`]; see [`Tls::client`](super::Tls::client).
#[derive(Clone, Debug)]
#[must_use]
pub struct TlsClientBuilder {
    servers: TrustFiles,
    certificate: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
    provider: Arc<CryptoProvider>,
}

impl TlsClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            servers: TrustFiles::default(),
            certificate: None,
            server_name: None,
            provider: config::default_provider(),
        }
    }

    /// Trusts the authorities of this PEM file, and those alone. By default those of the operating
    /// system are trusted.
    pub fn ca(mut self, authorities: impl Into<PathBuf>) -> Self {
        self.servers.authorities = Some(authorities.into());
        self
    }

    /// Shows a certificate to a bind end that asks for one (mutual TLS): a PEM file with the
    /// chain, the leaf first, and one with its private key. By default none is shown.
    pub fn certificate(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((chain.into(), key.into()));
        self
    }

    /// Expects the bind end's certificate to be for `name`; by default it has to be for the host
    /// of the endpoint.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Refuses the certificates that the revocation lists of this PEM file name, and those of
    /// authorities that it has no list of. May be called several times; needs [`ca`](Self::ca).
    pub fn revocations(mut self, lists: impl Into<PathBuf>) -> Self {
        self.servers.revocations.push(lists.into());
        self
    }

    /// The cryptography; ring's by default.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = provider;
        self
    }

    /// Reads the files, or the operating system's authorities. It blocks for as long as the disk
    /// takes.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError::Read`] for a file that cannot be used, [`TlsConfigError::Refused`] for a
    /// key that is not the certificate's, [`TlsConfigError::UnsupportedKey`] for one of a kind that
    /// cannot be used, [`TlsConfigError::Verifier`] for authorities or lists
    /// that no verifier can be made of, [`TlsConfigError::NoSystemAuthorities`],
    /// [`TlsConfigError::ServerName`], and [`TlsConfigError::RevocationsWithoutAuthority`].
    pub fn build(self) -> Result<TlsClient, TlsConfigError> {
        let server_name = self.server_name.as_deref().map(parse_name).transpose()?;
        Ok(TlsClient {
            config: Reloadable::from_files(self)?,
            server_name,
        })
    }
}

impl ConfigFiles for TlsClientBuilder {
    type Config = ClientConfig;

    fn read(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let servers = match self.servers.read()? {
            Some(servers) => servers,
            None => Trust {
                roots: system::authorities()?,
                revocations: Vec::new(),
            },
        };
        let own = match &self.certificate {
            None => None,
            Some((chain, key)) => Some(pem::own_certificate(chain, key)?),
        };
        let leaf = own.as_ref().and_then(|(chain, _)| chain.first().cloned());
        let config = config::client(&self.provider, servers, own);
        config.map_err(|error| match &self.certificate {
            Some((chain, key)) => of_own_files(error, leaf.as_ref(), (chain, key)),
            None => error,
        })
    }
}
