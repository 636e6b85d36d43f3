//! Subscriptions: who gets what a socket receives.

mod lease;
mod pump;
mod sync_result;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};

pub(crate) use lease::{Decision, Detached, Settle};
pub(crate) use pump::Pump;

use crate::inbox::{Chunk, Inbox, InboxLimits};
use crate::link::Link;
use crate::sync::Mutex;

/// What tells one subscription of a socket from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Nobody's: what arrives before anybody subscribed waits here.
    Lobby,
    /// `recv` and `messages`, which compete.
    Calls,
    /// A handler: the actor's address, and the type that it receives.
    Handler { address: u64, message: &'static str },
    /// A group of handlers that compete.
    Group(String),
    /// A recipient, by number.
    Recipient(u64),
}

/// One subscription. All of them get every message; each counts for the acknowledgement.
pub(crate) struct Subscription {
    key: Mutex<Key>,
    pub(crate) inbox: Inbox,
    /// Messages that a handler put off, and until when.
    delayed: Mutex<Vec<(Instant, Chunk)>>,
    /// Whether its subscribers, one or the members of a group, may still come back for it. Empty
    /// if there is nobody whose end could be noticed.
    alive: Mutex<Vec<Alive>>,
    /// It is no longer among the socket's subscriptions, and others are.
    ended: AtomicBool,
}

/// A subscriber: its number, and a way to ask whether it still has its mailbox.
pub(crate) struct Alive {
    pub(crate) subscriber: u64,
    pub(crate) check: Box<dyn Fn() -> bool + Send>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("key", &*self.key.lock())
            .field("inbox", &self.inbox)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    fn new(key: Key, limits: InboxLimits) -> Arc<Self> {
        Arc::new(Self {
            key: Mutex::new(key),
            inbox: Inbox::new(limits),
            delayed: Mutex::new(Vec::new()),
            alive: Mutex::new(Vec::new()),
            ended: AtomicBool::new(false),
        })
    }

    /// Returns what was taken and not handled: it is the first to be taken again.
    pub(crate) fn give_back(&self, chunk: Chunk) {
        self.inbox.give_back(chunk);
        self.finish_if_ended();
    }

    /// Hands over what was read under a reservation. False if it is dropped, because the socket is
    /// closing.
    pub(crate) fn push(&self, chunk: Chunk, reserved: usize) -> bool {
        let Err(mut chunk) = self.inbox.push(chunk, reserved) else {
            return true;
        };
        let ended = self.ended.load(Ordering::SeqCst);
        if ended {
            // It ended after the reader had looked whom the chunk is for.
            finish_all(&mut chunk);
        }
        ended
    }

    /// Once a subscription has ended, whatever comes back to it is finished as far as it is
    /// concerned, or the acknowledgement would wait for it for ever.
    fn finish_if_ended(&self) {
        if !self.ended.load(Ordering::SeqCst) {
            return;
        }
        let delayed = std::mem::take(&mut *self.delayed.lock());
        let delayed = delayed.into_iter().map(|(_, chunk)| chunk);
        for mut chunk in self.inbox.close().into_iter().chain(delayed) {
            finish_all(&mut chunk);
        }
    }

    fn has_ended(&self) -> bool {
        let alive = self.alive.lock();
        !alive.is_empty() && !alive.iter().any(|alive| (alive.check)())
    }

    /// Delivers a message again at `when`.
    pub(crate) fn delay(&self, chunk: Chunk, when: Instant) {
        self.delayed.lock().push((when, chunk));
        self.finish_if_ended();
    }

    fn handle_sweep(&self, now: Instant) {
        let due: Vec<Chunk> = {
            let mut delayed = self.delayed.lock();
            let (due, later) = std::mem::take(&mut *delayed)
                .into_iter()
                .partition(|(when, _)| *when <= now);
            *delayed = later;
            let mut due: Vec<(Instant, Chunk)> = due;
            due.sort_by_key(|(when, _)| *when);
            due.into_iter().map(|(_, chunk)| chunk).collect()
        };
        for chunk in due.into_iter().rev() {
            self.give_back(chunk);
        }
    }
}

