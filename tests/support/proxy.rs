//! A proxy that does to connections what networks do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Stands between a connect end and a bind end, and breaks things on demand.
///
/// Faults apply to the connections that stand and to those that come, until [`heal`](Self::heal).
pub struct FaultProxy {
    place: Place,
    shared: Arc<Shared>,
}

/// Where somebody listens.
#[derive(Debug, Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One end of a connection.
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// An end of a connection as the proxy sees it: who connected to it, or whom it connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// What the proxy does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes pass.
    None,
    /// New connections are closed at once.
    Refuse,
    /// Nothing is read any more, so that the senders' buffers fill.
    Stall,
    /// Bytes are read and lost, in both directions, as behind a cable that was pulled.
    HalfOpen,
    /// The same in one direction: what this side says.
    Mute(Side),
    /// Bytes pass one at a time, with a pause after each.
    Dribble(Duration),
    /// Each connection is reset when so many bytes have passed, both directions together.
    ResetAfter(u64),
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Connections whose pumps have not both ended.
    pumping: AtomicUsize,
}

struct State {
    target: Place,
    fault: Fault,
    connections: Vec<Arc<Connection>>,
    accepted: u64,
    recording: Option<Vec<Arc<Mutex<Vec<u8>>>>>,
    ended: bool,
}

struct Connection {
    client: Stream,
    server: Stream,
    passed: Mutex<u64>,
    /// What came from the client, if that is recorded.
    record: Option<Arc<Mutex<Vec<u8>>>>,
    swallowing: AtomicBool,
    to_be_reset: AtomicBool,
    pumps: AtomicUsize,
}

impl FaultProxy {
    /// Listens on a free port and passes everything on to `target`.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let listener = Listener::Tcp(listener);
        Self::start_at(Place::Tcp(address), listener, Place::Tcp(target))
    }

    /// Listens at a path of the file system and passes everything on to `target`.
    #[cfg(unix)]
    pub fn start_unix(path: &Path, target: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a free path");
        let [place, target] = [path, target].map(|path| Place::Unix(path.to_owned()));
        Self::start_at(place, Listener::Unix(listener), target)
    }

    fn start_at(place: Place, listener: Listener, target: Place) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                target,
                fault: Fault::None,
                connections: Vec::new(),
                accepted: 0,
                recording: None,
                ended: false,
            }),
            changed: Condvar::new(),
            pumping: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { place, shared }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) => *address,
            Place::Unix(path) => panic!("it listens at {}", path.display()),
        }
    }

    /// Sends the connections to come somewhere else.
    pub fn retarget(&self, target: SocketAddr) {
        self.shared.lock().target = Place::Tcp(target);
    }

    /// Begins a fault; it replaces the one before.
    pub fn inflict(&self, fault: Fault) {
        self.shared.lock().fault = fault;
        self.shared.changed.notify_all();
    }

    /// Ends the fault: what was stalled passes.
    pub fn heal(&self) {
        self.inflict(Fault::None);
    }

    /// Closes all connections that stand, in good order; new ones are served.
    pub fn cut(&self) {
        for connection in self.shared.lock().connections.drain(..) {
            connection.close();
        }
        self.shared.changed.notify_all();
    }

    /// Ends all connections that stand, so that what their clients have handed to the kernel and
    /// the server has not got yet comes here, and no further; new ones are served.
    pub fn swallow(&self) {
        for connection in self.shared.lock().connections.drain(..) {
            connection.swallowing.store(true, Ordering::SeqCst);
            // An end that has closed already is closed.
            let _ = connection.client.shutdown(Shutdown::Write);
            let _ = connection.server.shutdown(Shutdown::Both);
        }
    }

    /// Keeps from now on what the clients of connections to come say.
    pub fn record(&self) {
        self.shared.lock().recording = Some(Vec::new());
    }

    /// What each client whose connection was recorded has said so far.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        let state = self.shared.lock();
        let records = state.recording.as_ref().expect("it records");
        let copy = |record: &Arc<Mutex<Vec<u8>>>| record.lock().expect("no panic").clone();
        records.iter().map(copy).collect()
    }

    /// How many connections are not yet at their end on both sides.
    pub fn unfinished(&self) -> usize {
        self.shared.pumping.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.lock().accepted
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.cut();
        // The accepting thread looks at `ended` when a connection comes.
        let _ = Stream::connect(&self.place);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the proxy panics")
    }

    /// Waits while connections are stalled, and says what is done to the next bytes.
    fn fault(&self) -> Fault {
        let state = self
            .changed
            .wait_while(self.lock(), |state| {
                state.fault == Fault::Stall && !state.ended
            })
            .expect("no thread of the proxy panics");
        state.fault
    }
}

