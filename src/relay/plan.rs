//! The description of a relay, and its start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;

use super::capture::{CaptureError, CaptureWriter};
use super::event::RelayEvent;
use super::forward::Forward;
use super::handle::{RelayHandle, Running};
use super::pairs;
use super::returning::{Returning, is_answer};
use super::way::{Bounds, Way};
use crate::event::Announcer;
use crate::payload::Filter;
use crate::socket::Socket;
use crate::supervise::{RestartPolicy, SupervisionTree, supervise};

/// Bytes of a recording, by default.
const CAPTURE_LIMIT: u64 = 1024 * 1024 * 1024;

/// Describes a relay between two sockets, and starts it. The [module](crate::relay) says what a relay passes on.
#[derive(Debug, Clone)]
#[must_use = "nothing is passed on before it is started"]
pub struct Relay {
    front: Socket,
    back: Socket,
    both_ways: bool,
    bounds: Bounds,
    capture: Option<PathBuf>,
    capture_limit: u64,
    events: Vec<Recipient<RelayEvent>>,
}

/// A relay cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// Front and back are the same socket, which would receive what it sends.
    #[error(
        "front and back of a relay are the same socket: what it sends on would come in again; start two sockets"
    )]
    SameSocket,
    /// Another relay stands between these sockets, and would pass on everything a second time.
    #[error("there is a relay between these sockets already")]
    SecondRelay,
    /// One of both sockets is closed.
    #[error("a socket of the relay is closed")]
    Closed,
    /// The recording cannot be begun.
    #[error("the relay cannot record: {0}")]
    Capture(#[from] CaptureError),
}

impl Relay {
    /// Begins the description of a relay that receives at `front` and sends on at `back`, by the send mode of `back`.
    ///
    /// What comes at most once is sent on at most once, unless the back's own
    /// [guarantee](crate::SocketBuilder::delivery_guarantee) is at least once: then it may come twice.
    ///
    /// Both sockets belong to the relay: it subscribes to everything that they receive.
    pub fn new(front: &Socket, back: &Socket) -> Self {
        Self {
            front: front.clone(),
            back: back.clone(),
            both_ways: false,
            bounds: Bounds {
                max_open_asks: 65_536,
                default_patience: Duration::from_secs(60),
                max_patience: Duration::from_secs(600),
            },
            capture: None,
            capture_limit: CAPTURE_LIMIT,
            events: Vec::new(),
        }
    }

    /// Passes messages and asks on from the back to the front as well, by the send mode of the front. Default: only answers
    /// return.
    pub const fn both_ways(mut self) -> Self {
        self.both_ways = true;
        self
    }

    /// Sets the number of asks that may be open at a time, in each direction. Default: 65,536. Each takes about 200 bytes. An
    /// ask above it is refused, which its asker sees as [`AskError::Busy`](crate::error::AskError::Busy).
    pub const fn max_open_asks(mut self, asks: usize) -> Self {
        self.bounds.max_open_asks = asks;
        self
    }

    /// Sets for how long the answer to an ask is waited for that does not say how long its asker waits. Default: 60 s.
    pub const fn default_patience(mut self, patience: Duration) -> Self {
        self.bounds.default_patience = patience;
        self
    }

    /// Sets for how long an answer is waited for at most, whatever its asker says. Default: 10 minutes. A later answer is
    /// dropped.
    pub const fn max_patience(mut self, patience: Duration) -> Self {
        self.bounds.max_patience = patience;
        self
    }

    /// Records the messages that are passed on, asks and answers excepted, into a new file of this name. Default: no
    /// recording. [`capture`](mod@super::capture) has the format; [`Replay`](super::capture::Replay) sends them again.
    ///
    /// Messages wait for their place in the recording, of which 1,024 messages and 8 MiB may be unwritten. When the recording
    /// ends, at its [limit](Self::capture_limit) or by an error, [`RelayEvent::CaptureEnded`] says so, and
    /// the relay goes on.
    pub fn capture(mut self, file: impl Into<PathBuf>) -> Self {
        self.capture = Some(file.into());
        self
    }

