//! The endpoint: a thread of its own, which sleeps while nobody looks.

use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{Semaphore, oneshot};

use super::file;
use super::gather::Inspector;
use super::watcher;
use crate::connection::connections::Connections;
use crate::error::InspectionError;
use crate::transport::SocketFile;

/// Watchers at a time.
const WATCHERS: usize = 8;

/// Pause after a connection could not be accepted, which is for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The endpoint of one socket. It ends, and its file goes, when this is dropped.
#[derive(Debug)]
pub(crate) struct Endpoint {
    _file: SocketFile,
    /// The thread ends when this is gone.
    _end: oneshot::Sender<()>,
}

impl Endpoint {
    /// Opens the endpoint of a socket.
    pub(crate) fn open(
        path: &Path,
        connections: &Arc<Connections>,
    ) -> Result<Self, InspectionError> {
        let (listener, file) = file::listen(path)?;
        connections.core().events.keep_history();
        let inspector = Arc::new(Inspector::new(connections));
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("aiomsg-inspect".to_owned());
        let started = thread.spawn(move || run(listener, inspector, ended));
        started.map_err(|source| InspectionError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            _file: file,
            _end: end,
        })
    }
}

/// The body of the thread.
fn run(listener: StdListener, inspector: Arc<Inspector>, ended: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let served = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let listener = UnixListener::from_std(listener)?;
            tokio::select! {
                _ = ended => {}
                () = serve(listener, inspector) => {}
            }
            Ok(())
        })
    });
    if let Err(error) = served {
        tracing::warn!(%error, "nobody can look into the socket: its inspection endpoint has ended");
    }
}

async fn serve(listener: UnixListener, inspector: Arc<Inspector>) {
    let places = Arc::new(Semaphore::new(WATCHERS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            watcher::turn_away(&stream, WATCHERS);
            continue;
        };
        let inspector = Arc::clone(&inspector);
        tokio::spawn(async move {
            watcher::serve(stream, &inspector).await;
            drop(place);
        });
    }
}
