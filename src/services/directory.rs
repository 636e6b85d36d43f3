//! What the peers of a socket offer, and the services that are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::followed::Followed;
use crate::clock::sooner;
use crate::engine::service::{Catalog, CatalogStep, MAX_PART_BYTES, OfferPart, ProcessStart};
use crate::id::Identity;
use crate::link::Link;
use crate::sync::Mutex;
use crate::wire::{LoadFrame, OfferFrame, OfferedState};

/// That of a peer whose offer is not complete.
const UNKNOWN: ProcessStart = ProcessStart([0; 8]);

/// The offers of all peers, and the services that somebody asks.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The identity of the socket itself.
    own: Identity,
    state: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the serials of their connections.
    peers: BTreeMap<u64, Provider>,
    services: BTreeMap<Arc<str>, Arc<Followed>>,
    /// Bytes of all catalogs.
    bytes: usize,
    /// So many services are followed before it is looked which are needed no more.
    forget_at: usize,
}

/// A peer that offers services.
#[derive(Debug)]
struct Provider {
    link: Arc<Link>,
    catalog: Catalog,
    /// How often it was told that its drain was seen.
    seen: u32,
}

/// So many services are followed in any case.
const FORGET_FROM: usize = 64;

/// How often one connection is told so, at most: a drain has few changes.
const MAX_SEEN: u32 = 64;

/// The consequence of an OFFER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    Taken,
    /// The peer is about to end: it is to be told that this generation was seen.
    Draining(u32),
    /// It is not used, because it breaks the rules.
    Misfit,
}

/// True if the peer of a link may offer a service.
fn may_offer(link: &Link, name: &str) -> bool {
    let credentials = link.credentials();
    credentials.is_none_or(|credentials| credentials.may_offer(name))
}

impl Directory {
    pub(super) fn new(own: Identity) -> Self {
        Self {
            own,
            state: Mutex::new(Known {
                forget_at: FORGET_FROM,
                ..Known::default()
            }),
        }
    }

    /// True if any service is followed.
    pub(super) fn follows_any(&self) -> bool {
        !self.state.lock().services.is_empty()
    }

