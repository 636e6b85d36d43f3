//! Where every TLS configuration begins.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::client::{TlsClient, TlsClientBuilder, parse_name};
#[cfg(feature = "tls-dev")]
use super::dev::TlsDev;
use super::server::TlsServerBuilder;
use crate::address::{Endpoint, UnusableEndpoint};
use crate::transport::tls_config_error::TlsConfigError;

/// Where every TLS configuration begins.
///
/// A configuration that these helpers do not cover is built with
/// [`rustls`](crate::tls::rustls) itself and converted: `TlsServer::from(Arc<ServerConfig>)`,
/// `TlsClient::from(Arc<ClientConfig>)`.
///
/// ```no_run
/// use actix_aiomsg::{BindOptions, ConnectOptions, tls::Tls};
///
/// let server = Tls::server("server.pem", "server.key").client_ca("clients.pem").build()?;
/// let client = Tls::client().ca("ca.pem").certificate("client.pem", "client.key").build()?;
///
/// let bind = BindOptions::new().tls(server.clone());
/// let connect = ConnectOptions::new().tls(client);
///
/// server.reload()?; // new connections use what the files hold now
/// # Ok::<(), actix_aiomsg::tls::TlsConfigError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Tls;

impl Tls {
    /// A bind end that shows the certificate chain of one PEM file, the leaf first, and proves it
    /// with the private key of another. They may be one file.
    pub fn server(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsServerBuilder {
        TlsServerBuilder::new(chain.into(), key.into())
    }

    /// A connect end that trusts the authorities of the operating system.
    pub fn client() -> TlsClientBuilder {
        TlsClientBuilder::new()
    }

    /// An authority that exists only in this process's memory, and certificates of its own for
    /// both ends: for development and tests.
    ///
    /// # Panics
    ///
    /// When the operating system has no random source, which no supported platform lacks.
    #[cfg(feature = "tls-dev")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls-dev")))]
    #[must_use]
    pub fn dev() -> TlsDev {
        TlsDev::new()
    }
}

/// The configuration of a connect end that was given none. The authorities are read once, on a
/// blocking thread; a failure is not kept.
pub(in crate::transport) async fn system_client() -> Result<TlsClient, TlsConfigError> {
    static SYSTEM: OnceLock<TlsClient> = OnceLock::new();
    if let Some(client) = SYSTEM.get() {
        return Ok(client.clone());
    }
    let client = tokio::task::spawn_blocking(|| Tls::client().build())
        .await
        .unwrap_or_else(|error| {
            let problems = error.to_string();
            Err(TlsConfigError::NoSystemAuthorities { problems })
        })?;
    Ok(SYSTEM.get_or_init(|| client).clone())
}

/// Finds out whether the bind end's certificate can be for the name that is expected.
pub(in crate::transport) fn check_name(
    endpoint: &Endpoint,
    tls: Option<&TlsClient>,
) -> Result<(), UnusableEndpoint> {
    let host = endpoint.host();
    let named = match tls {
        Some(tls) => tls.name_for(host).map(drop),
        None if endpoint.scheme().is_secure() => parse_name(host.unwrap_or_default()).map(drop),
        None => Ok(()),
    };
    named.map_err(|_| UnusableEndpoint::TlsName {
        host: host.unwrap_or_default().to_owned(),
    })
}
