//! What an inspection tells, as it travels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The format of the reports that this version writes. Members may be added within a format; none changes its meaning.
pub const FORMAT: u32 = 1;

/// A running socket at one moment. Counts are since its start: a rate is the difference of two reports over that of their
/// [`uptime`](Self::uptime). Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Report {
    /// The format of the report: [`FORMAT`].
    pub format: u32,
    /// The version of this crate in the process.
    pub version: String,
    /// The number of the process.
    pub process: u32,
    /// The program, as the process was started; empty where that is not known.
    pub program: PathBuf,
    /// The name of the socket, if it has one.
    pub name: Option<String>,
    /// The identity of the socket, in hexadecimal digits.
    pub identity: String,
    /// The time since the endpoint was opened, with the socket.
    pub uptime: f64,
    /// The phase of the socket: `open`, `closing` or `closed`.
    pub phase: String,
    /// False when something was given up, so that only a new start of the program can help.
    pub live: bool,
    /// The reasons why the socket is not ready; that it does not listen is none.
    pub unready: Vec<String>,
    /// Counts of the whole socket, by their names in [`Stats`](crate::stats::Stats).
    pub totals: BTreeMap<String, u64>,
    /// The peers, in the order in which they came; of more than 1,000 those with the most in their queues.
    pub peers: Vec<Peer>,
    /// Peers that are not listed.
    pub peers_left_out: usize,
    /// The actors that take messages.
    pub handlers: Vec<Handler>,
    /// The threads that a handler blocks.
    pub blocked: Vec<Blocked>,
    /// The services that the socket offers.
    pub offers: Vec<Offer>,
    /// The services that the socket asks.
    pub services: Vec<Followed>,
    /// The supervised actors and trees of the process, those of its sockets included; of more than 256 those with the most
    /// restarts.
    pub children: Vec<Child>,
    /// Messages that will not arrive, by reason. Reasons that have none are left out.
    pub dead_letters: BTreeMap<String, u64>,
    /// The last events of the socket and its peers, 50 at most, the oldest first.
    pub log: Vec<LogLine>,
}

/// A peer that is connected.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Peer {
    /// Its identity, in hexadecimal digits.
    pub peer: String,
    /// Where it is.
    pub address: String,
    /// The transport: `tcp`, `tls`, `ws`, `wss`, `unix` or `memory`.
    pub transport: String,
    /// Our end of the connection: `bind` or `connect`.
    pub role: String,
    /// The time since the connection began.
    pub uptime: f64,
    /// The time since the peer last sent anything.
    pub last_heard: f64,
    /// Messages that wait to be written.
    pub queued: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Messages that may wait to be written.
    pub queue_bound: u64,
    /// Bytes that may wait to be written.
    pub queue_bound_bytes: u64,
    /// Messages that wait for their acknowledgement.
    pub in_flight: u64,
    /// Their payload bytes.
    pub in_flight_bytes: u64,
    /// Messages that were handed to the system.
    pub sent: u64,
    /// Messages that the peer has acknowledged.
    pub acknowledged: u64,
    /// Messages that were sent again.
    pub resent: u64,
    /// Messages of the peer that handlers here were through with.
    pub handled: u64,
    /// How long published messages have waited for the peer, in all.
    pub waited: f64,
    /// How long the link has been full, if it is: from when messages found no room, or were seen to fill three quarters of
    /// it, without it having drained.
    pub full_for: Option<f64>,
}

/// An actor that takes messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Handler {
    /// The type of the actor.
    pub actor: String,
    /// The subscription: its type or group, and its filter.
    pub subscription: String,
    /// Messages that it has taken.
    pub taken: u64,
    /// Messages of the subscription that are received and not handled.
    pub waiting: u64,
    /// How long its handler has been at work on the oldest message that it has not finished; absent for one that answers at
    /// once.
    pub running_for: Option<f64>,
    /// True while it is paused.
    pub paused: bool,
}

/// A thread that does not come to its other work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Blocked {
    /// The type of the actor whose handler has the thread, if one has.
    pub actor: Option<String>,
    /// The name of the thread.
    pub thread: Option<String>,
    /// For how long.
    pub blocked_for: f64,
}

/// A service that the socket offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Offer {
    /// The name of the service.
    pub service: String,
    /// The name of this instance.
    pub instance: String,
    /// Messages that wait for a handler.
    pub waiting: u64,
    /// Messages that were refused.
    pub refused: u64,
}

/// A service that the socket asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Followed {
    /// The name of the service.
    pub service: String,
    /// The instances that are known.
    pub instances: Vec<Instance>,
}

/// An instance of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Instance {
    /// Its name.
    pub instance: String,
    /// The peer that offers it.
    pub peer: String,
    /// Whether it is asked: `ready`, `busy`, `draining`, `left_out` or `down`.
    pub status: String,
    /// Asks of this socket that wait for its answer.
    pub outstanding: u64,
}

/// A supervised actor or tree.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Child {
    /// Its name.
    pub name: String,
    /// Its state: `running`, `backing off` and others.
    pub state: String,
    /// The age of its present incarnation, if it is running.
    pub uptime: Option<f64>,
    /// Its restarts.
    pub restarts: u64,
    /// Those of them that count against its intensity, or of its children if it is a tree.
    pub recent_restarts: u32,
    /// The greatest number of those; one more, and it is given up. 0 before the first restart, or without an intensity of its
    /// own.
    pub max_restarts: u32,
    /// The period in which they are counted; zero if they are counted for ever.
    pub restart_window: f64,
    /// The text of its last panic.
    pub last_panic: Option<String>,
}

/// Something that happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LogLine {
    /// When, in seconds since 1970.
    pub at: f64,
    /// What, for people.
    pub text: String,
}
