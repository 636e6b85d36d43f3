//! One service that is offered.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::engine::service::LoadLimits;
use crate::id::Identity;
use crate::subscription::{ServiceMeter, Subscription};
use crate::sync::{Mutex, Ordering};

/// Messages that may wait for the handlers of a service, if it is not said.
const LIMITS: LoadLimits = LoadLimits {
    max_queued: 1024,
    max_queued_bytes: 1024 * 1024,
};

/// One service that is offered: its handlers, each with the messages that wait for it, and its load.
#[derive(Debug)]
pub(crate) struct ServiceQueue {
    name: Arc<str>,
    instance: Mutex<Arc<str>>,
    meter: Arc<ServiceMeter>,
    handlers: Mutex<Vec<Arc<Subscription>>>,
    /// Connections, by their serials, that have brought messages.
    users: Mutex<HashSet<u64>>,
    /// Messages with a key that another instance holds, as far as we know.
    split_keys: AtomicU64,
}

impl ServiceQueue {
    pub(super) fn new(name: &str, instance: Arc<str>) -> Self {
        Self {
            name: name.into(),
            instance: Mutex::new(instance),
            meter: Arc::new(ServiceMeter::new(LIMITS)),
            handlers: Mutex::new(Vec::new()),
            users: Mutex::new(HashSet::new()),
            split_keys: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn instance(&self) -> Arc<str> {
        Arc::clone(&self.instance.lock())
    }

    pub(super) fn set_instance(&self, instance: &str) {
        *self.instance.lock() = instance.into();
    }

    pub(crate) fn meter(&self) -> &Arc<ServiceMeter> {
        &self.meter
    }

    /// True if it has a handler, so that peers are told of it.
    pub(super) fn has_handlers(&self) -> bool {
        !self.handlers.lock().is_empty()
    }

    /// Adds a handler, or finds it if it comes again. True if it is the first.
    pub(super) fn add_handler(&self, subscription: &Arc<Subscription>) -> bool {
        let mut handlers = self.handlers.lock();
        let is_first = handlers.is_empty();
        let is_it = |other: &Arc<Subscription>| Arc::ptr_eq(other, subscription);
        if !handlers.iter().any(is_it) {
            handlers.push(Arc::clone(subscription));
        }
        is_first
    }

    /// The handler of a message with this body: one whose actor lives, if there is one.
    pub(super) fn handler_of(&self, peer: Identity, body: &[u8]) -> Option<Arc<Subscription>> {
        let handlers = self.handlers.lock();
        let mut takers = handlers.iter().filter(|handler| handler.takes(peer, body));
        let first = takers.next()?;
        let living = match first.is_deserted() {
            false => None,
            true => takers.find(|handler| !handler.is_deserted()),
        };
        Some(Arc::clone(living.unwrap_or(first)))
    }

    /// Takes out the handlers whose actors are gone.
    pub(super) fn take_deserted(&self) -> Vec<Arc<Subscription>> {
        let mut handlers = self.handlers.lock();
        let deserted = handlers.extract_if(.., |handler| handler.is_deserted());
        deserted.collect()
    }

    /// Takes out all handlers.
    pub(super) fn take_handlers(&self) -> Vec<Arc<Subscription>> {
        std::mem::take(&mut *self.handlers.lock())
    }

    /// A message has come with a key that another instance holds, as far as we know.
    pub(super) fn note_split_key(&self) {
        self.split_keys.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn split_keys(&self) -> u64 {
        self.split_keys.load(Ordering::Relaxed)
    }

    /// A connection has brought a message.
    pub(super) fn note_user(&self, serial: u64) {
        self.users.lock().insert(serial);
    }

    /// A connection has ended.
    pub(super) fn forget_user(&self, serial: u64) {
        self.users.lock().remove(&serial);
    }

    /// Connections may have ended without its knowledge.
    pub(super) fn forget_users(&self) {
        self.users.lock().clear();
    }

    pub(super) fn is_used_by(&self, serial: u64) -> bool {
        self.users.lock().contains(&serial)
    }
}