    /// The service of this name, if it is followed.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Followed>> {
        self.state.lock().services.get(name).cloned()
    }

    /// Follows a service: yields it with the instances that are known.
    pub(crate) fn follow(&self, name: &str) -> Arc<Followed> {
        let mut state = self.state.lock();
        if let Some(followed) = state.services.get(name) {
            return Arc::clone(followed);
        }
        let followed = Arc::new(Followed::new(name, self.own));
        for Provider { link, catalog, .. } in state.peers.values() {
            let mut services = catalog.services().iter();
            let offered = services.find(|service| *service.name == *name);
            let Some(service) = offered.filter(|_| may_offer(link, name)) else {
                continue;
            };
            let start = catalog.start().unwrap_or(UNKNOWN);
            followed.handle_offered(link, &service.instance, start, false);
            if catalog.is_draining() {
                followed.handle_draining(link.serial());
            }
        }
        if state.services.len() >= state.forget_at {
            // Names that nobody has ever offered, and nobody has in hand or has told anything: they may be made up as the program goes.
            (state.services).retain(|_, known| Arc::strong_count(known) > 1 || known.is_needed());
            state.forget_at = FORGET_FROM.max(2 * state.services.len());
        }
        let known = Arc::clone(followed.name());
        state.services.insert(known, Arc::clone(&followed));
        followed
    }

    /// An OFFER frame has come. All catalogs together take no more than `limit` bytes: what would go above it
    /// is not used.
    pub(super) fn handle_offer(
        &self,
        link: &Arc<Link>,
        frame: OfferFrame<'_>,
        limit: usize,
        now: Instant,
    ) -> Offered {
        let mut state = self.state.lock();
        let Known {
            peers,
            services,
            bytes,
            ..
        } = &mut *state;
        if link.is_closed() {
            // What it offered has gone with it, or is about to: an offer that comes late would stay for ever.
            return Offered::Taken;
        }
        let serial = link.serial();
        // What is withdrawn, or is about to end, is heard in any case.
        let known = peers.get(&serial).map_or(0, |known| known.catalog.bytes());
        let grows = frame.more || frame.services.bytes() > known;
        if *bytes + MAX_PART_BYTES > limit && grows {
            return Offered::Misfit;
        }
        let provider = peers.entry(serial).or_insert_with(|| Provider {
            link: Arc::clone(link),
            catalog: Catalog::new(),
            seen: 0,
        });
        let before = provider.catalog.bytes();
        let step = provider.catalog.handle_part(OfferPart {
            start: ProcessStart(frame.start),
            generation: frame.generation,
            more: frame.more,
            draining: frame.draining,
            services: frame.services.map(|entry| (entry.name, entry.instance)),
        });
        *bytes = *bytes - before + provider.catalog.bytes();
        let change = match step {
            CatalogStep::Incomplete => return Offered::Taken,
            CatalogStep::Ignored(_) => return Offered::Misfit,
            CatalogStep::Replaced(change) => change,
        };
        for removed in &change.removed {
            if let Some(followed) = services.get(&removed.name) {
                followed.handle_withdrawn(serial, &removed.instance, now);
            }
        }
        let offered = match change.restarted {
            true => provider.catalog.services(),
            false => &change.added,
        };
        for service in offered {
            if may_offer(link, &service.name)
                && let Some(followed) = services.get(&service.name)
            {
                let start = ProcessStart(frame.start);
                followed.handle_offered(link, &service.instance, start, change.restarted);
            }
        }
        if !change.draining {
            return Offered::Taken;
        }
        for service in provider.catalog.services() {
            if let Some(followed) = services.get(&service.name) {
                followed.handle_draining(serial);
            }
        }
        if provider.seen == MAX_SEEN {
            return Offered::Misfit;
        }
        provider.seen += 1;
        Offered::Draining(frame.generation)
    }

    /// Bytes, about, that the offers of all peers take.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// A peer said nothing for the whole timeout of an ask: none of its services is asked for now.
    pub(crate) fn handle_silent(&self, serial: u64, now: Instant) {
        for followed in self.followed() {
            followed.handle_silent(serial, now);
        }
    }

    /// A LOAD frame has come.
    pub(super) fn handle_load(&self, serial: u64, frame: LoadFrame<'_>, now: Instant) {
        let state = self.state.lock();
        let Some(provider) = state.peers.get(&serial) else {
            return;
        };
        for entry in frame.entries() {
            let service = provider.catalog.service_at(frame.generation, entry.index);
            let Some(followed) = service.and_then(|service| state.services.get(&service.name))
            else {
                continue;
            };
            match entry.state {
                OfferedState::Ready => followed.handle_load(serial, None, now),
                OfferedState::Busy { retry_after_millis } => {
                    let retry_after = Duration::from_millis(retry_after_millis.into());
                    followed.handle_load(serial, Some(retry_after), now);
                }
                OfferedState::Draining => followed.handle_draining(serial),
            }
        }
    }

    /// Names of services that peers offer, at most so many, and how many others there are.
    pub(super) fn offered_names(&self, most: usize) -> (Vec<Arc<str>>, usize) {
        let state = self.state.lock();
        let services = state.peers.values().flat_map(|peer| {
            let services = peer.catalog.services().iter();
            services.filter(|service| may_offer(&peer.link, &service.name))
        });
        let names: BTreeSet<&Arc<str>> = services.map(|service| &service.name).collect();
        let others = names.len().saturating_sub(most);
        (names.into_iter().take(most).cloned().collect(), others)
    }

    /// A connection has ended. Yields the process that was behind it, if it offered anything.
    pub(super) fn handle_leave(&self, serial: u64, now: Instant) -> Option<ProcessStart> {
        let mut state = self.state.lock();
        let provider = state.peers.remove(&serial)?;
        state.bytes -= provider.catalog.bytes();
        for service in provider.catalog.services() {
            if let Some(followed) = state.services.get(&service.name) {
                followed.handle_disconnected(serial, now);
            }
        }
        provider.catalog.start()
    }

    /// All services that are followed.
    pub(super) fn followed(&self) -> Vec<Arc<Followed>> {
        self.state.lock().services.values().cloned().collect()
    }

    /// Time has passed. Yields the links of peers that are to say something, and when there is more to do.
    pub(super) fn handle_time(&self, now: Instant) -> (Vec<Arc<Link>>, Option<Instant>) {
        let mut probes: Vec<Arc<Link>> = Vec::new();
        let mut next = None;
        for followed in self.followed() {
            let (links, later) = followed.handle_time(now);
            probes.extend(links);
            sooner(&mut next, later);
        }
        (probes, next)
    }
}
