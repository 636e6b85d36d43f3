//! All subscriptions of a socket, and how they come and go.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::Guard;
use bytes::Bytes;

use super::distribution::{Distribution, SubscriptionList, Unclaimed};
use super::host::SubscriptionContext;
use super::member::Member;
use super::one_subscription::{PushMode, Siblings, Subscription};
use super::report::SubscriptionReport;
use super::spec::{Key, SubscriptionSpec};
use crate::engine::NeglectWatch;
use crate::event::DeadLetterReason;
use crate::id::Identity;
use crate::inbox::{Arrival, Chunk};
use crate::limits::Capacity;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// How long messages wait for somebody to receive them before the log says so.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// The same, where somebody who receives by `recv` or `messages` may be at work on one, and nobody else is held up.
const HELD_TOO_LONG: Duration = Duration::from_secs(60);

/// All subscriptions of a socket; never empty, because there is always somewhere to wait.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    distribution: Distribution,
    /// Those of offered services, which get no chunk by the list.
    apart: Mutex<Vec<Arc<Subscription>>>,
    context: Arc<SubscriptionContext>,
    edit: Mutex<Edit>,
    /// The log has said that messages are dropped because nobody receives.
    warned: AtomicBool,
    /// Messages that nobody receives.
    unreceived: Mutex<NeglectWatch>,
    /// Messages for `recv` and `messages`, and those that they have handed out.
    called_for: Mutex<NeglectWatch>,
    this: Weak<Subscriptions>,
}

#[derive(Debug)]
struct Edit {
    /// Of the inboxes to come, and of those that are there.
    limits: Capacity,
    closed: bool,
}

/// Messages that were received and not handled, by what becomes of them if the socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unhandled {
    /// A consumer has them in hand.
    pub(crate) unfinished: usize,
    /// Nobody has them: they were sent at most once.
    pub(crate) lost: usize,
    /// Their senders have them, too.
    pub(crate) returned: usize,
}

