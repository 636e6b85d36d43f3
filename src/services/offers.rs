//! What a socket offers, and which peers were told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::ServiceQueue;
use crate::clock::sooner;
use crate::engine::service::{LoadState, MAX_SERVICES};
use crate::id::Identity;
use crate::link::Link;
use crate::subscription::{Subscription, Subscriptions};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::wire::{
    self, LoadEntry, OfferHead, OfferedState, ServiceEntry, Walk, put_load, put_offer,
};

/// Time between two OFFERs, and between two attempts to tell a peer that reads slowly.
const INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of the longest name.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// Why a service is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOffered {
    /// The name is empty, or longer than 255 bytes.
    Name,
    /// The socket offers as many as it may.
    TooMany,
}

/// Everything that a socket offers.
#[derive(Debug)]
pub(crate) struct Offers {
    start: [u8; 8],
    /// Set once anything was offered.
    offering: AtomicBool,
    /// Set once the socket is about to end.
    draining: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    services: Vec<Arc<ServiceQueue>>,
    generation: u32,
    /// Set while the services differ from those of the generation.
    changed: bool,
    /// Set while peers are not told that the socket is about to end.
    drains: bool,
    /// The OFFER frames of the generation, and the services in them, in their order.
    frames: Vec<u8>,
    listed: Vec<Arc<ServiceQueue>>,
    sent_at: Option<Instant>,
    /// What each connection was sent, by its serial.
    told: HashMap<u64, Told>,
    /// Connections whose peers have seen that the socket is draining.
    seen: Vec<u64>,
}

/// The part of a generation that a connection was sent.
#[derive(Debug, Clone, Copy)]
struct Told {
    generation: u32,
    /// Bytes of its frames.
    bytes: usize,
}

impl Offers {
    pub(super) fn new() -> Self {
        let random = Identity::random();
        let mut start = [0; 8];
        start.copy_from_slice(&random.as_bytes()[8..]);
        Self {
            start,
            offering: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            state: Mutex::new(State::default()),
        }
    }

    /// True once anything was offered.
    #[inline]
    pub(crate) fn are_any(&self) -> bool {
        self.offering.load(Ordering::Relaxed)
    }

    /// The service of this name, which is added if it is new. Peers are told once it has a handler.
    pub(crate) fn open(&self, name: &str, instance: &str) -> Result<Arc<ServiceQueue>, NotOffered> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(NotOffered::Name);
        }
        let mut state = self.state.lock();
        if let Some(known) = state.find(name) {
            return Ok(Arc::clone(known));
        }
        if state.services.len() == MAX_SERVICES {
            return Err(NotOffered::TooMany);
        }
        let new = Arc::new(ServiceQueue::new(name, instance.into()));
        state.services.push(Arc::clone(&new));
        self.offering.store(true, Ordering::SeqCst);
        Ok(new)
    }

    /// Names the instance of a service.
    pub(crate) fn name_instance(
        &self,
        service: &ServiceQueue,
        instance: &str,
    ) -> Result<(), NotOffered> {
        if instance.is_empty() || instance.len() > MAX_NAME_BYTES {
            return Err(NotOffered::Name);
        }
        if *service.instance() != *instance {
            service.set_instance(instance);
            self.state.lock().changed |= service.has_handlers();
        }
        Ok(())
    }

    /// The socket is about to end: peers are told at once.
    pub(super) fn start_draining(&self) {
        if !self.draining.swap(true, Ordering::SeqCst) {
            let mut state = self.state.lock();
            state.changed = true;
            state.drains = true;
        }
    }

    /// True once the socket is about to end.
    pub(super) fn are_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// A peer has seen an offer, behind all that it had sent.
    pub(super) fn handle_seen(&self, serial: u64, generation: u32) {
        let mut state = self.state.lock();
        let is_current = state.generation == generation && !state.drains;
        if is_current && self.are_draining() && !state.seen.contains(&serial) {
            state.seen.push(serial);
        }
    }

    /// True if nothing more is to come by a connection that was not sent in spite of the drain.
    pub(super) fn was_seen_by(&self, serial: u64) -> bool {
        self.state.lock().seen.contains(&serial)
    }

    /// Of these connections, how many have not seen that the socket is about to end, and how many of them have used
    /// a service.
    pub(super) fn unseen(&self, links: &[Arc<Link>]) -> (usize, usize) {
        let state = self.state.lock();
        let unseen = |link: &&Arc<Link>| !state.seen.contains(&link.serial()) && !link.is_closed();
        let used = |link: &&Arc<Link>| state.services.iter().any(|s| s.is_used_by(link.serial()));
        let unseen: Vec<_> = links.iter().filter(unseen).collect();
        let users = unseen.iter().filter(|link| used(link)).count();
        (unseen.len(), users)
    }

    /// Lets a handler join a service. One that is offered no longer is offered again; if another is offered by its name, that
    /// is the one that the handler joins. Yields the service and the handler.
    ///
    /// Nobody [withdraws](Self::withdraw) the service meanwhile.
    pub(super) fn join<M>(
        &self,
        service: &Arc<ServiceQueue>,
        join: impl FnOnce() -> (Arc<Subscription>, M),
    ) -> (Arc<ServiceQueue>, Arc<Subscription>, M) {
        let mut state = self.state.lock();
        let service = state.put_back(service);
        let (handler, member) = join();
        state.changed |= service.add_handler(&handler);
        (service, handler, member)
    }

    /// Takes a service out, and yields its handlers, which nobody joins any more. `None` if it was not offered.
    pub(super) fn withdraw(
        &self,
        service: &Arc<ServiceQueue>,
        subscriptions: &Subscriptions,
    ) -> Option<Vec<Arc<Subscription>>> {
        let mut state = self.state.lock();
        let mut services = state.services.iter();
        let index = services.position(|s| Arc::ptr_eq(s, service))?;
        state.services.remove(index);
        let handlers = service.take_handlers();
        state.changed |= !handlers.is_empty();
        subscriptions.take_apart(&handlers);
        Some(handlers)
    }

    /// Takes out the handlers whose actors are gone, which nobody joins any more, and services of which no other is left. Yields
    /// them with their services.
    pub(super) fn withdraw_deserted(
        &self,
        subscriptions: &Subscriptions,
    ) -> Vec<(Arc<ServiceQueue>, Vec<Arc<Subscription>>)> {
        let mut state = self.state.lock();
        let State {
            services, changed, ..
        } = &mut *state;
        let mut ended = Vec::new();
        services.retain(|service| {
            let deserted = service.take_deserted();
            if deserted.is_empty() {
                return true;
            }
            subscriptions.take_apart(&deserted);
            ended.push((Arc::clone(service), deserted));
            let stays = service.has_handlers();
            *changed |= !stays;
            stays
        });
        ended
    }

    /// The service of this name that is offered, if it has a handler.
    pub(super) fn find(&self, name: &str) -> Option<Arc<ServiceQueue>> {
        let state = self.state.lock();
        let found = state.find(name).filter(|found| found.has_handlers());
        found.cloned()
    }

    /// All services.
    pub(crate) fn all(&self) -> Vec<Arc<ServiceQueue>> {
        self.state.lock().services.clone()
    }

    /// A peer has joined: it is told what peers were told last.
    pub(super) fn handle_join(&self, link: &Link) {
        let mut state = self.state.lock();
        if state.generation > 0 {
            state.tell(link);
        }
    }

    pub(super) fn handle_leave(&self, serial: u64) {
        let mut state = self.state.lock();
        state.told.remove(&serial);
        state.seen.retain(|seen| *seen != serial);
        for service in &state.services {
            service.forget_user(serial);
        }
    }

    /// Tells peers what has changed. Yields when there is more to do.
    pub(super) fn handle_time(&self, now: Instant, links: &[Arc<Link>]) -> Option<Instant> {
        let mut state = self.state.lock();
        let mut next = None;
        if state.changed {
            let due = state.sent_at.map_or(now, |sent| sent + INTERVAL);
            match due <= now || state.drains {
                true => state.encode(self.start, self.are_draining(), now),
                false => next = Some(due),
            }
        }
        if state.generation > 0 {
            for link in links {
                if !state.tell(link) {
                    sooner(&mut next, Some(now + INTERVAL));
                }
            }
        }
        state.tell_loads(now, links, &mut next);
        next
    }
}

