//! A program that runs until it is asked to stop.

use std::future::pending;
use std::io;
use std::time::Duration;

use super::handle::Socket;
use crate::actor::socket::CloseReport;
use crate::routing::SocketPhase;

/// How a socket is closed at the end of a program; see [`Socket::run_until_signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it only says how to close"]
pub struct Drain {
    deadline: Duration,
}

impl Drain {
    /// Delivers what was accepted for at most so long.
    pub const fn within(deadline: Duration) -> Self {
        Self { deadline }
    }
}

impl Socket {
    /// Runs until the program is asked to stop by SIGTERM or Ctrl-C, or the socket is closed for
    /// another reason, then closes the socket as [`close_within`](Self::close_within) does.
    ///
    /// Both signals are taken over from the first poll on, for the rest of the program's life.
    ///
    /// # Errors
    ///
    /// When the operating system refuses to have its signals taken over.
    ///
    /// # Cancel safety
    ///
    /// Dropped before a signal comes, it has done nothing to the socket.
    pub async fn run_until_signal(&self, drain: Drain) -> io::Result<CloseReport> {
        let signal = stop_signal()?;
        let mut state = self.state();
        tokio::select! {
            () = signal => tracing::info!("asked to stop"),
            // An error means that the socket is gone.
            _ = state.wait_for(|state| state.phase != SocketPhase::Open) => {}
        }
        Ok(self.close_within(drain.deadline).await)
    }
}

/// Resolves at the first SIGTERM or Ctrl-C after the call.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    /// No more signals come when the runtime is shut down.
    async fn next(signal: &mut Signal) {
        if signal.recv().await.is_none() {
            pending::<()>().await;
        }
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            () = next(&mut terminate) => {}
            () = next(&mut interrupt) => {}
        }
    })
}

/// Resolves at Ctrl-C, the only one of the two that exists here.
#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a console there is nobody to press Ctrl-C.
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    })
}
