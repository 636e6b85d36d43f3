//! Where a socket listens, and what of it was given up.

use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::address::Endpoint;
use crate::engine::NeglectWatch;
use crate::health::GivenUp;
use crate::supervise::ProgramScope;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// How long messages wait on a socket that nobody can reach before the log says so.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// A part of a socket that can be given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Listener(Endpoint),
    Dialer(Endpoint),
    Discovery(String),
    /// One that the socket cannot do without, or one of the program's.
    Vital,
}

impl Part {
    fn describe(&self) -> String {
        match self {
            Self::Listener(endpoint) => format!("the listener of {endpoint}"),
            Self::Dialer(endpoint) => format!("the dialer of {endpoint}"),
            Self::Discovery(source) => format!("the discovery of {source}"),
            Self::Vital => "a part that the program relies on".to_owned(),
        }
    }
}

/// The places where a socket listens, and its parts that were restarted too often.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The program that the socket was started in.
    scope: ProgramScope,
    parts: Mutex<Parts>,
    /// Set once there is a way for peers to come: the socket has listened, has dialled, or is mounted.
    reachable: AtomicBool,
    /// Messages that wait while there is none.
    nowhere_to_go: Mutex<NeglectWatch>,
}

#[derive(Debug, Default)]
struct Parts {
    listening: Vec<Endpoint>,
    given_up: Vec<(Part, String)>,
    threads: Vec<ThreadId>,
}

impl Standing {
    /// That of a socket which the calling code starts.
    pub(super) fn new() -> Self {
        Self {
            scope: ProgramScope::current(),
            parts: Mutex::default(),
            reachable: AtomicBool::new(false),
            nowhere_to_go: Mutex::default(),
        }
    }

    /// The program that the socket ends with.
    pub(crate) fn scope(&self) -> ProgramScope {
        self.scope
    }

    /// The socket's actors or connections run on the calling thread.
    pub(crate) fn note_thread(&self) {
        self.parts.lock().threads.push(thread::current().id());
    }

    /// The threads that the socket runs on.
    pub(super) fn threads(&self) -> Vec<ThreadId> {
        self.parts.lock().threads.clone()
    }

    /// There is a way for peers to come.
    pub(crate) fn note_reachable(&self) {
        self.reachable.store(true, Ordering::Relaxed);
    }

    /// Warns once that messages wait for peers, who have no way to come: most likely `bind` or `connect` was
    /// forgotten.
    pub(super) fn warn_of_no_way(&self, now: Instant, waiting: impl FnOnce() -> usize) {
        if self.reachable.load(Ordering::Relaxed) {
            return;
        }
        let waiting = waiting();
        let mut watch = self.nowhere_to_go.lock();
        if watch
            .handle_sweep(now, waiting, 0, FORGOTTEN_AFTER)
            .is_some()
        {
            tracing::warn!(
                waiting,
                "messages wait for a peer, and the socket neither listens nor dials; call bind or connect"
            );
        }
    }

    /// The socket listens at this endpoint from now on.
    pub(crate) fn note_listening(&self, endpoint: &Endpoint) {
        self.note_reachable();
        let mut parts = self.parts.lock();
        let again = Part::Listener(endpoint.clone());
        parts.given_up.retain(|(part, _)| *part != again);
        parts.listening.push(endpoint.clone());
    }

    /// The socket listens at this endpoint no more; it was told to.
    pub(crate) fn note_unbound(&self, endpoint: &Endpoint) {
        let mut parts = self.parts.lock();
        let ended = Part::Listener(endpoint.clone());
        parts.given_up.retain(|(part, _)| *part != ended);
        parts.listening.retain(|listening| listening != endpoint);
    }

    /// The socket listens nowhere any more.
    pub(crate) fn note_unbound_all(&self) {
        self.parts.lock().listening.clear();
    }

    /// The socket dials this endpoint anew, or no more.
    pub(crate) fn forget_dialer(&self, endpoint: &Endpoint) {
        let ended = Part::Dialer(endpoint.clone());
        let mut parts = self.parts.lock();
        parts.given_up.retain(|(part, _)| *part != ended);
    }

    /// The socket follows the source of this name anew, or no more.
    pub(crate) fn forget_discovery(&self, source: &str) {
        let ended = Part::Discovery(source.to_owned());
        let mut parts = self.parts.lock();
        parts.given_up.retain(|(part, _)| *part != ended);
    }

    /// A part was restarted too often.
    pub(crate) fn note_given_up(&self, part: Part, reason: String) {
        let mut parts = self.parts.lock();
        if let Part::Listener(endpoint) = &part {
            parts.listening.retain(|listening| listening != endpoint);
        }
        // Each part once, with what was last said of it: the list is no longer than that of the parts.
        parts.given_up.retain(|(known, _)| *known != part);
        parts.given_up.push((part, reason));
    }

    pub(super) fn listens(&self) -> bool {
        !self.parts.lock().listening.is_empty()
    }

    pub(super) fn given_up(&self) -> Vec<GivenUp> {
        let parts = self.parts.lock();
        let given_up = |(part, reason): &(Part, String)| GivenUp {
            part: part.describe(),
            reason: reason.clone(),
        };
        parts.given_up.iter().map(given_up).collect()
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        format!("tcp://127.0.0.1:{port}").parse().unwrap()
    }

    #[test]
    fn what_was_given_up_is_known_until_it_is_begun_anew_or_ended() {
        let standing = Standing::new();
        standing.note_listening(&endpoint(1));
        assert!(standing.listens());
        standing.note_given_up(Part::Listener(endpoint(1)), "boom".to_owned());
        standing.note_given_up(Part::Dialer(endpoint(2)), "once".to_owned());
        standing.note_given_up(Part::Dialer(endpoint(2)), "twice".to_owned());
        assert!(!standing.listens());
        let told = |standing: &Standing| -> Vec<String> {
            let given_up = standing.given_up().into_iter();
            given_up
                .map(|GivenUp { part, reason }| format!("{part}: {reason}"))
                .collect()
        };
        assert_eq!(
            told(&standing),
            [
                "the listener of tcp://127.0.0.1:1: boom",
                "the dialer of tcp://127.0.0.1:2: twice"
            ]
        );
        standing.note_listening(&endpoint(1));
        standing.forget_dialer(&endpoint(2));
        assert!(standing.listens() && standing.given_up().is_empty());
        standing.note_given_up(Part::Listener(endpoint(1)), "boom".to_owned());
        standing.note_unbound(&endpoint(1));
        assert!(!standing.listens() && standing.given_up().is_empty());
        standing.note_given_up(Part::Discovery("it".to_owned()), "boom".to_owned());
        standing.forget_discovery("others");
        assert_eq!(told(&standing), ["the discovery of it: boom"]);
        standing.forget_discovery("it");
        assert!(standing.given_up().is_empty());
    }
}