impl State {
    fn find(&self, name: &str) -> Option<&Arc<ServiceQueue>> {
        let mut services = self.services.iter();
        services.find(|service| **service.name() == *name)
    }

    /// The service of this name that is offered: this one, if there was none.
    fn put_back(&mut self, service: &Arc<ServiceQueue>) -> Arc<ServiceQueue> {
        if let Some(offered) = self.find(service.name()) {
            return Arc::clone(offered);
        }
        if self.services.len() == MAX_SERVICES {
            tracing::warn!(
                service = %service.name(),
                "a service is not offered again, because the socket offers as many as it may"
            );
        } else {
            service.forget_users();
            self.services.push(Arc::clone(service));
        }
        Arc::clone(service)
    }

    fn encode(&mut self, start: [u8; 8], draining: bool, now: Instant) {
        self.changed = false;
        self.drains = false;
        self.sent_at = Some(now);
        self.generation += 1;
        let announced = self.services.iter().filter(|s| s.has_handlers());
        self.listed = announced.cloned().collect();
        let head = OfferHead {
            start,
            generation: self.generation,
            draining,
        };
        self.frames = Vec::new();
        let names: Vec<_> = self
            .listed
            .iter()
            .map(|s| (Arc::clone(s.name()), s.instance()))
            .collect();
        let entries = names
            .iter()
            .map(|(name, instance)| ServiceEntry { name, instance });
        put_offer(&mut self.frames, head, entries);
    }

    /// Tells a peer frame by frame, so that it never has more than its bound. False if it reads too slowly to be told
    /// all of it now.
    fn tell(&mut self, link: &Link) -> bool {
        if link.is_closed() {
            return true;
        }
        let generation = self.generation;
        let news = Told {
            generation,
            bytes: 0,
        };
        let told = self.told.entry(link.serial()).or_insert(news);
        if told.generation != generation {
            *told = news;
        }
        while let Some(frame) = first_frame(&self.frames[told.bytes..]) {
            if !link.push_about_services(frame) {
                return false;
            }
            told.bytes += frame.len();
        }
        true
    }

    /// Tells those who use a service whose state has changed.
    fn tell_loads(&self, now: Instant, links: &[Arc<Link>], next: &mut Option<Instant>) {
        for (index, service) in (0..).zip(&self.listed) {
            let (told, later) = service.meter().announce(now);
            sooner(next, later);
            let Some(load) = told else { continue };
            let state = match load {
                LoadState::Ready => OfferedState::Ready,
                LoadState::Busy { retry_after } => OfferedState::Busy {
                    retry_after_millis: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
                },
            };
            let mut frames = Vec::new();
            put_load(&mut frames, self.generation, &[LoadEntry { index, state }]);
            for link in links {
                if service.is_used_by(link.serial()) {
                    // What is not told is found by asking.
                    link.push_about_services(&frames);
                }
            }
        }
    }
}

/// The first of several frames.
fn first_frame(frames: &[u8]) -> Option<&[u8]> {
    match wire::walk(frames, u32::MAX) {
        Ok(Walk::Frame(frame)) => Some(&frames[..frame.len()]),
        Ok(_) | Err(_) => None,
    }
}
