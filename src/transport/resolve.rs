//! From an endpoint to socket addresses.

use std::io;
use std::net::SocketAddr;

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
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}
