//! Ctrl-C and SIGTERM.

use std::future::Future;

use crate::Outcome;
use crate::failure::Failure;

/// Resolves with the number of the signal that asks the program to stop.
#[cfg(unix)]
pub(crate) async fn signal() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind);
    match (
        listen(SignalKind::interrupt()),
        listen(SignalKind::terminate()),
    ) {
        (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
        },
        // The signals then end the process by themselves.
        _ => std::future::pending().await,
    }
}

/// Resolves with the number of the signal that asks the program to stop.
#[cfg(not(unix))]
pub(crate) async fn signal() -> u8 {
    match tokio::signal::ctrl_c().await {
        Ok(()) => 2,
        Err(_) => std::future::pending().await,
    }
}

/// Does work that a signal cuts short; `undone` says what that means.
pub(crate) async fn unless_interrupted<T>(
    work: impl Future<Output = Outcome<T>>,
    undone: impl FnOnce() -> String,
) -> Outcome<T> {
    tokio::select! {
        biased;
        outcome = work => outcome,
        signal = signal() => Err(Failure::interrupted(signal, undone())),
    }
}
