//! Endpoints that are written well and can never work.

use std::net::{IpAddr, Ipv6Addr};

use super::endpoint::Endpoint;
use super::scheme::Scheme;

/// The longest path of a Unix-domain socket, by the size of the system's `sun_path`.
const MAX_SOCKET_PATH_BYTES: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};

/// An endpoint, with its options, that can never work on this system or in this build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableEndpoint {
    /// The path of a `unix` endpoint is longer than the system takes.
    #[error("the socket path has {bytes} bytes, and the system takes {limit}")]
    SocketPathTooLong {
        /// Bytes of the path.
        bytes: usize,
        /// The most that the system takes.
        limit: usize,
    },
    /// A connect end names port 0, on which nobody can listen.
    #[error("nobody listens on port 0; name the port of the bind end")]
    PortZero,
    /// The scheme needs a feature that this build lacks.
    #[error("{scheme} endpoints need the feature {feature:?} of actix-aiomsg")]
    MissingFeature {
        /// The scheme of the endpoint.
        scheme: Scheme,
        /// The feature to add in `Cargo.toml`.
        feature: &'static str,
    },
    /// An endpoint with `dns+` needs a feature that this build lacks.
    #[error("dns+{scheme} endpoints need the feature \"dns\" of actix-aiomsg")]
    MissingDns {
        /// The scheme behind `dns+`.
        scheme: Scheme,
    },
    /// A bind end is given an endpoint with `dns+`, which names others.
    #[error(
        "dns+{scheme} names peers to connect to; bind to {scheme}:// and an address of this machine"
    )]
    DnsAtBindEnd {
        /// The scheme behind `dns+`.
        scheme: Scheme,
    },
    /// An endpoint with `dns+` has an address in place of a name.
    #[error("{address} is an address, and dns+{scheme} follows a name; write {scheme}://")]
    NoName {
        /// The host of the endpoint.
        address: IpAddr,
        /// The scheme behind `dns+`.
        scheme: Scheme,
    },
    /// The operating system has no endpoints of this scheme.
    #[error("this operating system has no {scheme} endpoints")]
    UnsupportedScheme {
        /// The scheme of the endpoint.
        scheme: Scheme,
    },
    /// A link-local address stands without the zone that it is in.
    #[error("the link-local address {address} needs its zone, as in [{address}%eth0]")]
    MissingZone {
        /// The address.
        address: Ipv6Addr,
    },
    /// The address is one of many hosts, and a connection has one peer.
    #[error("{address} is a multicast or broadcast address, and a connection has one peer")]
    NotUnicast {
        /// The address.
        address: IpAddr,
    },
    /// The options name the addresses to dial, and there is none.
    #[error("there is no address to dial")]
    NoAddress,
    /// The connect timeout is zero, so that every attempt would be too late.
    #[error("a connect timeout of zero leaves no time to connect")]
    NoTimeToConnect,
    /// There are headers, and no HTTP request to put them in.
    #[error("{scheme} endpoints send no headers; ws and wss endpoints do")]
    HeadersWithoutRequest {
        /// The scheme of the endpoint.
        scheme: Scheme,
    },
    /// A header cannot stand in a request, or belongs to the WebSocket upgrade itself.
    #[error("the header {name:?} cannot be sent: {problem}")]
    Header {
        /// The name of the header.
        name: String,
        /// The rule that it breaks.
        problem: &'static str,
    },
    /// The host cannot be the name in a certificate, so that TLS would always fail.
    #[error("no certificate can be for {host:?}; name another with TlsClient::with_server_name")]
    TlsName {
        /// The host of the endpoint.
        host: String,
    },
}

impl Endpoint {
    /// Finds out whether a connect end for this endpoint can ever work.
    pub(crate) fn check_connect(&self) -> Result<(), UnusableEndpoint> {
        if self.port() == Some(0) {
            return Err(UnusableEndpoint::PortZero);
        }
        if self.follows_dns() {
            let scheme = self.scheme();
            if !cfg!(feature = "dns") {
                return Err(UnusableEndpoint::MissingDns { scheme });
            }
            if let Some(address) = self.ip() {
                return Err(UnusableEndpoint::NoName { address, scheme });
            }
        }
        self.check_place()
    }