impl Connection {
    fn close(&self) {
        // An end that has closed already is closed.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// Makes the last close of each end a reset, and wakes both pumps to let go of them.
    fn reset(&self) {
        self.to_be_reset.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            stream.reset_on_close();
            // Ends our reads and says nothing to the other end.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

impl Listener {
    fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(listener) => Stream::Tcp(listener.accept()?.0),
            #[cfg(unix)]
            Self::Unix(listener) => Stream::Unix(listener.accept()?.0),
        })
    }
}

impl Stream {
    fn connect(place: &Place) -> io::Result<Self> {
        match place {
            Place::Tcp(address) => TcpStream::connect(address).map(Self::Tcp),
            #[cfg(unix)]
            Place::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            #[cfg(not(unix))]
            Place::Unix(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn set_nodelay(&self) {
        if let Self::Tcp(stream) = self {
            stream.set_nodelay(true).expect("a TCP option");
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(how),
        }
    }

    /// Only TCP knows resets: of others the last close is an end, in the middle of a frame.
    fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            reset_on_close(stream);
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).read(buffer),
            #[cfg(unix)]
            Stream::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            #[cfg(unix)]
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn accept(listener: &Listener, shared: &Arc<Shared>) {
    loop {
        let client = listener.accept();
        let mut state = shared.lock();
        if state.ended {
            return;
        }
        let Ok(client) = client else { continue };
        state.accepted += 1;
        if state.fault == Fault::Refuse {
            continue;
        }
        let target = state.target.clone();
        drop(state);
        let Ok(server) = Stream::connect(&target) else {
            continue;
        };
        client.set_nodelay();
        server.set_nodelay();
        let mut state = shared.lock();
        let record = state.recording.as_mut().map(|records| {
            records.push(Arc::default());
            Arc::clone(&records[records.len() - 1])
        });
        let connection = Arc::new(Connection {
            client,
            server,
            passed: Mutex::new(0),
            record,
            swallowing: AtomicBool::new(false),
            to_be_reset: AtomicBool::new(false),
            pumps: AtomicUsize::new(2),
        });
        shared.pumping.fetch_add(1, Ordering::SeqCst);
        state.connections.push(Arc::clone(&connection));
        drop(state);
        for upstream in [true, false] {
            let (connection, shared) = (Arc::clone(&connection), Arc::clone(shared));
            thread::spawn(move || pump(&connection, upstream, &shared));
        }
    }
}

/// Passes bytes in one direction until either end closes.
fn pump(connection: &Arc<Connection>, upstream: bool, shared: &Shared) {
    let (mut from, mut to) = if upstream {
        (&connection.client, &connection.server)
    } else {
        (&connection.server, &connection.client)
    };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let mut count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if upstream && let Some(record) = &connection.record {
            let mut record = record.lock().expect("no thread panics");
            record.extend_from_slice(&buffer[..count]);
        }
        // Asked after the read: a fault that began while it waited counts for what it brought.
        let fault = shared.fault();
        if let Fault::ResetAfter(limit) = fault {
            let mut passed = connection.passed.lock().expect("no thread panics");
            let left = usize::try_from(limit.saturating_sub(*passed)).unwrap_or(usize::MAX);
            let last = count >= left;
            count = count.min(left);
            *passed += count as u64;
            if last {
                // The bytes before the reset may be lost with it, as on a real network.
                let _ = to.write_all(&buffer[..count]);
                connection.reset();
                break;
            }
        }
        let side = if upstream { Side::Client } else { Side::Server };
        if fault == Fault::HalfOpen || fault == Fault::Mute(side) {
            continue;
        }
        if connection.swallowing.load(Ordering::SeqCst) {
            continue;
        }
        let written = match fault {
            Fault::Dribble(pause) => buffer[..count].chunks(1).try_for_each(|byte| {
                thread::sleep(pause);
                to.write_all(byte)
            }),
            _ => to.write_all(&buffer[..count]),
        };
        if written.is_err() && !connection.swallowing.load(Ordering::SeqCst) {
            break;
        }
    }
    // An end behind a pulled cable is not told that the other has gone.
    let silent = connection.to_be_reset.load(Ordering::SeqCst) || shared.fault() == Fault::HalfOpen;
    if !silent {
        let _ = to.shutdown(Shutdown::Write);
    }
    if connection.pumps.fetch_sub(1, Ordering::SeqCst) == 1 {
        let is_other = |other: &Arc<Connection>| !Arc::ptr_eq(other, connection);
        shared.lock().connections.retain(is_other);
        shared.pumping.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Closes `stream` so that the other end sees a reset, not an end.
pub fn reset(stream: TcpStream) {
    reset_on_close(&stream);
}

fn reset_on_close(stream: &TcpStream) {
    // A connection that has failed already needs no reset.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
