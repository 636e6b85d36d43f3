//! Lines of the log that others can cause, which are limited for the whole process: a stranger who
//! knocks at a port, or a peer that comes again and again, does not fill a disk.

use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;

use crate::clock;
use crate::engine::{LogLimit, LogPermit};

/// Subjects of log lines. Each has a limit of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Topic {
    /// A connection was refused.
    Refused,
    /// A connection was lost on its way to its arbiter.
    Lost,
    /// A limit of the socket was reached.
    LimitReached,
    /// Accepting pauses.
    AcceptPaused,
    /// A peer broke the protocol, and its connection ended.
    BrokenRules,
    /// A peer sent frames that are skipped.
    Malformed,
    /// A peer sent messages whose metadata is malformed.
    BadMetadata,
    /// Published messages wait for a peer.
    SlowSubscriber,
    /// Messages for a slow peer are dropped.
    Shedding,
    /// The connection of a slow peer ended.
    TooSlow,
    /// A connection ended because our handlers stood still.
    Standstill,
    /// A connection ended over messages of its peer that were not read.
    Unread,
    /// A connection ended before its peer had ended its side.
    Unended,
    /// A message will not arrive.
    DeadLetter,
    /// A message that nobody waits for was not sent.
    NotSent,
    /// The authorizer of a socket panicked.
    AuthorizerPanicked,
    /// The matcher of a filter panicked.
    MatcherPanicked,
    /// An actor panicked.
    ActorPanicked,
    /// A handler has had a message for very long.
    HeldTooLong,
    /// An actor that subscribed is gone.
    SubscriberGone,
    /// A peer that a source has found cannot be reached.
    FoundUnreachable,
    /// A source of peers has found some that cannot be dialled.
    Discovery,
    /// The peers of a source have changed.
    Discovered,
    /// Nobody offers a service that is waited for.
    MissingService,
    /// A thread with connections is blocked.
    Blocked,
}

const TOPICS: usize = Topic::Blocked as usize + 1;

static LIMITS: [Mutex<Option<LogLimit>>; TOPICS] = [const { Mutex::new(None) }; TOPICS];

impl Topic {
    /// Lines of one source in a minute. Each panic has a place and a message of its own.
    const fn lines_of_one(self) -> u32 {
        match self {
            Self::ActorPanicked => 20,
            _ => 1,
        }
    }
}

/// Asks for a line about what `source` has caused: an address, a peer, or the name of an actor.
pub(crate) fn line(topic: Topic, source: impl Hash) -> Option<LogPermit> {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let mut limit = LIMITS[topic as usize].lock();
    limit
        .get_or_insert_with(|| LogLimit::new(topic.lines_of_one()))
        .handle_report(clock::now(), hasher.finish())
}
