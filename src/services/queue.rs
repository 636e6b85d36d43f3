//! One service that is offered.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::engine::service::LoadLimits;
use crate::id::Identity;
use crate::inbox::Chunk;
use crate::subscription::{ServiceMeter, Subscription, Subscriptions};
use crate::sync::{AtomicBool, Mutex, Ordering};

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
    /// Set once it has a handler, so that peers are told of it.
    announced: AtomicBool,
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
            announced: AtomicBool::new(false),
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

    pub(super) fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }

    /// Adds a handler, or finds it if it comes again. True if it is the first.
    pub(super) fn add_handler(&self, subscription: &Arc<Subscription>) -> bool {
        let mut handlers = self.handlers.lock();
        if !handlers
            .iter()
            .any(|other| Arc::ptr_eq(other, subscription))
        {
            handlers.push(Arc::clone(subscription));
        }
        drop(handlers);
        !self.announced.swap(true, Ordering::AcqRel)
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

    /// Ends the handlers whose actors are gone, while others live, and yields the messages that none has in hand.
    pub(super) fn end_deserted(&self, subscriptions: &Subscriptions) -> Vec<Chunk> {
        let mut handlers = self.handlers.lock();
        let is_deserted = |handler: &mut Arc<Subscription>| handler.is_deserted();
        let deserted: Vec<_> = handlers.extract_if(.., is_deserted).collect();
        drop(handlers);
        let mut waiting = Vec::new();
        for handler in &deserted {
            match subscriptions.leave_deserted(handler) {
                Some(rest) => waiting.extend(rest),
                None => {
                    self.add_handler(handler);
                }
            }
        }
        waiting
    }

    /// True if it had handlers and all of their actors are gone.
    pub(super) fn is_deserted(&self) -> bool {
        let handlers = self.handlers.lock();
        !handlers.is_empty() && handlers.iter().all(|handler| handler.is_deserted())
    }

    /// Ends its handlers, and yields the messages that none has in hand.
    pub(super) fn end(&self, subscriptions: &Subscriptions) -> Vec<Chunk> {
        let handlers = std::mem::take(&mut *self.handlers.lock());
        handlers
            .iter()
            .flat_map(|handler| subscriptions.leave_apart(handler))
            .collect()
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

    pub(super) fn is_used_by(&self, serial: u64) -> bool {
        self.users.lock().contains(&serial)
    }
}