    /// Sets the size at which a recording ends, in bytes. Default: 1 GiB.
    pub const fn capture_limit(mut self, bytes: u64) -> Self {
        self.capture_limit = bytes;
        self
    }

    /// Tells an actor what the relay does not pass on, and when its recording ends. May be called several times.
    pub fn events(mut self, recipient: Recipient<RelayEvent>) -> Self {
        self.events.push(recipient);
        self
    }

    /// Starts the relay in the current arbiter: two supervised actors for each direction, which run until one of both sockets
    /// is closed. Dropping the handle changes nothing, unless it is the last one that keeps a socket open.
    ///
    /// Start it before the sockets bind and connect, so that it has seen everything that comes.
    ///
    /// # Errors
    ///
    /// [`RelayError`] when front and back are the same socket, when another relay stands between them, when one of them is
    /// closed, or when the recording cannot be begun.
    ///
    /// # Panics
    ///
    /// Outside of an arbiter or a tokio `LocalSet`, as `Actor::start` does.
    pub fn start(self) -> Result<RelayHandle, RelayError> {
        let (front, back) = (self.front.core(), self.back.core());
        if Arc::ptr_eq(front, back) {
            return Err(RelayError::SameSocket);
        }
        if self.front.is_closed() || self.back.is_closed() {
            return Err(RelayError::Closed);
        }
        let pairs = [(front, back), (back, front)];
        let pairs = &pairs[..1 + usize::from(self.both_ways)];
        if !pairs::enlist(pairs) {
            return Err(RelayError::SecondRelay);
        }
        let events = Arc::new(Announcer::new());
        for recipient in &self.events {
            actix::spawn(events.add(recipient.clone()));
        }
        let capture = match &self.capture {
            None => None,
            Some(file) => {
                let events = Arc::clone(&events);
                let on_end = move |end| events.announce(&RelayEvent::CaptureEnded(end));
                let began = CaptureWriter::create(file, self.capture_limit, on_end);
                Some(began.inspect_err(|_| pairs::strike(pairs))?)
            }
        };
        let way = |from, to| Way::new(from, to, self.bounds, capture.clone(), &events);
        let forward = way(front, back);
        let reverse = self.both_ways.then(|| way(back, front));
        let mut tree = SupervisionTree::one_for_one().name("relay");
        self.add_way(&mut tree, &forward, (&self.front, &self.back));
        if let Some(reverse) = &reverse {
            self.add_way(&mut tree, reverse, (&self.back, &self.front));
        }
        let tree = tree.start();
        let running = Running {
            forward,
            reverse,
            capture,
            tree,
            events,
        };
        Ok(RelayHandle::start(self.front, self.back, running))
    }

    /// Adds the two pumps of one direction.
    fn add_way(&self, tree: &mut SupervisionTree, way: &Arc<Way>, ends: (&Socket, &Socket)) {
        let (from, to) = ends;
        let filters = match self.both_ways {
            false => (Filter::all(), Filter::all()),
            true => (
                Filter::matching("no answers", |payload: &[u8]| !is_answer(payload)),
                Filter::matching("answers", is_answer),
            ),
        };
        let forward = {
            let (way, from) = (Arc::clone(way), from.downgrade());
            let build = move || Forward::new(Arc::clone(&way), from.clone(), filters.0.clone());
            supervise(build)
                .name("relay forward")
                .restart(RestartPolicy::Transient)
        };
        let returning = {
            let (way, to) = (Arc::clone(way), to.downgrade());
            let build = move || Returning::new(Arc::clone(&way), to.clone(), filters.1.clone());
            supervise(build)
                .name("relay return")
                .restart(RestartPolicy::Transient)
        };
        from.peer_events(tree.child(forward).recipient());
        to.peer_events(tree.child(returning).recipient());
    }
}