/// All subscriptions of a socket; never empty, because there is always somewhere to wait.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    limits: InboxLimits,
    list: ArcSwap<Vec<Arc<Subscription>>>,
    edit: Mutex<Phase>,
}

/// Whether subscriptions still get anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

impl Subscriptions {
    pub(crate) fn new(limits: InboxLimits) -> Self {
        let lobby = Subscription::new(Key::Lobby, limits);
        Self {
            limits,
            list: ArcSwap::from_pointee(vec![lobby]),
            edit: Mutex::new(Phase::Open),
        }
    }

    /// Everyone who gets the next chunk.
    #[inline]
    pub(crate) fn load_list(&self) -> Guard<Arc<Vec<Arc<Subscription>>>> {
        self.list.load()
    }

    /// The subscription of this key, which is created if it is new. The first one gets what has
    /// waited for it.
    pub(crate) fn open(&self, key: Key, alive: Option<Alive>) -> Arc<Subscription> {
        let phase = self.edit.lock();
        let list = self.list.load_full();
        let found = list.iter().find(|s| *s.key.lock() == key);
        let lobby = list.iter().find(|s| *s.key.lock() == Key::Lobby);
        let subscription = match found.or(lobby) {
            Some(subscription) => {
                *subscription.key.lock() = key;
                Arc::clone(subscription)
            }
            None => {
                let subscription = Subscription::new(key, self.limits);
                if *phase == Phase::Closed {
                    // Whoever comes late learns that nothing will.
                    subscription.inbox.close();
                }
                let mut list = Vec::clone(&list);
                list.push(Arc::clone(&subscription));
                self.list.store(Arc::new(list));
                subscription
            }
        };
        let mut members = subscription.alive.lock();
        if let Some(alive) = alive {
            // A restarted actor comes again.
            members.retain(|other| other.subscriber != alive.subscriber && (other.check)());
            members.push(alive);
        }
        drop(members);
        subscription
    }

    /// Ends a subscription whose subscriber will not come back. The last one becomes the lobby;
    /// what another still held is finished as far as it is concerned.
    pub(crate) fn end(&self, ended: &Arc<Subscription>) {
        let _edit = self.edit.lock();
        let list = self.list.load_full();
        if !list.iter().any(|s| Arc::ptr_eq(s, ended)) {
            return;
        }
        if list.len() == 1 {
            *ended.key.lock() = Key::Lobby;
            ended.alive.lock().clear();
            return;
        }
        let rest: Vec<_> = list
            .iter()
            .filter(|s| !Arc::ptr_eq(s, ended))
            .cloned()
            .collect();
        self.list.store(Arc::new(rest));
        ended.ended.store(true, Ordering::SeqCst);
        ended.finish_if_ended();
    }

    /// Looks after subscriptions whose actor is gone, and messages that were put off.
    pub(crate) fn handle_sweep(&self, now: Instant) {
        let list = self.list.load_full();
        for subscription in list.iter() {
            if subscription.has_ended() {
                self.end(subscription);
            } else {
                subscription.handle_sweep(now);
            }
        }
    }

    /// Ends all of them: nothing more comes out.
    pub(crate) fn close(&self) -> Vec<Chunk> {
        let mut phase = self.edit.lock();
        *phase = Phase::Closed;
        let list = self.list.load_full();
        list.iter().flat_map(|s| s.inbox.close()).collect()
    }

    /// Messages and bytes in all inboxes.
    pub(crate) fn load(&self) -> (usize, usize) {
        let list = self.list.load_full();
        list.iter()
            .map(|s| s.inbox.load())
            .fold((0, 0), |(m, b), (messages, bytes)| {
                (m + messages, b + bytes)
            })
    }
}

/// One subscription less has to finish what is left of a chunk.
fn finish_all(chunk: &mut Chunk) {
    let link: Arc<Link> = Arc::clone(chunk.link());
    let mut acks = Vec::new();
    loop {
        let mark = chunk.mark();
        let Some(message) = chunk.next() else { break };
        if let Some(id) = message.id
            && chunk.finish(mark)
        {
            acks.push(id);
        }
    }
    if !acks.is_empty() {
        link.handle_finished(&acks);
    }
}