    /// Finds out whether a bind end for this endpoint can ever work.
    pub(crate) fn check_bind(&self) -> Result<(), UnusableEndpoint> {
        match self.follows_dns() {
            true => Err(UnusableEndpoint::DnsAtBindEnd {
                scheme: self.scheme(),
            }),
            false => self.check_place(),
        }
    }

    fn check_place(&self) -> Result<(), UnusableEndpoint> {
        let scheme = self.scheme();
        if scheme.is_secure() && !cfg!(feature = "tls") {
            let feature = "tls";
            return Err(UnusableEndpoint::MissingFeature { scheme, feature });
        }
        if scheme == Scheme::Unix {
            if !cfg!(unix) {
                return Err(UnusableEndpoint::UnsupportedScheme { scheme });
            }
            let bytes = self.path().unwrap_or_default().len();
            if bytes > MAX_SOCKET_PATH_BYTES {
                return Err(UnusableEndpoint::SocketPathTooLong {
                    bytes,
                    limit: MAX_SOCKET_PATH_BYTES,
                });
            }
        }
        match (self.ip(), self.zoned_ip()) {
            (Some(IpAddr::V6(address)), _) if address.is_unicast_link_local() => {
                Err(UnusableEndpoint::MissingZone { address })
            }
            (_, Some(address)) if address.is_multicast() || is_broadcast(address) => {
                Err(UnusableEndpoint::NotUnicast { address })
            }
            _ => Ok(()),
        }
    }
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(text: &str) -> Result<(), UnusableEndpoint> {
        text.parse::<Endpoint>().unwrap().check_connect()
    }

    fn bind(text: &str) -> Result<(), UnusableEndpoint> {
        text.parse::<Endpoint>().unwrap().check_bind()
    }

    #[test]
    fn a_port_that_the_system_chooses_is_for_bind_ends() {
        for text in ["tcp://host:0", "ws://127.0.0.1:0/x", "[::1]:0"] {
            assert_eq!(connect(text), Err(UnusableEndpoint::PortZero), "{text}");
            assert_eq!(bind(text), Ok(()), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_path_may_have_as_many_bytes_as_the_system_takes() {
        let path = |bytes: usize| format!("unix:///{}", "a".repeat(bytes - 1));
        for check in [connect, bind] {
            assert_eq!(check(&path(MAX_SOCKET_PATH_BYTES)), Ok(()));
            let bytes = MAX_SOCKET_PATH_BYTES + 1;
            let limit = MAX_SOCKET_PATH_BYTES;
            assert_eq!(
                check(&path(bytes)),
                Err(UnusableEndpoint::SocketPathTooLong { bytes, limit })
            );
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_scheme_that_was_not_built_names_its_feature() {
        for text in ["tls://host", "wss://host"] {
            let error = connect(text).unwrap_err();
            assert!(error.to_string().contains("feature \"tls\""), "{error}");
            assert_eq!(bind(text), Err(error));
        }
    }

    #[test]
    fn a_link_local_address_needs_its_zone() {
        let address: Ipv6Addr = "fe80::1".parse().unwrap();
        for check in [connect, bind] {
            assert_eq!(
                check("[fe80::1]:4"),
                Err(UnusableEndpoint::MissingZone { address })
            );
            assert_eq!(check("[fe80::1%eth0]:4"), Ok(()));
            assert_eq!(check("[fd00::1]:4"), Ok(()));
        }
    }

    #[test]
    fn a_connection_has_one_peer() {
        for text in [
            "224.0.0.1:4",
            "255.255.255.255:4",
            "[ff02::1]:4",
            "[ff02::1%eth0]:4",
        ] {
            let error = connect(text).unwrap_err();
            assert!(
                matches!(error, UnusableEndpoint::NotUnicast { .. }),
                "{text}"
            );
            assert_eq!(bind(text), Err(error));
        }
    }
}