impl Subscriptions {
    pub(crate) fn new(limits: Capacity, context: Arc<SubscriptionContext>) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let spec = SubscriptionSpec::all(Key::Unclaimed);
            let unclaimed = Subscription::new(spec, limits, &context, this.clone());
            Self {
                distribution: Distribution::new(unclaimed),
                apart: Mutex::new(Vec::new()),
                context,
                edit: Mutex::new(Edit {
                    limits,
                    closed: false,
                }),
                warned: AtomicBool::new(false),
                unreceived: Mutex::new(NeglectWatch::new()),
                called_for: Mutex::new(NeglectWatch::new()),
                this: this.clone(),
            }
        })
    }

    /// Everyone who gets the next chunk.
    #[inline]
    pub(crate) fn load_list(&self) -> Guard<SubscriptionList> {
        self.distribution.load_list()
    }

    /// True if anybody is subscribed now.
    pub(crate) fn has_subscribers(&self) -> bool {
        !self.distribution.claimed().is_empty()
    }

    /// Hands one chunk to everyone in `list` who wants something of it.
    #[inline]
    pub(crate) fn deliver(&self, list: &SubscriptionList, chunk: Chunk, mode: PushMode) {
        self.distribution.deliver(list, chunk, mode);
    }

    /// Accounts for messages that came when nothing more is handed over: those that were sent at most
    /// once are dead letters, the others are sent again.
    pub(crate) fn lose(&self, chunk: Chunk) {
        self.context.lose(chunk);
    }

    /// Where nobody has ever subscribed, drops the oldest messages for room for a read of so many bytes, once
    /// their grace is over.
    pub(crate) fn drop_unclaimed(&self, bytes: usize) -> Unclaimed {
        let became = self.distribution.drop_unclaimed(bytes);
        if became == Unclaimed::Dropped && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "messages that nobody receives are dropped, because the acknowledgements and answers that \
                 this socket waits for are behind them; receive them by subscribe, recv or messages"
            );
        }
        became
    }

    /// True while a reader waits for the first subscription, before it gives up messages that nobody receives.
    pub(crate) fn awaits_first(&self) -> bool {
        self.distribution.awaits_first()
    }

    /// Messages that those who subscribe are through with; it grows for as long as any of them works.
    pub(crate) fn finished(&self) -> usize {
        let all = self.all();
        let finished = all.iter().map(|s| s.inbox.finished());
        finished.fold(0, usize::wrapping_add)
    }

    /// The bounds of all inboxes change; those who wait are to be [told](Self::tell_readers).
    pub(crate) fn set_limits(&self, limits: Capacity) {
        let mut edit = self.edit.lock();
        edit.limits = limits;
        for subscription in self.all() {
            subscription.inbox.set_limits(limits);
        }
    }

    /// There may be room where readers wait.
    pub(crate) fn tell_readers(&self) {
        for subscription in self.distribution.all() {
            subscription.inbox.readers.notify();
        }
    }

    /// The subscription of this key, which is created if it is new. It gets what has waited for it.
    pub(crate) fn open(&self, spec: SubscriptionSpec) -> Arc<Subscription> {
        self.find_or_add(spec, self.edit.lock())
    }

    /// [`open`](Self::open), for an actor whose end is to be noticed, with its member: the one that it
    /// has, if it comes again.
    pub(crate) fn join(
        &self,
        spec: SubscriptionSpec,
        member: Member,
    ) -> (Arc<Subscription>, Arc<Member>) {
        let subscription = self.find_or_add(spec, self.edit.lock());
        let member = subscription.add_member(member);
        (subscription, member)
    }

    /// The subscription of this key, and its member, which gets nothing by the list: whoever has it
    /// [hands messages over](Self::hand_over).
    pub(crate) fn join_apart(
        &self,
        spec: SubscriptionSpec,
        member: Member,
    ) -> (Arc<Subscription>, Arc<Member>) {
        let edit = self.edit.lock();
        let mut apart = self.apart.lock();
        let found = apart.iter().find(|s| s.spec.key == spec.key).cloned();
        let subscription = found.unwrap_or_else(|| {
            let new = Subscription::new(spec, edit.limits, &self.context, self.this.clone());
            if edit.closed {
                new.close();
            }
            apart.push(Arc::clone(&new));
            new
        });
        let member = subscription.add_member(member);
        (subscription, member)
    }

    /// Takes out subscriptions that get nothing by the list: nobody joins them any more.
    pub(crate) fn take_apart(&self, left: &[Arc<Subscription>]) {
        let has_left = |s: &Arc<Subscription>| left.iter().any(|left| Arc::ptr_eq(s, left));
        self.apart.lock().retain(|s| !has_left(s));
    }

    /// Hands messages of a chunk to a subscription that gets nothing by the list. They come back if it has ended and the socket
    /// has not.
    pub(crate) fn hand_over(&self, to: &Subscription, chunk: Chunk) -> Result<(), Chunk> {
        let receipt = chunk.link().acknowledges_receipt();
        let receipt = receipt.then(|| (Arc::clone(chunk.link()), chunk.ids()));
        if let Err(late) = to.inbox.push_over(chunk, Arrival::New) {
            if !self.edit.lock().closed {
                return Err(late);
            }
            self.context.lose(late);
            return Ok(());
        }
        if let Some((link, ids)) = receipt {
            link.handle_receipt(&ids);
        }
        Ok(())
    }

    /// Announces a message of `peer` that no handler will handle.
    pub(crate) fn bury(&self, payload: Bytes, peer: Identity, reason: DeadLetterReason) {
        self.context.bury(payload, peer, reason, None);
    }

    /// All that somebody has.
    fn claimed(&self) -> Vec<Arc<Subscription>> {
        let mut claimed = self.distribution.claimed();
        claimed.extend(self.apart.lock().iter().cloned());
        claimed
    }

    /// All that somebody has, and the unclaimed.
    fn all(&self) -> Vec<Arc<Subscription>> {
        let mut all = self.distribution.all();
        all.extend(self.apart.lock().iter().cloned());
        all
    }

    fn find_or_add(&self, spec: SubscriptionSpec, edit: MutexGuard<'_, Edit>) -> Arc<Subscription> {
        let mut claimed = self.distribution.claimed();
        if let Some(found) = claimed.iter().find(|s| s.spec.key == spec.key) {
            return Arc::clone(found);
        }
        let subscription = Subscription::new(spec, edit.limits, &self.context, self.this.clone());
        if edit.closed {
            // Whoever comes late learns that nothing will.
            subscription.close();
        }
        claimed.push(Arc::clone(&subscription));
        self.distribution.note_arrival();
        let mover = self.distribution.replace(claimed, None);
        drop(edit);
        self.distribution.carry_out(mover);
        subscription
    }

    /// Looks after subscriptions whose actor is gone, and messages that were put off or that nobody
    /// wants.
    pub(crate) fn handle_sweep(&self, now: Instant) {
        let apart = self.apart.lock().clone();
        let list = self.load_list();
        for subscription in list.iter().chain(&apart) {
            subscription.notice_the_dead();
            subscription.handle_sweep(now);
            subscription.warn_of_held(now);
            subscription.warn_of_unfed(now);
        }
        self.warn_of_uncalled(&list, now);
        self.distribution.offer_unclaimed();
        self.distribution.handle_sweep(now);
        self.warn_of_unreceived(now);
    }

    /// Says that messages wait and that nobody receives them: most likely that was forgotten, or the actor that
    /// did is gone.
    fn warn_of_unreceived(&self, now: Instant) {
        let waiting = self.distribution.unreceived();
        let mut watch = self.unreceived.lock();
        let neglected = watch.handle_sweep(now, waiting, 0, FORGOTTEN_AFTER);
        drop(watch);
        if neglected.is_none() {
            return;
        }
        if self.distribution.was_ever_claimed() {
            tracing::warn!(
                waiting,
                "messages wait that nobody receives any more, because all who subscribed are gone; supervise the \
                 actor, or subscribe again"
            );
        } else if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                waiting,
                "messages wait that nobody receives; receive them by subscribe, recv or messages"
            );
        }
    }

    /// Says that nobody goes on with `recv` or `messages`. Once either was called, messages wait for the next
    /// call, and a full queue of them holds up all other subscriptions.
    fn warn_of_uncalled(&self, list: &SubscriptionList, now: Instant) {
        let Some(calls) = list.iter().find(|s| s.spec.key == Key::Calls) else {
            return;
        };
        let patience = match list.len() {
            1 => HELD_TOO_LONG,
            _ => FORGOTTEN_AFTER,
        };
        let (waiting, finished) = (calls.inbox.load().0, calls.inbox.finished());
        let mut watch = self.called_for.lock();
        let neglected = watch.handle_sweep(now, waiting, finished, patience);
        drop(watch);
        if let Some(waited) = neglected {
            tracing::warn!(
                waiting,
                ?waited,
                "nobody goes on with what recv or messages hands out: what came of it counts until it is dropped, what \
                 waits for the next call holds up all other subscriptions when its queue is full, and calling either \
                 once is a subscription for the life of the socket"
            );
        }
    }

    /// Takes up the parked messages of a peer that had left our answers unread.
    #[cold]
    pub(crate) fn relieve(&self) {
        for subscription in self.all() {
            subscription.inbox.relieve();
        }
    }

    /// Ends all of them: nothing more comes out. What nobody has handled is sent again by those who
    /// want an acknowledgement, and is a dead letter otherwise.
    pub(crate) fn close(&self) {
        let mut edit = self.edit.lock();
        edit.closed = true;
        let all = self.all();
        drop(edit);
        // Those that come from now on are closed from the first.
        for subscription in all {
            subscription.close();
        }
    }

    /// Messages that are received, by subscriptions that somebody has, and not yet handled.
    pub(crate) fn in_hand(&self) -> usize {
        let claimed = self.claimed();
        claimed.iter().map(|s| s.inbox.load().0).sum()
    }

    /// What is received and not yet handled.
    pub(crate) fn unhandled(&self) -> Unhandled {
        let (load, in_hand) = (self.load().0, self.in_hand());
        let claimed = waiting(&self.claimed());
        let (_, returned) = waiting(&self.all());
        let unfinished = in_hand.saturating_sub(claimed.0);
        Unhandled {
            unfinished,
            lost: load.saturating_sub(unfinished + returned),
            returned,
        }
    }

    /// Messages that wait for their peers to read our answers, and for no handler.
    pub(crate) fn parked(&self) -> usize {
        self.all().iter().map(|s| s.inbox.parked()).sum()
    }

    /// Messages and bytes in all inboxes.
    pub(crate) fn load(&self) -> (usize, usize) {
        let all = self.all();
        let loads = all.iter().map(|s| s.inbox.load());
        loads.fold((0, 0), |(m, b), (messages, bytes)| {
            (m + messages, b + bytes)
        })
    }

    /// The present subscriptions and their subscribers.
    pub(crate) fn report(&self) -> Vec<SubscriptionReport> {
        let claimed = self.claimed();
        claimed.iter().map(|s| s.report()).collect()
    }

    /// Those of offered services, too.
    #[cfg(feature = "inspection")]
    pub(crate) fn report_all(&self) -> Vec<SubscriptionReport> {
        let apart = self.apart.lock().clone();
        let mut all = self.report();
        all.extend(apart.iter().map(|s| s.report()));
        all
    }
}

/// Messages that wait in inboxes, and those of them that want an acknowledgement.
fn waiting(subscriptions: &[Arc<Subscription>]) -> (usize, usize) {
    let waiting = subscriptions.iter().map(|s| s.inbox.waiting());
    waiting.fold((0, 0), |(all, with_id), (messages, ids)| {
        (all + messages, with_id + ids)
    })
}

impl Siblings for Subscriptions {
    fn adopt_from(&self, left: Arc<Subscription>) {
        self.distribution.adopt_from(&left);
    }

    fn end_deserted(&self, ended: &Subscription) {
        let edit = self.edit.lock();
        let mut claimed = self.distribution.claimed();
        let is_ended = |s: &Arc<Subscription>| std::ptr::eq(Arc::as_ptr(s), ended);
        // Somebody may have joined meanwhile.
        let Some(index) = claimed.iter().position(is_ended) else {
            return;
        };
        if !ended.is_deserted() {
            return;
        }
        let left = claimed.remove(index);
        let mover = self.distribution.replace(claimed, Some(left));
        drop(edit);
        self.distribution.carry_out(mover);
        // Readers that stood in its line go on with the others.
        ended.inbox.readers.notify_all();
    }
}
