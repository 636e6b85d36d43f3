//! All subscriptions of a socket, and how they come and go.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use super::{Key, Member, Subscription, SubscriptionSpec};
use crate::clock;
use crate::event::SocketEvent;
use crate::inbox::Chunk;
use crate::limits::Capacity;
use crate::routing::SocketCore;
use crate::sync::{Mutex, MutexGuard};

/// After the last subscription came, how long messages that nobody wants wait for the next one.
/// An actor with several types subscribes to them one after another.
pub(super) const SETTLING: Duration = Duration::from_secs(1);

/// Everyone who gets the next chunk.
pub(crate) type List = Arc<Vec<Arc<Subscription>>>;

/// All subscriptions of a socket; never empty, because there is always somewhere to wait.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    pub(super) list: ArcSwap<Vec<Arc<Subscription>>>,
    /// Where messages wait that nobody wants yet. It is in the list while there is no other.
    pub(super) unclaimed: Arc<Subscription>,
    edit: Mutex<Edit>,
}

#[derive(Debug)]
struct Edit {
    /// Of the inboxes to come, and of those that are there.
    limits: Capacity,
    closed: bool,
    /// When the last subscription came.
    changed: Option<Instant>,
}

impl Subscriptions {
    pub(crate) fn new(limits: Capacity) -> Self {
        let unclaimed = Subscription::new(SubscriptionSpec::all(Key::Unclaimed), limits);
        Self {
            list: ArcSwap::from_pointee(vec![Arc::clone(&unclaimed)]),
            unclaimed,
            edit: Mutex::new(Edit {
                limits,
                closed: false,
                changed: None,
            }),
        }
    }

    /// Everyone who gets the next chunk.
    #[inline]
    pub(crate) fn load_list(&self) -> Guard<List> {
        self.list.load()
    }

    /// The bounds of all inboxes change; those who wait are to be [told](Self::tell_readers).
    pub(crate) fn set_limits(&self, limits: Capacity) {
        let mut edit = self.edit.lock();
        edit.limits = limits;
        let list = self.list.load_full();
        for subscription in list.iter().chain([&self.unclaimed]) {
            subscription.inbox.set_limits(limits);
        }
    }

    /// There may be room where readers wait.
    pub(crate) fn tell_readers(&self) {
        let list = self.list.load_full();
        for subscription in list.iter().chain([&self.unclaimed]) {
            subscription.inbox.readers.notify();
        }
    }

    /// The subscription of this key, which is created if it is new, and its member: the one that it
    /// has, if the actor comes again. It gets what has waited for it.
    pub(crate) fn open(&self, spec: SubscriptionSpec) -> Arc<Subscription> {
        self.find_or_add(spec, self.edit.lock())
    }

    /// [`open`](Self::open), for an actor whose end is to be noticed.
    pub(crate) fn join(
        &self,
        spec: SubscriptionSpec,
        member: Member,
    ) -> (Arc<Subscription>, Arc<Member>) {
        let edit = self.edit.lock();
        let subscription = self.find_or_add(spec, edit);
        let mut members = subscription.members.lock();
        members.retain(|other| other.is_alive());
        let again = members
            .iter()
            .find(|other| other.subscriber == member.subscriber);
        let member = match again {
            Some(member) => Arc::clone(member),
            None => {
                members.push(Arc::new(member));
                Arc::clone(&members[members.len() - 1])
            }
        };
        drop(members);
        (subscription, member)
    }

    fn find_or_add(
        &self,
        spec: SubscriptionSpec,
        mut edit: MutexGuard<'_, Edit>,
    ) -> Arc<Subscription> {
        let list = self.list.load_full();
        if let Some(found) = list.iter().find(|s| s.spec.key == spec.key) {
            return Arc::clone(found);
        }
        let subscription = Subscription::new(spec, edit.limits);
        if edit.closed {
            // Whoever comes late learns that nothing will.
            subscription.inbox.close();
        }
        let others = list.iter().filter(|s| !Arc::ptr_eq(s, &self.unclaimed));
        let list = others.chain([&subscription]).cloned().collect();
        self.list.store(Arc::new(list));
        self.unclaimed.left.store(true, Ordering::SeqCst);
        edit.changed = Some(clock::now());
        drop(edit);
        self.offer_unclaimed();
        subscription
    }

