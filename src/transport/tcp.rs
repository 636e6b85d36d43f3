//! TCP options that tokio does not expose.

use std::io;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::options::TcpOptions;

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
