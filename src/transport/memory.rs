//! Endpoints inside this process: a registry of names, and a pipe for each connection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Bytes that each direction holds before its writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// Listeners of this process by name.
static LISTENERS: LazyLock<Mutex<HashMap<String, mpsc::Sender<DuplexStream>>>> =
    LazyLock::new(Mutex::default);

/// Listens on a name until it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryListener {
    name: String,
    incoming: Mutex<mpsc::Receiver<DuplexStream>>,
}

impl MemoryListener {
    /// Takes `name`, or fails with `AddrInUse`.
    pub(crate) fn bind(name: &str, backlog: u32) -> io::Result<Self> {
        let capacity = usize::try_from(backlog).unwrap_or(usize::MAX);
        let (sender, receiver) =
            mpsc::channel(capacity.clamp(1, tokio::sync::Semaphore::MAX_PERMITS));
        match LISTENERS.lock().entry(name.into()) {
            Entry::Occupied(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Entry::Vacant(entry) => entry.insert(sender),
        };
        Ok(Self {
            name: name.into(),
            incoming: Mutex::new(receiver),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<DuplexStream>> {
        let stream = ready!(self.incoming.lock().poll_recv(cx));
        // The registry holds a sender for as long as this listener lives.
        Poll::Ready(stream.ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        LISTENERS.lock().remove(&self.name);
    }
}

/// Connects to `name`: refused if nobody listens, waits while the backlog is full.
pub(crate) async fn connect(name: &str, timeout: Duration) -> io::Result<DuplexStream> {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let sender = LISTENERS.lock().get(name).cloned().ok_or_else(refused)?;
    let slot = match tokio::time::timeout(timeout, sender.reserve()).await {
        Ok(slot) => slot.map_err(|_| refused())?,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    slot.send(theirs);
    Ok(ours)
}
