//! Whether a socket is alive, and whether it is ready for work.
//!
//! ```
//! use actix_aiomsg::{Socket, health::HealthCriteria};
//!
//! # #[actix::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = Socket::start()?;
//! assert!(socket.health().is_live());
//! assert!(!socket.health().is_ready(), "it does not listen yet");
//!
//! let criteria = HealthCriteria::new().without_listener().min_peers(1);
//! println!("{}", socket.health_with(&criteria)); // not ready: 0 of the 1 peers that it needs
//! # Ok(())
//! # }
//! ```
//!
//! In an application of actix-web, `web::health` answers the probes of an orchestrator with it.

use std::fmt;
use std::time::Duration;

use crate::limits::Capacity;

/// The conditions under which a socket counts as ready; its [`Default`] wants a listener, no peers, and no bound
/// of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it only says what is asked of a socket"]
pub struct HealthCriteria {
    listener: bool,
    min_peers: usize,
    outbox: Option<Capacity>,
    max_blocked: Duration,
}

impl Default for HealthCriteria {
    fn default() -> Self {
        Self::new()
    }
}

impl HealthCriteria {
    /// A socket is ready while it listens somewhere, is not draining, and nothing of it was given up.
    pub const fn new() -> Self {
        Self {
            listener: true,
            min_peers: 0,
            outbox: None,
            max_blocked: Duration::from_secs(60),
        }
    }

    /// For a socket that only connects, or that has its peers from a web server alone: it need not listen.
    pub const fn without_listener(mut self) -> Self {
        self.listener = false;
        self
    }

    /// Wants at least so many connected peers. Default: 0.
    pub const fn min_peers(mut self, peers: usize) -> Self {
        self.min_peers = peers;
        self
    }

    /// Wants no more in the outbox than so many messages and so many bytes. Default: whatever its capacity allows.
    pub const fn max_outbox(mut self, messages: usize, bytes: usize) -> Self {
        self.outbox = Some(Capacity::new(messages, bytes));
        self
    }

    /// A socket of which a thread is blocked for so long, by a handler that does not return, is neither alive nor ready: only a
    /// restart of the program can help. Default: 60 s, after which its heartbeats cease, too.
    pub const fn max_blocked(mut self, time: Duration) -> Self {
        self.max_blocked = time;
        self
    }

    /// Judges a socket.
    pub(crate) fn judge(&self, facts: HealthFacts) -> Health {
        let HealthFacts {
            listens,
            closed,
            draining,
            given_up,
            peers,
            outbox,
            blocked,
        } = facts;
        let blocked = blocked.filter(|(_, time)| *time >= self.max_blocked);
        let live = given_up.is_empty() && blocked.is_none();
        let mut unready: Vec<Unready> = given_up.into_iter().map(Unready::GivenUp).collect();
        unready.extend(blocked.map(|(actor, time)| Unready::Blocked { actor, time }));
        match closed {
            Some(reason) => unready.push(Unready::Closed { reason }),
            None if draining => unready.push(Unready::Draining),
            None => {
                if self.listener && !listens {
                    unready.push(Unready::NoListener);
                }
                if peers < self.min_peers {
                    let least = self.min_peers;
                    unready.push(Unready::FewPeers { peers, least });
                }
                if let Some(bound) = self.outbox
                    && !outbox.is_within(bound)
                {
                    unready.push(Unready::Outbox { outbox, bound });
                }
            }
        }
        Health { live, unready }
    }
}

/// The facts that a socket is judged by.
#[derive(Debug, Default)]
pub(crate) struct HealthFacts {
    pub(crate) listens: bool,
    pub(crate) closed: Option<String>,
    pub(crate) draining: bool,
    pub(crate) given_up: Vec<GivenUp>,
    pub(crate) peers: usize,
    pub(crate) outbox: Capacity,
    /// The actor that has the thread that is blocked for longest, and for how long.
    pub(crate) blocked: Option<(Option<&'static str>, Duration)>,
}

/// A part of a socket that was restarted too often, and that only a new start of the program brings back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GivenUp {
    /// The part, for instance `the listener of tcp://127.0.0.1:25000`.
    pub part: String,
    /// Text of the last failure.
    pub reason: String,
}

/// The health of a socket, at one moment. Its `Display` is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    live: bool,
    unready: Vec<Unready>,
}

impl Health {
    /// False when something was given up, or a thread is blocked for longer than
    /// [`max_blocked`](HealthCriteria::max_blocked), so that only a restart of the program can help. A socket that drains or
    /// was closed by its program is alive.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// True when the socket does its work: all criteria hold.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.unready.is_empty()
    }

    /// The reasons why the socket is not ready; none if it is.
    #[must_use]
    pub fn unready(&self) -> &[Unready] {
        &self.unready
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ready() {
            return f.write_str("ready");
        }
        f.write_str("not ready")?;
        for (index, reason) in self.unready.iter().enumerate() {
            let mark = if index == 0 { ": " } else { "; " };
            write!(f, "{mark}{reason}")?;
        }
        Ok(())
    }
}