    /// Whether messages that nobody wants may soon be wanted.
    pub(super) fn is_settling(&self) -> bool {
        let changed = self.edit.lock().changed;
        changed.is_some_and(|at| clock::now().saturating_duration_since(at) < SETTLING)
    }

    /// Ends a subscription whose subscribers will not come back. What it still held goes to whoever
    /// else wants it.
    pub(crate) fn end(&self, ended: &Arc<Subscription>) {
        let edit = self.edit.lock();
        let list = self.list.load_full();
        // Somebody may have joined meanwhile.
        if !list.iter().any(|s| Arc::ptr_eq(s, ended)) || !ended.is_deserted() {
            return;
        }
        let others = list.iter().filter(|s| !Arc::ptr_eq(s, ended));
        let mut rest: Vec<_> = others.cloned().collect();
        if rest.is_empty() {
            rest.push(Arc::clone(&self.unclaimed));
            self.unclaimed.left.store(false, Ordering::SeqCst);
        }
        self.list.store(Arc::new(rest));
        ended.left.store(true, Ordering::SeqCst);
        drop(edit);
        self.adopt_from(ended);
        // Readers that stood in its line go on with the others.
        ended.inbox.readers.notify_all();
    }

    /// Looks after subscriptions whose actor is gone, and messages that were put off or that nobody
    /// wants.
    pub(crate) fn handle_sweep(&self, core: &SocketCore, now: Instant) {
        let list = self.list.load_full();
        for subscription in list.iter() {
            self.notice_the_dead(subscription, core);
            subscription.handle_sweep(now);
        }
        if self.unclaimed.has_left() {
            self.offer_unclaimed();
        }
    }

    /// Reports the members of a subscription that are gone, and ends it with the last of them.
    pub(crate) fn notice_the_dead(&self, subscription: &Arc<Subscription>, core: &SocketCore) {
        let deserted = subscription.is_deserted();
        let gone: Vec<Arc<Member>> = {
            let mut members = subscription.members.lock();
            let gone = members.iter().filter(|member| !member.is_alive()).cloned();
            let gone = gone.collect();
            // The last ones stay, so that it is known that there was somebody.
            if !deserted {
                members.retain(|member| member.is_alive());
            }
            gone
        };
        if deserted {
            self.end(subscription);
        }
        for member in gone.iter().filter(|member| !member.has_left()) {
            member.leave();
            core.socket_events.announce(&SocketEvent::SubscriberGone {
                actor: member.actor.to_owned(),
                subscription: subscription.describe(),
            });
        }
    }

    /// What was set aside of a peer that had left our answers unread may be taken up.
    #[cold]
    pub(crate) fn relieve(&self) {
        for subscription in self.list.load().iter().chain([&self.unclaimed]) {
            subscription.inbox.relieve();
        }
    }

    /// Ends all of them: nothing more comes out.
    pub(crate) fn close(&self) -> Vec<Chunk> {
        let mut edit = self.edit.lock();
        edit.closed = true;
        let list = self.list.load_full();
        let unclaimed = self.unclaimed.inbox.close();
        let all = list.iter().flat_map(|s| s.inbox.close());
        unclaimed.into_iter().chain(all).collect()
    }

    /// Messages that are received, by subscriptions that somebody has, and not yet handled.
    pub(crate) fn in_hand(&self) -> usize {
        let list = self.list.load();
        let real = list.iter().filter(|s| !Arc::ptr_eq(s, &self.unclaimed));
        real.map(|subscription| subscription.inbox.load().0).sum()
    }

    /// Messages that wait for their peers to read our answers, and for no handler.
    pub(crate) fn parked(&self) -> usize {
        let list = self.list.load();
        list.iter().map(|s| s.inbox.parked()).sum()
    }

    /// Messages and bytes in all inboxes.
    pub(crate) fn load(&self) -> (usize, usize) {
        let list = self.list.load_full();
        let unclaimed = self.unclaimed.has_left().then_some(&self.unclaimed);
        list.iter()
            .chain(unclaimed)
            .map(|s| s.inbox.load())
            .fold((0, 0), |(m, b), (messages, bytes)| {
                (m + messages, b + bytes)
            })
    }
}
