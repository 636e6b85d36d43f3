//! TLS 1.2 and 1.3 at both ends, over rustls.

mod certificate_path;
mod client;
mod config;
#[cfg(feature = "tls-dev")]
mod dev;
mod entry;
mod explain;
mod handshake;
mod key_kind;
mod pem;
mod pem_entries;
mod pem_form;
mod reloadable;
mod server;
mod system;
mod trust;

pub use client::{TlsClient, TlsClientBuilder};
#[cfg(feature = "tls-dev")]
pub use dev::{TlsDev, TlsDevPem};
pub use entry::Tls;
pub use server::{TlsServer, TlsServerBuilder};

pub(super) use entry::{check_name, system_client};
#[cfg(feature = "actix-web")]
pub(crate) use handshake::verified_chain;
pub(super) use handshake::{accept, connect};

#[cfg(all(test, feature = "tls-dev"))]
mod tests;
