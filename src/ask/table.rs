//! The asks that a socket has sent and those that it handles: one table, and one sweep for all deadlines.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use super::cancel::CancelToken;
use super::outcome::{AskOutcome, Unanswered};
use crate::clock;
use crate::id::Identity;
use crate::inbox::{Chunk, MessageSet};
use crate::limits::DeliveryGuarantee;
use crate::link::{Bound, Entry, Link, Target};
use crate::payload::{AskEnvelope, AskId, AskKind, AskRefusal};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};

/// The number of asks that are no more than a call to say something.
const PROBE: u64 = u64::MAX;
/// Cancellations that came before their asks were taken, at most.
const EARLY: usize = 1024;

/// Everything that a socket has asked and is being asked.
#[derive(Debug)]
pub(crate) struct Asks {
    /// The first half of the ids of this start.
    start: OnceLock<[u8; 8]>,
    /// True if a received frame may be an answer or a cancellation.
    active: AtomicBool,
    outstanding: Mutex<Outstanding>,
    /// Their number, for those who only want to know whether there are any.
    count: AtomicUsize,
    /// Answers that nobody waited for any more.
    late: AtomicUsize,
    /// Messages that were received and are no application's: answers and cancellations.
    taken: AtomicUsize,
    /// A deadline came that is earlier than the next look of the sweep.
    earlier: Notify,
    /// True if asks are handled here.
    serves: AtomicBool,
    serving: Mutex<Serving>,
}

#[derive(Debug, Default)]
struct Outstanding {
    next: u64,
    by_number: HashMap<u64, Pending>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// When the sweep looks next, if it does without being woken. That may be before the first deadline: asks that are
    /// answered do not change it.
    next_look: Option<Instant>,
}

#[derive(Debug)]
struct Pending {
    deadline: Instant,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    /// Of one peer, and where the ask goes if the link ends before it is written.
    One(Arc<Link>, Target, oneshot::Sender<AskOutcome>),
    /// Those who have not answered, and the answers of the others: one each.
    Many(
        Vec<Arc<Link>>,
        mpsc::UnboundedSender<(Identity, AskOutcome)>,
    ),
}

#[derive(Debug, Default)]
struct Serving {
    in_hand: HashMap<(Identity, AskId), Arc<CancelToken>>,
    early: VecDeque<(Identity, AskId)>,
    /// The last asks that were answered: a cancellation that crossed the answer is not kept.
    answered: VecDeque<(Identity, AskId)>,
}

impl Asks {
    pub(crate) fn new() -> Self {
        Self {
            start: OnceLock::new(),
            active: AtomicBool::new(false),
            outstanding: Mutex::new(Outstanding::default()),
            count: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            earlier: Notify::new(),
            serves: AtomicBool::new(false),
            serving: Mutex::new(Serving::default()),
        }
    }

    fn start(&self) -> &[u8; 8] {
        self.start.get_or_init(|| {
            let random = Identity::random();
            let mut start = [0; 8];
            start.copy_from_slice(&random.as_bytes()[8..]);
            start
        })
    }

