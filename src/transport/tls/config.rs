//! Common parts of all configurations, wherever their certificates come from.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    ClientConfig, ServerConfig, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use super::explain::{ExplainingClientVerifier, ExplainingServerVerifier};
use super::pem::OwnCertificate;
use super::trust::Trust;
use crate::transport::tls_config_error::TlsConfigError;

/// TLS 1.2 and 1.3, nothing older, whatever the provider could do.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The provider is named rather than taken from the process, so that another crate's choice of
/// one cannot make ours panic.
pub(super) fn default_provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A bind end that shows its own certificate, and admits only `clients`, if there are any.
pub(super) fn server(
    provider: &Arc<CryptoProvider>,
    clients: Option<Trust>,
    (chain, key): OwnCertificate,
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(VERSIONS)?;
    let Some(Trust { roots, revocations }) = clients else {
        let config = builder.with_no_client_auth().with_single_cert(chain, key)?;
        return Ok(Arc::new(config));
    };
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .with_crls(revocations)
            .only_check_end_entity_revocation()
            .build()?;
    let verifier = Arc::new(ExplainingClientVerifier { verifier, roots });
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(chain, key)?;
    // The client of a resumed session is not verified again: a certificate that has expired since
    // would be good for as long as its tickets are.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// A connect end that trusts `servers`, and shows a certificate if it has one.
pub(super) fn client(
    provider: &Arc<CryptoProvider>,
    servers: Trust,
    own: Option<OwnCertificate>,
) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let Trust { roots, revocations } = servers;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .with_crls(revocations)
            .only_check_end_entity_revocation()
            .build()?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ExplainingServerVerifier { verifier, roots }));
    Ok(Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
    }))
}
