//! The connect end's configuration, which can change while connections stand.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::config::{self, Trust};
use super::config_error::TlsConfigError;
use super::{default_provider, pem};

/// How a connect end does TLS.
///
/// Clones share one configuration: reloading or replacing it through one of them changes what
/// every endpoint connected with it does from its next connection on. Connections that stand keep
/// what they began with.
#[derive(Clone)]
pub struct TlsClient {
    current: Arc<ArcSwap<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
    files: Option<Arc<TlsClientBuilder>>,
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
        let files = self.files.as_ref().ok_or(TlsConfigError::NotFromFiles)?;
        self.replace(files.read()?);
        Ok(())
    }

    /// Uses another configuration for new connections.
    pub fn replace(&self, config: Arc<ClientConfig>) {
        self.current.store(config);
    }

    /// The configuration that the next connection gets.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.current.load_full()
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

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsConfigError> {
    // A zone says which interface leads to an address; no certificate has one.
    let address = name.split('%').next().unwrap_or(name);
    ServerName::try_from(address.to_owned())
        .map_err(|_| TlsConfigError::ServerName { name: name.into() })
}

/// Uses a configuration of your own as it is. WIRE knows no ALPN protocol: leave it empty.
impl From<Arc<ClientConfig>> for TlsClient {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self {
            current: Arc::new(ArcSwap::new(config)),
            server_name: None,
            files: None,
        }
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("server_name", &self.server_name)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Builds a [`TlsClient`]; see [`Tls::client`](super::Tls::client).
#[derive(Clone, Debug)]
#[must_use]
pub struct TlsClientBuilder {
    ca: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
    revocations: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
}

impl TlsClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            ca: None,
            certificate: None,
            server_name: None,
            revocations: Vec::new(),
            provider: default_provider(),
        }
    }

    /// Trusts the authorities of this PEM file, and those alone. By default those of the operating
    /// system are trusted.
    pub fn ca(mut self, authorities: impl Into<PathBuf>) -> Self {
        self.ca = Some(authorities.into());
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
        self.revocations.push(lists.into());
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
    /// key that is not the certificate's, [`TlsConfigError::Verifier`] for authorities or lists
    /// that no verifier can be made of, [`TlsConfigError::NoSystemAuthorities`],
    /// [`TlsConfigError::ServerName`], and [`TlsConfigError::RevocationsWithoutAuthority`].
    pub fn build(self) -> Result<TlsClient, TlsConfigError> {
        let config = self.read()?;
        let server_name = self.server_name.as_deref().map(parse_name).transpose()?;
        let current = Arc::new(ArcSwap::new(config));
        Ok(TlsClient {
            current,
            server_name,
            files: Some(Arc::new(self)),
        })
    }

    fn read(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let roots = match &self.ca {
            Some(path) => pem::authorities(path)?,
            None if self.revocations.is_empty() => system_authorities()?,
            None => return Err(TlsConfigError::RevocationsWithoutAuthority),
        };
        let servers = Trust {
            roots,
            revocations: pem::revocations(&self.revocations)?,
        };
        let own = match &self.certificate {
            None => None,
            Some((chain, key)) => Some(pem::credentials(chain, key)?),
        };
        config::client(&self.provider, servers, own)
    }
}

fn system_authorities() -> Result<Arc<RootCertStore>, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    // Single certificates that cannot be read are common in system stores, and harmless.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        Err(TlsConfigError::NoSystemAuthorities)
    } else {
        Ok(Arc::new(roots))
    }
}
