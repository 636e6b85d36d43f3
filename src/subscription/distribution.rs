//! The way of a chunk from a connection into the inboxes: who wants which of its messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use smallvec::SmallVec;

use super::one_subscription::{PushMode, Subscription};
use super::spec::{Delivery, Key};
use super::transfer::{Mover, Transfers};
use crate::clock;
use crate::engine::UnclaimedGrace;
use crate::event::DeadLetterReason;
use crate::id::MessageId;
use crate::inbox::{Chunk, LetGo, MessageSet};
use crate::sync::Mutex;
use crate::wire::NotHandled;

/// After the last subscription came, how long messages that nobody wants wait for the next one.
/// An actor with several types subscribes to them one after another.
const SETTLING: Duration = Duration::from_secs(1);

/// Everyone who gets the next chunk.
pub(crate) type SubscriptionList = Arc<Vec<Arc<Subscription>>>;

/// Everyone who gets messages, and where messages wait that nobody wants yet.
#[derive(Debug)]
pub(super) struct Distribution {
    list: ArcSwap<Vec<Arc<Subscription>>>,
    /// Holds messages that nobody wants yet. It is in the list while there is no other.
    unclaimed: Arc<Subscription>,
    /// When the last subscription came.
    changed: Mutex<Option<Instant>>,
    grace: Mutex<UnclaimedGrace>,
    transfers: Transfers,
}

/// What became of messages that nobody has ever subscribed to and that are in the way of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unclaimed {
    /// There are none.
    None,
    /// They wait for a subscription a little longer.
    Wait,
    /// The oldest were dropped.
    Dropped,
}

/// The messages of a chunk that one subscription gets.
struct Portion<'a> {
    subscription: &'a Arc<Subscription>,
    selection: MessageSet,
}

impl Distribution {
    pub(super) fn new(unclaimed: Arc<Subscription>) -> Self {
        Self {
            list: ArcSwap::from_pointee(vec![Arc::clone(&unclaimed)]),
            unclaimed,
            changed: Mutex::new(None),
            grace: Mutex::default(),
            transfers: Transfers::default(),
        }
    }

    /// Everyone who gets the next chunk.
    #[inline]
    pub(super) fn load_list(&self) -> Guard<SubscriptionList> {
        self.list.load()
    }

    /// Those that somebody has.
    pub(super) fn claimed(&self) -> Vec<Arc<Subscription>> {
        let list = self.list.load();
        let claimed = list.iter().filter(|s| !Arc::ptr_eq(s, &self.unclaimed));
        claimed.cloned().collect()
    }

    /// Those that somebody has, and the unclaimed.
    pub(super) fn all(&self) -> Vec<Arc<Subscription>> {
        let mut all = self.claimed();
        all.push(Arc::clone(&self.unclaimed));
        all
    }

