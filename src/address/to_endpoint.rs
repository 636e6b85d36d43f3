//! The addresses that `bind` and `connect` take.

use std::net::SocketAddr;

use super::{endpoint::Endpoint, endpoint_error::ParseEndpointError};

/// Whatever names an endpoint: an [`Endpoint`], its text, a socket address, a host with a port,
/// or `()` for the default address `tcp://127.0.0.1:25000`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` names no endpoint",
    label = "this type is no `ToEndpoint`",
    note = "write a text as \"tcp://127.0.0.1:25000\", an `Endpoint`, a `SocketAddr`, a host with a port as `(\"127.0.0.1\", 25000)`, or `()` for the default"
)]
pub trait ToEndpoint {
    /// The endpoint that this names.
    ///
    /// # Errors
    ///
    /// [`ParseEndpointError`] if the text is not an endpoint.
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError>;
}

impl ToEndpoint for Endpoint {
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError> {
        Ok(self)
    }
}

impl ToEndpoint for &Endpoint {
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError> {
        Ok(self.clone())
    }
}

impl ToEndpoint for &str {
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError> {
        self.parse()
    }
}

impl ToEndpoint for String {
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError> {
        self.parse()
    }
}

impl ToEndpoint for &String {
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError> {
        self.parse()
    }
}

impl ToEndpoint for SocketAddr {
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError> {
        Ok(self.into())
    }
}

/// Host and port. An IPv6 address stands with or without its brackets.
impl ToEndpoint for (&str, u16) {
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError> {
        let (host, port) = self;
        if host.contains(':') && !host.starts_with('[') {
            format!("tcp://[{host}]:{port}").parse()
        } else {
            format!("tcp://{host}:{port}").parse()
        }
    }
}

/// The default address, `tcp://127.0.0.1:25000`.
impl ToEndpoint for () {
    fn to_endpoint(self) -> Result<Endpoint, ParseEndpointError> {
        Ok(Endpoint::default())
    }
}