    /// True if a received frame may be an answer, or a cancellation.
    #[inline]
    pub(crate) fn are_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Asks that wait for their answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed) as u64
    }

    /// The id of an ask.
    pub(crate) fn id_of(&self, number: u64) -> AskId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(self.start());
        id[8..].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn register(&self, deadline: Instant, sink: Sink) -> u64 {
        self.active.store(true, Ordering::SeqCst);
        let mut outstanding = self.outstanding.lock();
        let next_look = outstanding.next_look;
        let number = outstanding.insert(Pending { deadline, sink });
        self.note_count(&outstanding);
        drop(outstanding);
        if next_look.is_none_or(|look| deadline < look) {
            self.earlier.notify_one();
        }
        number
    }

    fn note_count(&self, outstanding: &Outstanding) {
        self.count
            .store(outstanding.by_number.len(), Ordering::Relaxed);
    }

    /// One peer is about to be asked, by a message to `target`.
    pub(crate) fn register_one(
        &self,
        link: &Arc<Link>,
        target: Target,
        deadline: Instant,
    ) -> (u64, oneshot::Receiver<AskOutcome>) {
        let (sender, receiver) = oneshot::channel();
        let sink = Sink::One(Arc::clone(link), target, sender);
        (self.register(deadline, sink), receiver)
    }

    /// Several peers are about to be asked the same.
    pub(crate) fn register_many(
        &self,
        links: Vec<Arc<Link>>,
        deadline: Instant,
    ) -> (u64, mpsc::UnboundedReceiver<(Identity, AskOutcome)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let sink = Sink::Many(links, sender);
        (self.register(deadline, sink), receiver)
    }

    /// Gives an ask up: nobody waits for the answer any more. Those who have not answered are told.
    pub(crate) fn give_up(&self, number: u64) {
        let mut outstanding = self.outstanding.lock();
        let pending = outstanding.remove(number);
        self.note_count(&outstanding);
        drop(outstanding);
        if let Some(pending) = pending {
            self.call_off(&pending.sink, number);
        }
    }

    /// Tells those who have not answered that nobody waits for it any more, by a message that goes where the ask does: the
    /// next process of an instance that was asked has not got the ask, and would take it for something else.
    fn call_off(&self, sink: &Sink, number: u64) {
        let cancel = AskEnvelope::new(AskKind::Cancel, self.id_of(number)).write(&[]);
        let cancel = Bytes::from(cancel);
        for link in sink.links() {
            let target = match sink {
                Sink::One(_, target, _) => *target,
                Sink::Many(..) => Target::Peer(link.peer()),
            };
            let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, cancel.clone());
            // It only spares the peer work that nobody wants.
            let _ = link.push(&mut entry, Bound::Reply);
        }
    }

    /// One of those who were asked has answered, or will not. False if nobody waits for it.
    pub(crate) fn resolve(&self, number: u64, peer: Identity, outcome: AskOutcome) -> bool {
        let mut outstanding = self.outstanding.lock();
        let Some(pending) = outstanding.by_number.get_mut(&number) else {
            return false;
        };
        match &mut pending.sink {
            Sink::One(link, ..) => {
                if link.peer() != peer {
                    return false;
                }
            }
            Sink::Many(links, sender) => {
                let Some(index) = links.iter().position(|link| link.peer() == peer) else {
                    return false;
                };
                let link = links.swap_remove(index);
                let is_last = links.is_empty();
                // Whoever asked may be gone.
                let _ = sender.send((peer, outcome));
                link.note_ask_ended();
                if is_last {
                    outstanding.remove(number);
                    self.note_count(&outstanding);
                }
                return true;
            }
        }
        let pending = outstanding.remove(number);
        self.note_count(&outstanding);
        drop(outstanding);
        if let Some(Pending {
            sink: Sink::One(.., sender),
            ..
        }) = pending
        {
            let _ = sender.send(outcome);
        }
        true
    }

    /// The same, by the id that the ask was sent with.
    pub(crate) fn resolve_by_id(&self, id: AskId, peer: Identity, outcome: AskOutcome) -> bool {
        let number = id
            .strip_prefix(self.start())
            .and_then(|number| number.try_into().ok());
        number.is_some_and(|number| self.resolve(u64::from_be_bytes(number), peer, outcome))
    }

    /// The id of an ask whose answer nobody waits for: that the peer says anything is all that counts.
    pub(crate) fn probe_id(&self) -> AskId {
        self.active.store(true, Ordering::SeqCst);
        self.id_of(PROBE)
    }

    /// A connection has ended: nobody behind it will answer, nor wait for our answers.
    pub(crate) fn handle_leave(&self, peer: Identity, serial: u64) {
        if !self.are_active() {
            return;
        }
        let numbers: Vec<u64> = {
            let outstanding = self.outstanding.lock();
            let waits = |pending: &Pending| match &pending.sink {
                Sink::One(link, ..) => link.serial() == serial,
                Sink::Many(links, _) => links.iter().any(|link| link.serial() == serial),
            };
            let all = outstanding.by_number.iter();
            all.filter(|(_, pending)| waits(pending))
                .map(|(number, _)| *number)
                .collect()
        };
        for number in numbers {
            self.resolve(number, peer, Err(Unanswered::PeerGone));
        }
        let mut serving = self.serving.lock();
        serving.early.retain(|(asker, _)| *asker != peer);
        serving.answered.retain(|(asker, _)| *asker != peer);
        for ((asker, _), cancel) in &serving.in_hand {
            if *asker == peer {
                cancel.cancel();
            }
        }
    }

    /// The socket is closed: everyone who waits is told.
    pub(crate) fn close(&self) {
        let pending = std::mem::take(&mut *self.outstanding.lock());
        self.count.store(0, Ordering::Relaxed);
        for (_, pending) in pending.by_number {
            for link in pending.sink.links() {
                link.note_ask_ended();
            }
            if let Sink::One(.., sender) = pending.sink {
                let _ = sender.send(Err(Unanswered::Closed));
            }
        }
    }

    /// Ends overdue asks, for as long as it is polled, and tells the peers that were asked.
    pub(crate) async fn sweep(&self) {
        loop {
            let now = clock::now();
            let mut overdue = Vec::new();
            let next = {
                let mut outstanding = self.outstanding.lock();
                while let Some(&(deadline, number)) = outstanding.deadlines.first()
                    && deadline <= now
                {
                    overdue.extend(outstanding.remove(number).map(|pending| (number, pending)));
                }
                self.note_count(&outstanding);
                outstanding.next_look =
                    outstanding.deadlines.first().map(|(deadline, _)| *deadline);
                outstanding.next_look
            };
            for (number, pending) in overdue {
                self.call_off(&pending.sink, number);
                // The end of a stream of replies is the end of its channel.
                if let Sink::One(.., sender) = pending.sink {
                    let _ = sender.send(Err(Unanswered::Timeout));
                }
            }
            let earlier = self.earlier.notified();
            match next {
                None => earlier.await,
                Some(deadline) => {
                    let deadline = tokio::time::Instant::from_std(deadline);
                    // Either way the next round sees what is due.
                    let _ = tokio::time::timeout_at(deadline, earlier).await;
                }
            }
        }
    }

    /// From now on cancellations are looked for.
    pub(crate) fn start_serving(&self) {
        self.serves.store(true, Ordering::SeqCst);
        self.active.store(true, Ordering::SeqCst);
    }

    /// An ask is about to be handled. `None` if it was cancelled before.
    pub(crate) fn begin(&self, asker: Identity, id: AskId) -> Option<Arc<CancelToken>> {
        let mut serving = self.serving.lock();
        if let Some(index) = serving.early.iter().position(|early| *early == (asker, id)) {
            serving.early.remove(index);
            return None;
        }
        let cancel = Arc::new(CancelToken::default());
        serving.in_hand.insert((asker, id), Arc::clone(&cancel));
        Some(cancel)
    }

    /// An ask has been answered.
    pub(crate) fn finish(&self, asker: Identity, id: AskId) {
        let mut serving = self.serving.lock();
        serving.in_hand.remove(&(asker, id));
        serving.end(asker, id);
    }

    /// An ask is not handled, because its time is over.
    pub(crate) fn pass_over(&self, asker: Identity, id: AskId) {
        let mut serving = self.serving.lock();
        serving.early.retain(|early| *early != (asker, id));
        serving.end(asker, id);
    }

    /// An asker has given up. False where no asks are handled.
    fn cancel(&self, asker: Identity, id: AskId) -> bool {
        if !self.serves.load(Ordering::Relaxed) {
            return false;
        }
        let mut serving = self.serving.lock();
        match serving.in_hand.get(&(asker, id)) {
            Some(cancel) => cancel.cancel(),
            None if serving.answered.contains(&(asker, id)) => {}
            None => {
                if serving.early.len() >= EARLY {
                    serving.early.pop_front();
                }
                serving.early.push_back((asker, id));
            }
        }
        true
    }

    /// True, and it is counted, if a message that nobody wants is a cancellation: it is advice, and nobody misses it.
    pub(crate) fn drop_cancel(&self, payload: &[u8]) -> bool {
        let envelope = AskEnvelope::read(payload);
        let is_cancel = envelope.is_some_and(|(envelope, _)| envelope.kind == AskKind::Cancel);
        self.taken
            .fetch_add(usize::from(is_cancel), Ordering::Relaxed);
        is_cancel
    }

    /// Messages that [`intercept`](Self::intercept) and [`drop_cancel`](Self::drop_cancel) have taken so far.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes answers and cancellations out of what was read, before any inbox. `None` if nothing
    /// is left.
    #[cold]
    pub(crate) fn intercept(&self, mut chunk: Chunk) -> Option<Chunk> {
        if self.serves.load(Ordering::Relaxed) {
            // The deadlines of asks count from now.
            chunk.note_arrival(clock::now());
        }
        let peer = chunk.link().peer();
        let mut rest = MessageSet::default();
        let mut acks = Vec::new();
        chunk.for_each(|ordinal, id, payload| {
            if self.takes(peer, payload) {
                acks.extend(id);
            } else {
                rest.insert(ordinal);
            }
        });
        let taken = chunk.messages() - rest.count();
        if taken > 0 {
            self.taken.fetch_add(taken, Ordering::Relaxed);
            chunk.link().finish_unread(&acks, Ok(()));
        }
        chunk.keep(rest)
    }

    fn takes(&self, peer: Identity, payload: &[u8]) -> bool {
        let Some((envelope, body)) = AskEnvelope::read(payload) else {
            return false;
        };
        let outcome = match envelope.kind {
            AskKind::Ask | AskKind::ServiceAsk | AskKind::ServiceTell => return false,
            AskKind::Cancel => return self.cancel(peer, envelope.id),
            AskKind::Reply => Ok(Bytes::copy_from_slice(body)),
            AskKind::Failure => {
                let text = String::from_utf8_lossy(body).into_owned();
                Err(Unanswered::Remote(text))
            }
            AskKind::Refused => match AskRefusal::read(body) {
                Some(refusal) => Err(Unanswered::Refused(refusal)),
                None => return false,
            },
        };
        // Answers to others' asks pass by, as in a relay.
        let Some(number) = envelope.id.strip_prefix(self.start()) else {
            return false;
        };
        let Ok(number) = number.try_into().map(u64::from_be_bytes) else {
            return false;
        };
        if number != PROBE && !self.resolve(number, peer, outcome) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
        true
    }
}

impl Serving {
    /// A cancellation of this ask says nothing any more.
    fn end(&mut self, asker: Identity, id: AskId) {
        if self.answered.len() >= EARLY {
            self.answered.pop_front();
        }
        self.answered.push_back((asker, id));
    }
}

impl Sink {
    /// Those who have not answered.
    fn links(&self) -> &[Arc<Link>] {
        match self {
            Self::One(link, ..) => std::slice::from_ref(link),
            Self::Many(links, _) => links,
        }
    }
}

impl Outstanding {
    fn insert(&mut self, pending: Pending) -> u64 {
        let number = self.next;
        self.next += 1;
        self.deadlines.insert((pending.deadline, number));
        for link in pending.sink.links() {
            link.note_asked();
        }
        self.by_number.insert(number, pending);
        number
    }

    fn remove(&mut self, number: u64) -> Option<Pending> {
        let pending = self.by_number.remove(&number)?;
        for link in pending.sink.links() {
            link.note_ask_ended();
        }
        self.deadlines.remove(&(pending.deadline, number));
        Some(pending)
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
#[path = "table_tests.rs"]
mod tests;
