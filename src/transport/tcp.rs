//! TCP sockets with the options of ours that tokio does not expose.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::options::TcpOptions;

/// How often a free port of one address may be taken on another one of the same name.
const PORT_ATTEMPTS: usize = 16;

/// Listens on every one of `addresses`, all on the same port.
///
/// An address that does not exist on this machine is left out if another one does; an address
/// that is taken is an error, because half a name bound is a fault that nobody sees.
pub(super) fn listen_all(addresses: &[SocketAddr], backlog: u32) -> io::Result<Vec<TcpListener>> {
    let chosen_by_system = addresses.iter().all(|address| address.port() == 0);
    let attempts = if chosen_by_system && addresses.len() > 1 {
        PORT_ATTEMPTS
    } else {
        1
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..attempts {
        match listen_once(addresses, backlog) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            done => return done?.into_iter().map(TcpListener::from_std).collect(),
        }
    }
    Err(last)
}

fn listen_once(addresses: &[SocketAddr], backlog: u32) -> io::Result<Vec<StdListener>> {
    let mut listeners: Vec<StdListener> = Vec::with_capacity(addresses.len());
    let mut absent = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let mut address = *address;
        if let (0, Some(first)) = (address.port(), listeners.first()) {
            address.set_port(first.local_addr()?.port());
        }
        match listen_one(address, backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_absent(&error) => absent = error,
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() {
        Err(absent)
    } else {
        Ok(listeners)
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
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // On Windows the option would let two processes share the port; there a closed port is free at
    // once without it.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Sets what the options say on a connected stream.
pub(super) fn tune(stream: &TcpStream, options: &TcpOptions) -> io::Result<()> {
    stream.set_nodelay(options.nodelay)?;
    let socket = SockRef::from(stream);
    if let Some(idle) = options.keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
    }
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = socket.set_tcp_notsent_lowat(options.unsent_limit) {
        // A sandbox may not know the option; nothing but speed depends on it.
        tracing::debug!(%error, "no limit of unsent bytes");
    }
    Ok(())
}