/// One reason why a socket is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unready {
    /// The socket listens nowhere: it has not begun to, or it was unbound.
    NoListener,
    /// A part was restarted too often, in this socket or elsewhere in the program.
    GivenUp(GivenUp),
    /// A thread of the socket has not come to its regular tick for longer than
    /// [`max_blocked`](HealthCriteria::max_blocked): a handler there does not return.
    #[non_exhaustive]
    Blocked {
        /// The type of the actor whose handler has the thread, if it is that of a subscription.
        actor: Option<&'static str>,
        /// Time since the tick.
        time: Duration,
    },
    /// The socket takes no new work, and finishes what it has.
    Draining,
    /// The socket is closed.
    #[non_exhaustive]
    Closed {
        /// Reason of the end.
        reason: String,
    },
    /// More waits in the outbox than [`max_outbox`](HealthCriteria::max_outbox) allows.
    #[non_exhaustive]
    Outbox {
        /// Messages and bytes that wait.
        outbox: Capacity,
        /// The bound.
        bound: Capacity,
    },
    /// Fewer peers are connected than [`min_peers`](HealthCriteria::min_peers) wants.
    #[non_exhaustive]
    FewPeers {
        /// Peers that are connected.
        peers: usize,
        /// The least.
        least: usize,
    },
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoListener => f.write_str("no listener"),
            Self::GivenUp(GivenUp { part, reason }) => write!(f, "{part} was given up: {reason}"),
            Self::Blocked { actor, time } => {
                write!(f, "a thread is blocked for {} s", time.as_secs())?;
                match actor {
                    Some(actor) => write!(f, " by {actor}"),
                    None => Ok(()),
                }
            }
            Self::Draining => f.write_str("draining"),
            Self::Closed { reason } => write!(f, "closed: {reason}"),
            Self::Outbox { outbox, bound } => write!(
                f,
                "{} messages and {} bytes wait in the outbox, and {} messages and {} bytes are the most",
                outbox.messages, outbox.bytes, bound.messages, bound.bytes
            ),
            Self::FewPeers { peers, least } => {
                write!(f, "{peers} of the {least} peers that it needs")
            }
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    fn facts() -> HealthFacts {
        HealthFacts {
            listens: true,
            ..HealthFacts::default()
        }
    }

    fn given_up() -> GivenUp {
        GivenUp {
            part: "the listener of tcp://h:1".to_owned(),
            reason: "boom".to_owned(),
        }
    }

    fn told(criteria: HealthCriteria, facts: HealthFacts) -> String {
        criteria.judge(facts).to_string()
    }

    #[test]
    fn a_socket_that_listens_is_ready_and_one_that_does_not_says_so() {
        let criteria = HealthCriteria::new();
        assert_eq!(told(criteria, facts()), "ready");
        let deaf = HealthFacts::default;
        assert_eq!(criteria.judge(deaf()).unready(), [Unready::NoListener]);
        assert_eq!(told(criteria, deaf()), "not ready: no listener");
        assert!(criteria.without_listener().judge(deaf()).is_ready());
    }

    #[test]
    fn all_reasons_are_told_and_only_what_was_given_up_is_not_live() {
        let criteria = HealthCriteria::new().min_peers(2).max_outbox(10, 100);
        let facts = HealthFacts {
            peers: 1,
            outbox: Capacity::new(3, 101),
            ..HealthFacts::default()
        };
        let health = criteria.judge(facts);
        assert!(health.is_live() && !health.is_ready());
        assert_eq!(
            health.to_string(),
            "not ready: no listener; 1 of the 2 peers that it needs; 3 messages and 101 bytes wait in the outbox, \
             and 10 messages and 100 bytes are the most"
        );
        let facts = HealthFacts {
            given_up: vec![given_up()],
            ..facts_with_peers(2)
        };
        let health = criteria.judge(facts);
        assert!(!health.is_live());
        assert_eq!(
            health.to_string(),
            "not ready: the listener of tcp://h:1 was given up: boom"
        );
    }

    #[test]
    fn a_thread_that_is_blocked_for_too_long_is_neither_live_nor_ready() {
        let facts = |seconds| HealthFacts {
            blocked: Some((Some("shop::Clerk"), Duration::from_secs(seconds))),
            ..facts()
        };
        let criteria = HealthCriteria::new();
        assert!(criteria.judge(facts(59)).is_ready());
        let health = criteria.judge(facts(60));
        assert!(!health.is_live());
        assert_eq!(
            health.to_string(),
            "not ready: a thread is blocked for 60 s by shop::Clerk"
        );
        let patient = criteria.max_blocked(Duration::from_secs(61));
        assert!(patient.judge(facts(60)).is_live());
    }

    fn facts_with_peers(peers: usize) -> HealthFacts {
        HealthFacts { peers, ..facts() }
    }

    #[test]
    fn a_bound_that_is_just_reached_holds() {
        let criteria = HealthCriteria::new().min_peers(2).max_outbox(10, 100);
        let facts = HealthFacts {
            outbox: Capacity::new(10, 100),
            ..facts_with_peers(2)
        };
        assert!(criteria.judge(facts).is_ready());
    }

    #[test]
    fn the_end_of_a_socket_is_its_one_reason_and_it_is_alive_meanwhile() {
        let criteria = HealthCriteria::new().min_peers(2);
        let draining = HealthFacts {
            draining: true,
            ..HealthFacts::default()
        };
        let health = criteria.judge(draining);
        assert_eq!(health.unready(), [Unready::Draining]);
        assert!(health.is_live());
        let closed = HealthFacts {
            draining: true,
            closed: Some("close was called".to_owned()),
            ..HealthFacts::default()
        };
        let health = criteria.judge(closed);
        assert_eq!(health.to_string(), "not ready: closed: close was called");
        assert!(health.is_live());
    }
}
