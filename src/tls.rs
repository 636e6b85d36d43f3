//! TLS and mutual TLS (feature `tls`), over rustls with the ring provider.
//!
//! [`Tls`] begins a configuration of either end; `docs/TRANSPORTS.md` shows certificates, mutual TLS
//! and how they are reloaded.

pub use crate::transport::tls::{Tls, TlsClient, TlsClientBuilder, TlsServer, TlsServerBuilder};
#[cfg(feature = "tls-dev")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls-dev")))]
pub use crate::transport::tls::{TlsDev, TlsDevPem};

pub use crate::transport::tls_config_error::{PemProblem, TlsConfigError};

/// The TLS library, for configurations of your own.
pub use tokio_rustls::rustls;
