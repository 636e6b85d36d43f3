//! From an endpoint to socket addresses.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use crate::address::Endpoint;

/// All addresses of a network endpoint, in the resolver's order; never empty.
///
/// # Cancel safety
///
/// Dropping the future leaves the system's resolver to end by itself, on a blocking thread.
pub(super) async fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let (Some(host), Some(port)) = (endpoint.host(), endpoint.port()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the endpoint has no host",
        ));
    };
    if let Some(ip) = endpoint.ip() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = found.map_err(|error| explain_zone(host, error))?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

/// The resolver says of a zone what it says of a name that is unknown.
fn explain_zone(host: &str, error: io::Error) -> io::Error {
    let Some((address, zone)) = host.split_once('%') else {
        return error;
    };
    let Ok(ip) = address.parse::<Ipv6Addr>() else {
        return error;
    };
    let text = match ip.is_unicast_link_local() {
        true => format!("there is no interface {zone:?}"),
        false => format!("{ip} takes no zone, which is for link-local addresses: write [{ip}]"),
    };
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