    /// Replaces those that somebody has. Where there are none, messages wait in the unclaimed. What waits elsewhere, also for one that
    /// has left, is to be [moved](Self::carry_out), and nothing that is read from now on overtakes it.
    pub(super) fn replace(
        &self,
        mut claimed: Vec<Arc<Subscription>>,
        left: Option<Arc<Subscription>>,
    ) -> Option<Mover<'_>> {
        let mut transfers = self.transfers.lock();
        claimed.iter().for_each(|s| transfers.hold(s));
        transfers.hold(&self.unclaimed);
        let none = claimed.is_empty();
        if none {
            claimed.push(Arc::clone(&self.unclaimed));
            self.unclaimed.set_left(false);
        }
        self.list.store(Arc::new(claimed));
        if !none {
            self.unclaimed.set_left(true);
        }
        if let Some(left) = &left {
            left.set_left(true);
        }
        transfers.begin(left)
    }

    /// A subscription has come.
    pub(super) fn note_arrival(&self) {
        *self.changed.lock() = Some(clock::now());
    }

    /// True if anybody has ever subscribed.
    pub(super) fn was_ever_claimed(&self) -> bool {
        self.changed.lock().is_some()
    }

    /// Messages that wait while nobody receives.
    pub(super) fn unreceived(&self) -> usize {
        match self.unclaimed.has_left() {
            true => 0,
            false => self.unclaimed.inbox.load().0,
        }
    }

    /// Where nobody has ever subscribed, drops the oldest messages for room for a read of so many bytes, once
    /// their grace is over: they are dead letters, and acknowledged.
    #[cold]
    pub(super) fn drop_unclaimed(&self, bytes: usize) -> Unclaimed {
        if self.was_ever_claimed() || self.unclaimed.inbox.load().0 == 0 {
            return Unclaimed::None;
        }
        if !self.grace.lock().handle_shortage(clock::now()) {
            return Unclaimed::Wait;
        }
        let dropped = self.unclaimed.inbox.drop_oldest(bytes);
        for chunk in &dropped {
            self.bury_all(chunk, DeadLetterReason::Unclaimed, NotHandled::Unclaimed);
        }
        Unclaimed::Dropped
    }

    /// True while messages that nobody has ever subscribed to are in the way of acknowledgements and answers, and
    /// are not given up yet.
    #[cold]
    pub(super) fn awaits_first(&self) -> bool {
        !self.was_ever_claimed() && self.grace.lock().is_running()
    }

    /// Readers go on when the grace of what nobody has ever subscribed to is over.
    pub(super) fn handle_sweep(&self, now: Instant) {
        let ends = self.grace.lock().handle_sweep(now);
        if ends {
            self.unclaimed.inbox.readers.notify_all();
        }
    }

    /// Announces all messages of a chunk as dead letters, and refuses and acknowledges them, or their senders
    /// would resend them for ever.
    fn bury_all(&self, chunk: &Chunk, reason: DeadLetterReason, not_handled: NotHandled) {
        let link = chunk.link();
        let mut acks = Vec::new();
        let mut rest = chunk.clone();
        while let Some(span) = rest.next() {
            let context = &self.unclaimed.context;
            context.bury(chunk.payload(span), link.peer(), reason, None);
            acks.extend(chunk.id(span));
        }
        if !acks.is_empty() {
            link.refuse(&acks, not_handled);
        }
    }

    /// True if messages that nobody wants may soon be wanted.
    fn is_settling(&self) -> bool {
        let changed = *self.changed.lock();
        changed.is_some_and(|at| clock::now().saturating_duration_since(at) < SETTLING)
    }

    /// One chunk to everyone who wants something of it, under a reservation of so many bytes in
    /// each inbox of `list`.
    #[inline]
    pub(super) fn deliver(&self, list: &SubscriptionList, chunk: Chunk, mode: PushMode) {
        let on_receipt = chunk.link().acknowledges_receipt();
        let receipt = on_receipt.then(|| (Arc::clone(chunk.link()), chunk.ids()));
        let taken = match &list[..] {
            [only] if only.is_plain() => {
                let taken = only.push_all(chunk, mode);
                if only.has_left() {
                    self.adopt_from(only);
                }
                taken
            }
            _ => self.distribute(list, chunk, mode),
        };
        if let Some((link, ids)) = receipt
            && taken
        {
            link.handle_receipt(&ids);
        }
    }

    /// Moves messages that came into, or back to, a subscription that has left to those that are there.
    #[cold]
    pub(super) fn adopt_from(&self, left: &Arc<Subscription>) {
        if left.spec.key == Key::Unclaimed {
            self.offer_unclaimed();
        } else {
            self.move_messages(Some(Arc::clone(left)));
        }
    }

    /// Moves unclaimed messages, while there are subscriptions, to those that want them.
    #[cold]
    pub(super) fn offer_unclaimed(&self) {
        if self.unclaimed.has_left() && self.unclaimed.inbox.load().0 > 0 {
            self.move_messages(None);
        }
    }

    fn move_messages(&self, left: Option<Arc<Subscription>>) {
        let mut transfers = self.transfers.lock();
        self.all().iter().for_each(|s| transfers.hold(s));
        self.carry_out(transfers.begin(left));
    }

    /// Moves messages until there are none left to be moved. If somebody else is at it, that one does.
    pub(super) fn carry_out(&self, mover: Option<Mover<'_>>) {
        let Some(mut mover) = mover else { return };
        while let Some(left) = mover.next() {
            // Those who have left had theirs before what nobody has claimed since.
            // By one list for all: what goes to the unclaimed by an older list is moved on below, and nothing has overtaken it.
            let list = self.list.load_full();
            for subscription in left {
                self.move_from(&subscription, &list);
            }
            self.move_unclaimed();
        }
    }

    fn move_from(&self, left: &Subscription, list: &SubscriptionList) {
        for chunk in left.take_all() {
            // What an observer had not looked at is nobody's.
            if left.spec.delivery != Delivery::Observing {
                self.adopt(list, chunk);
            }
        }
    }

    fn move_unclaimed(&self) {
        if !self.unclaimed.has_left() {
            return;
        }
        let waiting = self.unclaimed.inbox.drain();
        if !waiting.is_empty() {
            let context = &self.unclaimed.context;
            // First of all of them: an ask that was cancelled is not handled.
            let waiting = waiting
                .into_iter()
                .filter_map(|chunk| context.take_out(chunk));
            let waiting: Vec<Chunk> = waiting.collect();
            let list = self.list.load_full();
            for chunk in waiting {
                self.distribute(&list, chunk, PushMode::Moved);
            }
        }
    }

    /// Messages that nobody else has, or has had, go to those who want them now; the others wait no longer for this
    /// subscription, or their acknowledgement would for ever.
    fn adopt(&self, list: &SubscriptionList, chunk: Chunk) {
        let mut alone = MessageSet::default();
        let mut acks = Vec::new();
        let mut rest = chunk.clone();
        while rest.messages() > 0 {
            let (mark, ordinal) = (rest.bookmark(), rest.ordinal());
            let Some(span) = rest.next() else { break };
            match (chunk.let_go(mark), chunk.id(span)) {
                (LetGo::Unhandled, _) => alone.insert(ordinal),
                (LetGo::Finished(Ok(())), Some(id)) => acks.push(id),
                (LetGo::Finished(Err(reason)), Some(id)) => chunk.link().refuse(&[id], reason),
                (LetGo::Finished(_), None) | (LetGo::Elsewhere, _) => {}
            }
        }
        if !acks.is_empty() {
            chunk.link().handle_finished(&acks);
        }
        if alone.count() > 0 {
            self.distribute(list, chunk.select(alone).owned(), PushMode::Moved);
        }
    }

    /// Finds the subscriptions that want a message, and hands it over. False if the socket is closing.
    fn distribute(&self, list: &SubscriptionList, mut chunk: Chunk, mode: PushMode) -> bool {
        if let [unclaimed] = &list[..]
            && Arc::ptr_eq(unclaimed, &self.unclaimed)
        {
            // Whoever serves may come later than the asks.
            chunk.note_arrival(clock::now());
            let taken = unclaimed.push(chunk, mode);
            if unclaimed.has_left() {
                self.offer_unclaimed();
            }
            return taken;
        }
        let mut portions: SmallVec<[Portion<'_>; 4]> = list
            .iter()
            .map(|subscription| Portion {
                subscription,
                selection: MessageSet::default(),
            })
            .collect();
        let first = chunk.ordinal();
        let mut open: Vec<u16> = vec![0; first];
        let mut unwanted = MessageSet::default();
        let mut seen: Vec<MessageId> = Vec::new();
        let peer = chunk.link().peer();
        let mut settling = None;
        let serves = list.iter().any(|subscription| subscription.spec.serves);
        chunk.for_each(|ordinal, id, payload| {
            let (mut gating, mut watched) = (0, false);
            let served = serves
                && portions.iter().any(|portion| {
                    let spec = &portion.subscription.spec;
                    spec.serves && spec.filter.takes(peer, payload)
                });
            for portion in &mut portions {
                let spec = &portion.subscription.spec;
                let served_elsewhere =
                    served && !spec.serves && spec.delivery != Delivery::Observing;
                if !served_elsewhere && spec.filter.takes(peer, payload) {
                    portion.selection.insert(ordinal);
                    match portion.subscription.spec.delivery {
                        Delivery::Gating | Delivery::Conflating => gating += 1,
                        Delivery::Observing => watched = true,
                    }
                }
            }
            if gating == 0 {
                let wait = *settling.get_or_insert_with(|| self.is_settling());
                if wait || !watched {
                    unwanted.insert(ordinal);
                    for portion in &mut portions {
                        portion.selection.remove(ordinal);
                    }
                } else {
                    // Those who only look have it, and nobody else will.
                    seen.extend(id);
                }
            }
            open.resize(ordinal, 0);
            open.push(gating);
        });
        if !seen.is_empty() {
            chunk.link().handle_finished(&seen);
        }
        if unwanted.count() > 0 {
            self.set_aside(&chunk, unwanted, settling == Some(true), mode);
            if !Arc::ptr_eq(list, &self.list.load()) {
                // Who wants them may have come meanwhile, and gets the next of the same peer without waiting for these.
                self.offer_unclaimed();
            }
        }
        if open.iter().any(|gating| *gating > 1) {
            chunk.share(open);
        }
        let mut taken = true;
        for portion in portions {
            taken &= portion.hand_over(self, &chunk, mode);
        }
        taken
    }

    /// Nobody wants these messages. While subscriptions are still coming they wait; otherwise they
    /// are dead letters, and acknowledged, or their senders would resend them for ever.
    #[cold]
    fn set_aside(&self, chunk: &Chunk, unwanted: MessageSet, settling: bool, mode: PushMode) {
        let inbox = &self.unclaimed.inbox;
        let kept = match mode {
            _ if !settling => Err(chunk.select(unwanted)),
            // A few of many are copied, so that what waits is what was counted.
            PushMode::Reserved(_) if 2 * unwanted.count() < chunk.messages() => {
                inbox.try_push(chunk.copy_of(&unwanted), mode.arrival())
            }
            PushMode::Reserved(_) => inbox.try_push(chunk.select(unwanted), mode.arrival()),
            // It was accepted before.
            PushMode::Over | PushMode::Moved => {
                inbox.push_over(chunk.select(unwanted), mode.arrival())
            }
        };
        if let Err(part) = kept {
            self.bury_all(&part, DeadLetterReason::Unwanted, NotHandled::Unwanted);
        }
    }
}

impl Portion<'_> {
    fn hand_over(self, all: &Distribution, chunk: &Chunk, mode: PushMode) -> bool {
        let subscription = self.subscription;
        if self.selection.count() == 0 {
            if let PushMode::Reserved(bytes) = mode {
                subscription.unreserve(bytes);
            }
            return true;
        }
        let chunk = chunk.select(self.selection);
        let taken = subscription.push(chunk, mode);
        if subscription.has_left() {
            all.adopt_from(subscription);
        }
        taken
    }
}
