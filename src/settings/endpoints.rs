//! Places to listen at and to connect to.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

#[cfg(feature = "tls")]
use super::tls::{ClientFiles, ServerFiles};
use super::units::{Mode, Size, Time};
use crate::address::Endpoint;
use crate::transport::{BindOptions, ConnectOptions, check_origin};

/// An endpoint or a file, alone or with its options.
#[derive(Debug, Clone)]
pub(super) struct Place<T>(pub(super) T);

/// A place that a text alone can say.
pub(super) trait FromText: Sized {
    /// The kind of text.
    const WHAT: &'static str;

    fn from_text(text: &str) -> Result<Self, String>;
}

impl<'de, T: Deserialize<'de> + FromText> Deserialize<'de> for Place<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + FromText> Visitor<'de> for Either<T> {
            type Value = Place<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{0}, or a table with it and its options", T::WHAT)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::from_text(text).map(Place).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Place)
            }
        }
        from.deserialize_any(Either(PhantomData))
    }
}

fn endpoint<'de, D: Deserializer<'de>>(from: D) -> Result<Endpoint, D::Error> {
    let text = String::deserialize(from)?;
    Endpoint::from_str(&text).map_err(D::Error::custom)
}

/// Headers, each by its name. What they say is not shown, also where it is not written so.
fn headers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Headers;
    impl<'de> Visitor<'de> for Headers {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of names and texts, for instance { Authorization = \"Bearer …\" }")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            BTreeMap::deserialize(MapAccessDeserializer::new(map))
        }
    }
    from.deserialize_map(Headers)
}

/// Origins that browsers send.
fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let origins = Vec::<String>::deserialize(from)?;
    let checked = origins.iter().try_for_each(|origin| check_origin(origin));
    checked.map(|()| origins).map_err(D::Error::custom)
}

/// A place to listen at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BindPlace {
    /// The endpoint, for instance `tcp://0.0.0.0:25000`.
    #[serde(deserialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) endpoint: Endpoint,
    /// Connections that the system holds before they are accepted.
    backlog: Option<u32>,
    /// The origin of web pages whose WebSockets are admitted, in place of all.
    #[serde(default, deserialize_with = "origins")]
    allowed_origins: Vec<String>,
    /// The permissions of a Unix-domain socket's file.
    unix_mode: Option<Mode>,
    /// True lets TCP hold small writes back.
    #[serde(default)]
    nagle: bool,
    /// The time without traffic after which TCP probes the peer.
    keepalive: Option<Time>,
    /// Bytes that the system takes and cannot send yet.
    unsent_limit: Option<Size>,
    /// The certificates of a server that speaks TLS.
    #[cfg(feature = "tls")]
    pub(super) tls: Option<ServerFiles>,
}

impl FromText for BindPlace {
    const WHAT: &'static str = "an endpoint";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            endpoint: Endpoint::from_str(text).map_err(|error| error.to_string())?,
            backlog: None,
            allowed_origins: Vec::new(),
            unix_mode: None,
            nagle: false,
            keepalive: None,
            unsent_limit: None,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }
}

/// The options that both ends have for TCP.
macro_rules! set_tcp {
    ($place:ident, $options:ident) => {
        if $place.nagle {
            $options = $options.nagle();
        }
        if let Some(idle) = $place.keepalive {
            $options = $options.keepalive(idle.0);
        }
        if let Some(limit) = $place.unsent_limit {
            $options = $options.unsent_limit(limit.in_u32());
        }
    };
}

impl BindPlace {
    pub(super) fn options(&self) -> BindOptions {
        let mut options = BindOptions::new();
        if let Some(connections) = self.backlog {
            options = options.backlog(connections);
        }
        if let Some(mode) = self.unix_mode {
            options = options.unix_mode(mode.0);
        }
        for origin in &self.allowed_origins {
            options = options.allowed_origin(origin);
        }
        set_tcp!(self, options);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            options = options.tls(tls.config.clone());
        }
        options
    }
}

/// A place to connect to.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ConnectPlace {
    /// The endpoint, for instance `tcp://stock.internal:25000`.
    #[serde(deserialize_with = "endpoint")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) endpoint: Endpoint,
    /// The longest time that TCP takes to connect to one address.
    connect_timeout: Option<Time>,
    /// Headers of a WebSocket upgrade.
    #[serde(default, deserialize_with = "headers")]
    headers: BTreeMap<String, String>,
    /// Addresses in place of those that the host resolves to.
    resolve_to: Option<Vec<SocketAddr>>,
    /// True lets TCP hold small writes back.
    #[serde(default)]
    nagle: bool,
    /// The time without traffic after which TCP probes the peer.
    keepalive: Option<Time>,
    /// Bytes that the system takes and cannot send yet.
    unsent_limit: Option<Size>,
    /// Whom a client that speaks TLS trusts, and its own certificate.
    #[cfg(feature = "tls")]
    pub(super) tls: Option<ClientFiles>,
}

impl FromText for ConnectPlace {
    const WHAT: &'static str = "an endpoint";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            endpoint: Endpoint::from_str(text).map_err(|error| error.to_string())?,
            connect_timeout: None,
            headers: BTreeMap::new(),
            resolve_to: None,
            nagle: false,
            keepalive: None,
            unsent_limit: None,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }
}

impl ConnectPlace {
    pub(super) fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new();
        if let Some(timeout) = self.connect_timeout {
            options = options.connect_timeout(timeout.0);
        }
        for (name, value) in &self.headers {
            options = options.header(name, value);
        }
        if let Some(addresses) = &self.resolve_to {
            options = options.resolve_to(addresses.iter().copied());
        }
        set_tcp!(self, options);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            options = options.tls(tls.config.clone());
        }
        options
    }
}

// Headers hold tokens, which are not shown.
impl fmt::Debug for ConnectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectPlace")
            .field("endpoint", &self.endpoint)
            .field("options", &self.options())
            .finish()
    }
}

#[cfg(test)]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Place<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}OrText", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let place = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, place] })
    }
}
