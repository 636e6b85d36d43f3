//! Listening TCP sockets: all addresses of a name on one port, and ports that two endpoints share.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Attempts to take a free port of one address on another one of the same name.
const PORT_ATTEMPTS: usize = 16;

/// The TCP listeners of one socket, whichever endpoint they are of.
///
/// `[::]` takes IPv4 connections, too, as everywhere on Linux, by a listener of its own on `0.0.0.0`. So both can be
/// bound on one port, in either order: the endpoint that names `0.0.0.0` has that listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct SocketListeners(Arc<Mutex<Vec<Weak<Listener>>>>);

/// One listener, until another endpoint of the same socket takes it over.
#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    /// The endpoint does not name the address.
    is_implied: bool,
    listening: Mutex<Option<TcpListener>>,
}

/// The same socket listens at an address that overlaps with the one that it is to listen on.
#[derive(Debug, thiserror::Error)]
#[error("this socket listens on {0} already: bind one of the two, or another port")]
pub(super) struct ListensAlready(SocketAddr);

/// An address to listen on.
#[derive(Clone, Copy)]
struct Wanted {
    address: SocketAddr,
    is_implied: bool,
}

impl Listener {
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. A listener that was taken over has none.
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        match &*self.listening.lock() {
            Some(listening) => listening.poll_accept(cx),
            None => Poll::Pending,
        }
    }
}

impl SocketListeners {
    /// Listens on every one of `addresses`, all on the same port.
    ///
    /// An address that does not exist on this machine is left out if another one does; an address
    /// that is taken is an error, because half a name bound is a fault that nobody sees.
    pub(super) fn listen(
        &self,
        addresses: &[SocketAddr],
        backlog: u32,
    ) -> io::Result<Vec<Arc<Listener>>> {
        let wanted = with_implied(addresses);
        let chosen_by_system = addresses.iter().all(|address| address.port() == 0);
        let attempts = if chosen_by_system && wanted.len() > 1 {
            PORT_ATTEMPTS
        } else {
            1
        };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for _ in 0..attempts {
            match self.listen_once(&wanted, backlog) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                done => return done,
            }
        }
        Err(match self.in_the_way(&wanted) {
            Some(ours) => io::Error::new(io::ErrorKind::AddrInUse, ListensAlready(ours)),
            None => last,
        })
    }

    fn listen_once(&self, wanted: &[Wanted], backlog: u32) -> io::Result<Vec<Arc<Listener>>> {
        let mut listeners: Vec<Arc<Listener>> = Vec::with_capacity(wanted.len());
        let mut absent = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for want in wanted {
            let (mut address, is_implied) = (want.address, want.is_implied);
            if let (0, Some(first)) = (address.port(), listeners.first()) {
                address.set_port(first.address.port());
            }
            let listening = match listen_one(address, backlog) {
                Ok(listening) => TcpListener::from_std(listening)?,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    match (self.find(|ours| ours == address), is_implied) {
                        // Another endpoint of this socket names it.
                        (Some(_), true) => continue,
                        (Some(ours), false) if ours.is_implied => {
                            ours.listening.lock().take().ok_or(error)?
                        }
                        (Some(_) | None, _) => return Err(error),
                    }
                }
                // An implied one is there only beside the one that implies it.
                Err(error) if is_absent(&error) && !(is_implied && listeners.is_empty()) => {
                    absent = error;
                    continue;
                }
                Err(error) => return Err(error),
            };
            listeners.push(Arc::new(Listener {
                address: listening.local_addr()?,
                is_implied,
                listening: Mutex::new(Some(listening)),
            }));
        }
        if listeners.is_empty() {
            return Err(absent);
        }
        let mut all = self.0.lock();
        all.retain(|listener| listener.strong_count() > 0);
        all.extend(listeners.iter().map(Arc::downgrade));
        Ok(listeners)
    }

    /// A listener of this socket, which nobody has taken over, at such an address.
    fn find(&self, at: impl Fn(SocketAddr) -> bool) -> Option<Arc<Listener>> {
        let all = self.0.lock();
        let mut here = all.iter().filter_map(Weak::upgrade);
        here.find(|ours| at(ours.address) && ours.listening.lock().is_some())
    }

    /// The address where this socket listens and that one of those wanted includes, or is included by.
    fn in_the_way(&self, wanted: &[Wanted]) -> Option<SocketAddr> {
        let overlaps = |ours| wanted.iter().any(|want| overlap(ours, want.address));
        self.find(overlaps).map(|ours| ours.address)
    }
}

/// Whether no two listeners can have these addresses: on one port and of one family, they are the same or one of them is
/// for all.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// The addresses, and `0.0.0.0` behind `[::]`.
fn with_implied(addresses: &[SocketAddr]) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = Vec::with_capacity(addresses.len());
    for &address in addresses {
        // One of IPv4 that is written as of IPv6: a listener for IPv6 takes no IPv4.
        let address = canonical(address);
        // A name may have an address twice, by two lines in the file of hosts for instance.
        if wanted.iter().any(|want| want.address == address) {
            continue;
        }
        let is_implied = false;
        wanted.push(Wanted {
            address,
            is_implied,
        });
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        if address.is_ipv6() && address.ip().is_unspecified() && !addresses.contains(&any) {
            wanted.push(Wanted {
                address: any,
                is_implied: true,
            });
        }
    }
    wanted
}

/// The same address, as one of IPv4 if it is one; the zone of another stays.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}

/// The address is not one of this machine, or its family is switched off.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    ) || error
        .raw_os_error()
        .is_some_and(|code| Some(code) == family_not_supported())
}

/// `EAFNOSUPPORT`, which the standard library has no kind for.
const fn family_not_supported() -> Option<i32> {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        Some(97)
    } else if cfg!(any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    )) {
        Some(47)
    } else if cfg!(windows) {
        Some(10047)
    } else {
        None
    }
}

fn listen_one(address: SocketAddr, backlog: u32) -> io::Result<StdListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has a listener of its own.
        socket.set_only_v6(true)?;
    }
    // On Windows the option would let two processes share the port; there a closed port is free at
    // once without it.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_a_name_has_twice_is_listened_at_once() {
        let addresses: Vec<SocketAddr> = ["[::1]:0", "127.0.0.1:0", "127.0.0.1:0"]
            .map(|address| address.parse().unwrap())
            .into();
        let wanted = with_implied(&addresses);
        let wanted: Vec<_> = wanted.iter().map(|wanted| wanted.address).collect();
        assert_eq!(wanted, addresses[..2]);
    }
}
