//! Certificates from files, read when the settings are.

use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::transport::tls::{Tls, TlsClient, TlsServer};

/// The files of a bind end, as they were read.
#[derive(Debug, Clone)]
pub(super) struct ServerFiles {
    pub(super) config: TlsServer,
}

/// The files of a connect end, as they were read.
#[derive(Debug, Clone)]
pub(super) struct ClientFiles {
    pub(super) config: TlsClient,
}

/// The files of a server: its certificate, and the authorities of its clients.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, for instance { cert = \"server.pem\", key = \"server.key\" }"
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Server {
    /// The certificate chain, as PEM.
    cert: PathBuf,
    /// Its private key, as PEM.
    key: PathBuf,
    /// The authorities of client certificates, which are wanted then.
    client_ca: Option<PathBuf>,
    /// Lists of client certificates that were revoked.
    #[serde(default)]
    revocations: Vec<PathBuf>,
}

/// The files of a client: whom it trusts, and its certificate.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, for instance { ca = \"ca.pem\" }"
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Client {
    /// The authorities that are trusted in place of the system's.
    ca: Option<PathBuf>,
    /// The certificate chain that is shown, as PEM.
    cert: Option<PathBuf>,
    /// Its private key, as PEM.
    key: Option<PathBuf>,
    /// The name that the server's certificate must have, if not the host.
    server_name: Option<String>,
    /// Lists of server certificates that were revoked.
    #[serde(default)]
    revocations: Vec<PathBuf>,
}

impl<'de> Deserialize<'de> for ServerFiles {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let files = Server::deserialize(from)?;
        let mut tls = Tls::server(files.cert, files.key);
        if let Some(authorities) = files.client_ca {
            tls = tls.client_ca(authorities);
        }
        let tls = files
            .revocations
            .into_iter()
            .fold(tls, |tls, list| tls.revocations(list));
        let config = tls.build().map_err(D::Error::custom)?;
        Ok(Self { config })
    }
}

impl<'de> Deserialize<'de> for ClientFiles {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let files = Client::deserialize(from)?;
        let mut tls = Tls::client();
        if let Some(authorities) = files.ca {
            tls = tls.ca(authorities);
        }
        tls = match (files.cert, files.key) {
            (Some(chain), Some(key)) => tls.certificate(chain, key),
            (None, None) => tls,
            _ => return Err(D::Error::custom("`cert` and `key` go together")),
        };
        if let Some(name) = files.server_name {
            tls = tls.server_name(name);
        }
        let tls = files
            .revocations
            .into_iter()
            .fold(tls, |tls, list| tls.revocations(list));
        let config = tls.build().map_err(D::Error::custom)?;
        Ok(Self { config })
    }
}

#[cfg(test)]
mod schemas {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator};

    macro_rules! as_its_files {
        ($($type:ident $files:ident;)*) => {$(
            impl JsonSchema for super::$type {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($type).into()
                }

                fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                    super::$files::json_schema(generator)
                }
            }
        )*};
    }

    as_its_files! {
        ServerFiles Server;
        ClientFiles Client;
    }
}
