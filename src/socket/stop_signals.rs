//! The signals that ask a program to stop.

use std::io;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;

/// The time that the program has after a second signal, before it is ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hears SIGTERM and Ctrl-C by a thread of its own, which hears them while a handler blocks the socket's thread, too.
#[derive(Debug)]
pub(super) struct StopSignals {
    heard: watch::Receiver<u32>,
    /// Those that [`next`](Self::next) has told of.
    told: u32,
}

/// All that listen now.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

impl StopSignals {
    /// Takes the signals over, for the rest of the program's life.
    pub(super) fn listen() -> io::Result<Self> {
        let next = next_signals()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (count, heard) = watch::channel(0);
        thread::Builder::new()
            .name("stop signals".to_owned())
            .spawn(move || runtime.block_on(count_signals(next, count)))?;
        LISTENERS.fetch_add(1, Ordering::SeqCst);
        Ok(Self { heard, told: 0 })
    }

    /// Resolves once for every signal.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has missed none.
    pub(super) async fn next(&mut self) {
        let told = self.told;
        // An error would mean that the thread is gone, which ends after the receiver.
        let _ = self.heard.wait_for(|heard| *heard > told).await;
        self.told += 1;
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        // Before the end of `heard`, which the thread takes for that of its listener.
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts signals until nobody listens. Who asks twice is not kept waiting by a thread that is blocked, nor by what the program
/// does when its sockets are closed.
async fn count_signals(mut next: impl AsyncFnMut(), count: watch::Sender<u32>) {
    loop {
        tokio::select! {
            () = count.closed() => break,
            () = next() => count.send_modify(|heard| *heard += 1),
        }
        if *count.borrow() > 1
            && tokio::time::timeout(PATIENCE, count.closed())
                .await
                .is_err()
        {
            tracing::warn!(
                "a second signal, and the thread of the socket is blocked: the process is ended"
            );
            process::exit(1);
        }
    }
    if *count.borrow() == 0 {
        // Nobody asked the program to stop: whoever goes on decides about signals.
        return;
    }
    loop {
        // A signal that came while another socket listened is for that one, which may be through with it by now.
        let is_last = LISTENERS.load(Ordering::SeqCst) == 0;
        next().await;
        if is_last && LISTENERS.load(Ordering::SeqCst) == 0 {
            tracing::warn!("a signal after the sockets were closed: the process is ended");
            process::exit(1);
        }
    }
}

/// Yields a function that waits for the next SIGTERM or Ctrl-C.
#[cfg(unix)]
fn next_signals() -> io::Result<impl AsyncFnMut() + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move || {
        // No more signals come when the runtime is shut down.
        tokio::select! {
            Some(()) = terminate.recv() => {}
            Some(()) = interrupt.recv() => {}
            else => std::future::pending().await,
        }
    })
}

/// Yields a function that waits for the next Ctrl-C, the only one of the two that exists here.
#[cfg(not(unix))]
fn next_signals() -> io::Result<impl AsyncFnMut() + Send> {
    Ok(async || {
        // Without a console there is nobody to press Ctrl-C.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
