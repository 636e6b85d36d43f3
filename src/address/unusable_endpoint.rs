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
    /// The zone of an address that is not link-local is the name of an interface, which the resolver does not take.
    #[error("{address} takes no zone, which is for link-local addresses: write [{address}]")]
    NeedlessZone {
        /// The address.
        address: Ipv6Addr,
    },
    /// The host is a name that no resolver takes.
    #[error("{host:?} is no name: {problem}")]
    HostName {
        /// The host of the endpoint.
        host: String,
        /// The rule that it breaks.
        problem: &'static str,
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
        self.check_host()
    }

    fn check_host(&self) -> Result<(), UnusableEndpoint> {
        let Some(host) = self.host() else {
            return Ok(());
        };
        let Some(address) = self.zoned_ip() else {
            let host = host.to_owned();
            let problem = problem_of_name(&host);
            return problem.map_or(Ok(()), |problem| {
                Err(UnusableEndpoint::HostName { host, problem })
            });
        };
        let is_zoned = self.ip().is_none();
        match address {
            IpAddr::V6(address) if address.is_unicast_link_local() && !is_zoned => {
                Err(UnusableEndpoint::MissingZone { address })
            }
            _ if is_one_of_many(address.to_canonical()) => {
                Err(UnusableEndpoint::NotUnicast { address })
            }
            IpAddr::V6(address) if !address.is_unicast_link_local() && has_named_zone(host) => {
                Err(UnusableEndpoint::NeedlessZone { address })
            }
            _ => Ok(()),
        }
    }
}

/// True if the zone of an address is a name, where the resolver takes none but of link-local addresses.
fn has_named_zone(host: &str) -> bool {
    let zone = host.split_once('%').map_or("", |(_, zone)| zone);
    cfg!(target_os = "linux") && zone.bytes().any(|byte| !byte.is_ascii_digit())
}

/// The rule of names that a host breaks (RFC 1035 §2.3.4). A name of other letters has another length on its way.
fn problem_of_name(host: &str) -> Option<&'static str> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.split('.').any(str::is_empty) {
        return Some("nothing stands between two dots, or before the first");
    }
    if !name.is_ascii() {
        return None;
    }
    if name.split('.').any(|label| label.len() > 63) {
        return Some("between dots there are 63 characters at most");
    }
    (name.len() > 253).then_some("it has more than 253 characters")
}

fn is_one_of_many(address: IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(address) if address.is_broadcast())
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

    #[cfg(target_os = "linux")]
    #[test]
    fn a_zone_with_a_name_is_for_link_local_addresses() {
        for check in [connect, bind] {
            let error = check("[::1%lo]:4").unwrap_err();
            assert!(error.to_string().contains("write [::1]"), "{error}");
            assert_eq!(check("[::1%1]:4"), Ok(()));
        }
    }

    #[test]
    fn a_name_that_no_resolver_takes_is_an_error() {
        let label = |length| "a".repeat(length);
        let long = [label(63), label(63), label(63), label(61)].join(".");
        for text in ["a..b:4", ".a:4", "a..:4", &label(64), &format!("{long}a")] {
            let error = connect(text).unwrap_err();
            assert!(error.to_string().contains("is no name: "), "{error}");
            assert_eq!(bind(text), Err(error));
        }
        for text in ["a.:4", &label(63), &long, &format!("{long}."), "ä.example"] {
            assert_eq!(connect(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_connection_has_one_peer() {
        for text in [
            "[::ffff:224.0.0.1]:4",
            "[::ffff:255.255.255.255]:4",
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
