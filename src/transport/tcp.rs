//! TCP options that tokio does not expose.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::options::TcpOptions;

/// What Linux takes: whole seconds, of which there is one at least, and these at most. Other times are an error.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// Sets what the options say on a connected stream.
pub(super) fn tune(stream: &TcpStream, options: &TcpOptions) -> io::Result<()> {
    stream.set_nodelay(options.nodelay)?;
    let socket = SockRef::from(stream);
    if let Some(idle) = options.keepalive {
        let idle = idle.clamp(SHORTEST_KEEPALIVE, LONGEST_KEEPALIVE);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
    }
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = socket.set_tcp_notsent_lowat(options.unsent_limit) {
        // A sandbox may not know the option; nothing but speed depends on it.
        tracing::debug!(%error, "no limit of unsent bytes");
    }
    Ok(())
}
