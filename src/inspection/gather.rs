//! Gathers what an inspection tells. It runs on the thread of the endpoint and needs no other, so that a handler which
//! blocks the socket's own thread is seen, too.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{
    Blocked, Child, FORMAT, Followed, Handler, Instance, LogLine, Offer, Peer, Report,
};
use crate::address::Role;
use crate::clock;
use crate::connection::ConnectedPeer;
use crate::connection::connections::Connections;
use crate::core::{SocketCore, Stats};
use crate::excerpt::shortened;
use crate::health::HealthCriteria;
use crate::lifecycle::SocketPhase;
use crate::link::{Fullness, Link};
use crate::services::{InstanceReport, InstanceStatus};
use crate::supervise::{ChildReport, all_children};
use crate::sync::Mutex;
use crate::timer::blocked_threads;

/// Peers that are listed.
const PEERS: usize = 1_000;

/// Children that are listed.
const CHILDREN: usize = 256;

/// Bytes of a text of the program's that is passed on.
const TEXT_BYTES: usize = 200;

/// A thread that comes later than this is listed.
const BLOCKED_FOR: Duration = Duration::from_secs(1);

/// Looks at one socket.
#[derive(Debug)]
pub(super) struct Inspector {
    connections: Arc<Connections>,
    opened: Instant,
    full: Mutex<FullLinks>,
}

impl Inspector {
    pub(super) fn new(connections: &Arc<Connections>) -> Self {
        Self {
            connections: Arc::clone(connections),
            opened: clock::machine(),
            full: Mutex::default(),
        }
    }

    /// The socket now.
    pub(super) fn report(&self) -> Report {
        let core = self.connections.core();
        let now = clock::machine();
        let stats = core.stats();
        let health = core.health(&HealthCriteria::new().without_listener());
        let (peers, peers_left_out) = self.peers(now);
        let dead_letters = stats.losses.by_reason().into_iter();
        let log = core.events.history().into_iter();
        Report {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            program: program(std::env::args_os().next()),
            name: core.config.name.clone(),
            identity: core.config.identity.to_string(),
            uptime: now.saturating_duration_since(self.opened).as_secs_f64(),
            phase: phase(core).to_owned(),
            live: health.is_live(),
            unready: health
                .unready()
                .iter()
                .map(|why| cut(why.to_string()))
                .collect(),
            totals: totals(&stats),
            peers,
            peers_left_out,
            handlers: handlers(core),
            blocked: blocked(),
            offers: offers(core),
            services: services(core, now),
            children: children(),
            dead_letters: dead_letters
                .filter(|(_, count)| *count > 0)
                .map(|(reason, count)| (reason.to_owned(), count))
                .collect(),
            log: log
                .map(|line| LogLine {
                    at: line.at as f64 / 1e3,
                    text: line.text,
                })
                .collect(),
        }
    }

    fn peers(&self, now: Instant) -> (Vec<Peer>, usize) {
        let read = |peer: ConnectedPeer, link: &Link| {
            (link.serial(), peer, link.fullness(), link.handled())
        };
        let mut peers = self.connections.peers_with(read);
        let mut full = self.full.lock();
        let are_full = peers.iter().filter(|(_, _, fullness, _)| fullness.is_full);
        full.see(are_full.map(|(serial, ..)| *serial), now);
        let left_out = peers.len().saturating_sub(PEERS);
        if left_out > 0 {
            peers.sort_by_key(|(_, peer, ..)| std::cmp::Reverse(peer.queued_bytes));
            peers.truncate(PEERS);
        }
        let told = peers.into_iter().map(|(serial, peer, fullness, handled)| {
            let full_for = full.full_for(serial, now).map(|seen| {
                let pressed = fullness.pressed_since.map_or(Duration::ZERO, |since| {
                    clock::uptime(now).saturating_sub(since)
                });
                seen.max(pressed)
            });
            of_peer(&peer, &fullness, handled, full_for)
        });
        (told.collect(), left_out)
    }
}

fn of_peer(
    peer: &ConnectedPeer,
    fullness: &Fullness,
    handled: u64,
    full_for: Option<Duration>,
) -> Peer {
    Peer {
        peer: peer.peer.to_string(),
        address: cut(peer.address.to_string()),
        transport: peer.transport.to_string(),
        role: match peer.role {
            Role::BindEnd => "bind",
            Role::ConnectEnd => "connect",
        }
        .to_owned(),
        uptime: peer.uptime.as_secs_f64(),
        last_heard: peer.last_heard.as_secs_f64(),
        queued: peer.queued_messages as u64,
        queued_bytes: peer.queued_bytes as u64,
        queue_bound: fullness.bound.messages as u64,
        queue_bound_bytes: fullness.bound.bytes as u64,
        in_flight: peer.unacknowledged as u64,
        in_flight_bytes: peer.unacknowledged_bytes as u64,
        sent: fullness.counts.sent,
        acknowledged: fullness.counts.acknowledged,
        resent: fullness.counts.resent,
        handled,
        waited: peer.waited_for.as_secs_f64(),
        full_for: full_for.map(|time| time.as_secs_f64()),
    }
}

fn phase(core: &SocketCore) -> &'static str {
    match core.lifecycle.state().borrow().phase {
        SocketPhase::Open => "open",
        SocketPhase::Closing => "closing",
        SocketPhase::Closed => "closed",
    }
}

fn totals(stats: &Stats) -> BTreeMap<String, u64> {
    let figures = stats.figures();
    figures.map(|(name, value)| (name.to_owned(), value)).into()
}

fn handlers(core: &SocketCore) -> Vec<Handler> {
    let mut handlers = Vec::new();
    for subscription in core.inbound.subscriptions.report_all() {
        for subscriber in subscription.subscribers {
            handlers.push(Handler {
                actor: subscriber.actor.to_owned(),
                subscription: cut(subscription.description.clone()),
                taken: subscriber.taken,
                waiting: subscription.waiting as u64,
                running_for: subscriber.running_for.map(|time| time.as_secs_f64()),
                paused: subscriber.is_paused,
            });
        }
    }
    handlers
}

fn blocked() -> Vec<Blocked> {
    let threads = blocked_threads(BLOCKED_FOR).into_iter();
    threads
        .map(|thread| Blocked {
            actor: thread.actor.map(str::to_owned),
            thread: thread.thread,
            blocked_for: thread.since.as_secs_f64(),
        })
        .collect()
}

fn offers(core: &SocketCore) -> Vec<Offer> {
    let offers = core.services.report().into_iter();
    offers
        .map(|offer| Offer {
            service: cut(offer.name),
            instance: cut(offer.instance),
            waiting: offer.waiting as u64,
            refused: offer.refused,
        })
        .collect()
}

fn services(core: &SocketCore, now: Instant) -> Vec<Followed> {
    let followed = core.services.report_followed(now).into_iter();
    followed
        .map(|(service, instances)| Followed {
            service: cut(service),
            instances: instances.into_iter().map(of_instance).collect(),
        })
        .collect()
}

fn of_instance(instance: InstanceReport) -> Instance {
    Instance {
        instance: cut(instance.name),
        peer: instance.peer.to_string(),
        status: match instance.status {
            InstanceStatus::Ready => "ready",
            InstanceStatus::Busy { .. } => "busy",
            InstanceStatus::Draining => "draining",
            InstanceStatus::LeftOut => "left_out",
            InstanceStatus::Down => "down",
        }
        .to_owned(),
        outstanding: instance.outstanding as u64,
    }
}

fn children() -> Vec<Child> {
    let mut children = all_children();
    if children.len() > CHILDREN {
        children.sort_by_key(|child| std::cmp::Reverse(child.restarts));
        children.truncate(CHILDREN);
    }
    children.into_iter().map(of_child).collect()
}

fn of_child(child: ChildReport) -> Child {
    let recent = child.recent_restarts;
    Child {
        name: cut(child.name.to_string()),
        state: child.state.to_string(),
        uptime: child.uptime.map(|time| time.as_secs_f64()),
        restarts: child.restarts,
        recent_restarts: recent.map_or(0, |recent| recent.count),
        max_restarts: recent.map_or(0, |recent| recent.max_restarts),
        restart_window: recent.map_or(0.0, |recent| recent.window.as_secs_f64()),
        last_panic: child
            .last_panic
            .map(|panic| cut(panic.message().to_owned())),
    }
}

fn cut(text: String) -> String {
    shortened(text, TEXT_BYTES)
}

/// The program, as text: JSON has no other bytes.
fn program(started_as: Option<OsString>) -> PathBuf {
    let started_as = started_as.unwrap_or_default();
    started_as.to_string_lossy().into_owned().into()
}

/// Since when links were seen to be full, by the serial of their connections.
#[derive(Debug, Default)]
struct FullLinks(HashMap<u64, Instant>);

impl FullLinks {
    /// These are full now. Others are forgotten.
    fn see(&mut self, full: impl Iterator<Item = u64>, now: Instant) {
        let before = mem::take(&mut self.0);
        let since = |serial| (serial, before.get(&serial).copied().unwrap_or(now));
        self.0 = full.map(since).collect();
    }

    /// How long this one has been seen to be full; `None` if it is not.
    fn full_for(&self, serial: u64, now: Instant) -> Option<Duration> {
        let since = self.0.get(&serial)?;
        Some(now.saturating_duration_since(*since))
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_link_is_full_since_it_was_first_seen_so_without_a_break() {
        let start = clock::machine();
        let at = |second| start + Duration::from_secs(second);
        let mut links = FullLinks::default();
        links.see([1, 2].into_iter(), at(0));
        links.see([2, 3].into_iter(), at(5));
        links.see([1, 2].into_iter(), at(7));
        let told = [1, 2, 3].map(|serial| links.full_for(serial, at(9)));
        let [two, nine] = [2, 9].map(Duration::from_secs);
        assert_eq!(told, [Some(two), Some(nine), None]);
    }

    #[test]
    fn a_program_whose_name_is_no_text_is_told_all_the_same() {
        let name = OsString::from_vec(b"/bin/\xff-shop".to_vec());
        let told = serde_json::to_string(&program(Some(name))).unwrap();
        assert_eq!(told, "\"/bin/\u{fffd}-shop\"");
        assert_eq!(program(None), PathBuf::new());
    }
}
