//! One service as its consumer sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, broadcast};

use super::event::ServiceEvent;
use super::member::{Member, Purpose};
use super::report::InstanceReport;
use super::view::View;
use crate::clock::{self, sooner};
use crate::engine::service::{
    Candidate, Choice, Instance, InstanceChange, InstanceEffect, InstanceState, KeyHash, KeyHolder,
    NameClaim, ProcessStart, RetryBudget, Silence, TryOutcome, choose,
};
use crate::id::Identity;
use crate::link::Link;
use crate::sync::{Mutex, MutexGuard};

/// Time within which the OFFER comes that explains why an instance says that it does not offer the service.
const STALE_OFFER: Duration = Duration::from_millis(200);
/// Time between two looks at a peer that was silent.
const LISTEN: Duration = Duration::from_millis(50);

/// Whoever was silent for less than this may just be far away.
const LEAST_SILENCE: Duration = Duration::from_millis(20);

/// Events that wait for one who listens, at most.
const MAX_EVENTS: usize = 256;

/// A service that is followed: its instances, and which of them is asked.
#[derive(Debug)]
pub(crate) struct Followed {
    name: Arc<str>,
    /// The identity of the socket itself, whose own offer is an instance, too.
    own: Identity,
    /// Something has changed that those who wait for an instance are to see.
    pub(super) changed: Notify,
    /// Those who listen to what becomes of the instances.
    events: broadcast::Sender<ServiceEvent>,
    pub(super) state: Mutex<View>,
}

/// The instance that is to be asked, or why there is none.
#[derive(Debug)]
pub(crate) enum Pick {
    Instance(Picked),
    /// All that could be asked are busy.
    Busy {
        until: Instant,
    },
    /// There is none now.
    Nobody,
}

/// An instance that was chosen. It counts as outstanding until this is dropped.
#[derive(Debug)]
pub(crate) struct Picked {
    followed: Arc<Followed>,
    link: Arc<Link>,
    reads: u32,
    /// Asks that the instance had answered when it was chosen.
    answers: u32,
    chosen_at: Instant,
}

impl Picked {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Tells an instance by its connection.
    pub(crate) fn serial(&self) -> u64 {
        self.link.serial()
    }

    pub(crate) fn chosen_at(&self) -> Instant {
        self.chosen_at
    }

    /// Whether anything came from the peer since it was chosen.
    pub(crate) fn silence(&self, now: Instant) -> Silence {
        // The socket itself is there, whatever its handlers do.
        let is_own = self.link.peer() == self.followed.own;
        let is_short = now.saturating_duration_since(self.chosen_at) < LEAST_SILENCE;
        match !is_own && !is_short && self.link.reads() == self.reads {
            true => Silence::Silent,
            false => Silence::Spoke,
        }
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        let mut state = self.followed.state.lock();
        if let Some(member) = state.member(self.link.serial()) {
            member.outstanding = member.outstanding.saturating_sub(1);
        }
    }
}

impl Followed {
    pub(super) fn new(name: &str, own: Identity) -> Self {
        // Another one for each socket and each service, and the same in each run of the simulation.
        let seed = KeyHash::of(&[own.as_bytes(), name.as_bytes()].concat());
        Self {
            name: name.into(),
            own,
            changed: Notify::new(),
            events: broadcast::channel(MAX_EVENTS).0,
            state: Mutex::new(View::new(seed.0)),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Time after which the keys of an instance that is gone move.
    pub(super) fn rehome(&self) -> Duration {
        self.state.lock().keys.rehome()
    }

    /// Sets the time after which the keys of an instance that is gone move.
    pub(crate) fn set_rehome(&self, rehome: Duration) {
        self.state.lock().keys.set_rehome(rehome);
    }

    /// True if another instance than our own holds a key.
    pub(super) fn is_held_elsewhere(&self, key: KeyHash) -> bool {
        let mut state = self.state.lock();
        match state.keys.holder_of(key) {
            KeyHolder::Peer(serial) => state
                .member(serial)
                .is_some_and(|member| member.link.peer() != self.own),
            KeyHolder::Absent => true,
            KeyHolder::Nobody => false,
        }
    }

    /// What becomes of the instances from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<ServiceEvent> {
        self.events.subscribe()
    }

    /// Resolves at the next change; it counts from when it is polled or enabled.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Chooses the instance for an ask, which counts as outstanding there from now on.
    pub(crate) fn choose(
        self: &Arc<Self>,
        key: Option<KeyHash>,
        has_tried: impl Fn(u64) -> bool,
    ) -> Pick {
        self.choose_in(self.state.lock(), key, Purpose::Ask, has_tried)
    }

    /// Chooses the instance for a tell, which does not overtake those that have come back. Those that are full come last.
    pub(crate) fn choose_behind_returned(
        self: &Arc<Self>,
        key: Option<KeyHash>,
        is_full: impl Fn(u64) -> bool,
    ) -> Pick {
        let mut state = self.state.lock();
        if state.keeps_back(key) {
            state.kept_back = true;
            return Pick::Nobody;
        }
        self.choose_in(state, key, Purpose::Tell, is_full)
    }

    pub(super) fn choose_in(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, View>,
        key: Option<KeyHash>,
        purpose: Purpose,
        has_tried: impl Fn(u64) -> bool,
    ) -> Pick {
        let index = match key {
            None => {
                let random = state.next_random();
                let members = &state.members;
                let choice = choose(members.len(), random, |index| {
                    let member = &members[index];
                    member.candidate(
                        purpose.is_last_resort(member) || has_tried(member.link.serial()),
                    )
                });
                match choice {
                    Choice::Instance(index) => index,
                    Choice::Busy { until } => return Pick::Busy { until },
                    Choice::Nobody => return Pick::Nobody,
                }
            }
            Some(key) => {
                let KeyHolder::Peer(serial) = state.keys.holder_of(key) else {
                    return Pick::Nobody;
                };
                let mut members = state.members.iter();
                let holder = members.position(|member| member.link.serial() == serial);
                let Some(index) = holder else {
                    return Pick::Nobody;
                };
                match state.members[index].candidate(false) {
                    Candidate::Open { .. } | Candidate::Tried { .. } => index,
                    Candidate::Busy { until } => return Pick::Busy { until },
                    Candidate::Closed => return Pick::Nobody,
                }
            }
        };
        let member = &mut state.members[index];
        member.outstanding += 1;
        if purpose == Purpose::Ask {
            member.instance.handle_asked();
        }
        let (link, answers) = (Arc::clone(&member.link), member.answers);
        drop(state);
        Pick::Instance(Picked {
            followed: Arc::clone(self),
            reads: link.reads(),
            link,
            answers,
            chosen_at: clock::now(),
        })
    }

    /// A try has ended at an instance. True if that changes whether it is asked.
    pub(crate) fn handle_outcome(
        &self,
        picked: &Picked,
        outcome: TryOutcome,
        now: Instant,
    ) -> bool {
        let mut state = self.state.lock();
        let Some(member) = state.member(picked.serial()) else {
            return false;
        };
        let change = match outcome {
            TryOutcome::Answered | TryOutcome::Remote => {
                member.answers = member.answers.wrapping_add(1);
                member.instance.handle_answered()
            }
            TryOutcome::Busy { retry_after } => member.instance.handle_busy(now, retry_after),
            TryOutcome::Draining => member.instance.handle_draining(),
            // Others were answered meanwhile: it is slow, or has much to do, and works.
            TryOutcome::TimedOut if member.answers != picked.answers => None,
            TryOutcome::TimedOut => {
                let silence = picked.silence(now);
                member.reads = member.link.reads();
                member.instance.handle_timeout(now, silence)
            }
            // Its OFFER that says so is on its way.
            TryOutcome::NoSuchService => member.instance.handle_busy(now, STALE_OFFER),
            // Its link takes nothing more, and leaves soon.
            TryOutcome::NotWritten if member.link.is_closed() => member.instance.handle_draining(),
            TryOutcome::NotWritten | TryOutcome::PeerGone => None,
        };
        let Some(change) = change else {
            return false;
        };
        let news = member.news(change);
        drop(state);
        self.tell([news]);
        true
    }

    /// An ask of another service of the peer has timed out, and nothing at all came meanwhile.
    pub(super) fn handle_silent(&self, serial: u64, now: Instant) {
        let mut state = self.state.lock();
        let Some(member) = state.member(serial) else {
            return;
        };
        member.reads = member.link.reads();
        let change = member.instance.handle_timeout(now, Silence::Silent);
        let news = change.map(|change| member.news(change));
        drop(state);
        self.tell(news);
    }

    /// Runs a decision on retries, which are limited over all asks of the service.
    pub(crate) fn with_budget<R>(&self, decide: impl FnOnce(&mut RetryBudget) -> R) -> R {
        decide(&mut self.state.lock().budget)
    }

    /// A peer offers an instance, perhaps again.
    pub(super) fn handle_offered(
        &self,
        link: &Arc<Link>,
        name: &Arc<str>,
        start: ProcessStart,
        restarted: bool,
    ) {
        let serial = link.serial();
        let mut state = self.state.lock();
        state.was_offered = true;
        if state.member(serial).is_none() {
            let member = Member::new(link, name, start, clock::now());
            state.members.push(member);
        }
        let claim = state.keys.handle_offered(name, serial);
        let Some(member) = state.member(serial) else {
            return;
        };
        member.name = Arc::clone(name);
        member.start = start;
        let mut change = match restarted {
            true => Some(member.instance.handle_restarted()),
            false => member.instance.handle_offered(),
        };
        if matches!(claim, NameClaim::SecondHolder { .. }) {
            change = member.instance.handle_second_holder().or(change);
        }
        let news = change.map(|change| member.news(change));
        drop(state);
        self.tell(news);
    }

    /// A peer no longer offers an instance.
    pub(super) fn handle_withdrawn(&self, serial: u64, name: &str, now: Instant) {
        let mut state = self.state.lock();
        let successor = state.keys.handle_withdrawn(name, serial);
        self.remove(state, serial, successor, |instance| {
            instance.handle_withdrawn(now)
        });
    }

    /// The connection of a peer has ended.
    pub(super) fn handle_disconnected(&self, serial: u64, now: Instant) {
        let mut state = self.state.lock();
        let Some(name) = state.member(serial).map(|member| Arc::clone(&member.name)) else {
            return;
        };
        let successor = state.keys.handle_disconnected(&name, serial, now);
        self.remove(state, serial, successor, |instance| {
            instance.handle_disconnected(now)
        });
    }

    fn remove(
        &self,
        mut state: MutexGuard<'_, View>,
        serial: u64,
        successor: Option<u64>,
        leave: impl FnOnce(&mut Instance) -> Option<InstanceChange>,
    ) {
        let left = state.member(serial).and_then(|member| {
            let change = leave(&mut member.instance)?;
            Some(member.news(change))
        });
        state
            .members
            .retain(|member| member.link.serial() != serial);
        let next = state.succeed(successor);
        drop(state);
        self.tell(left.into_iter().chain(next));
    }

    /// A peer is about to end: nothing more goes there, and its keys move.
    pub(super) fn handle_draining(&self, serial: u64) {
        let mut state = self.state.lock();
        let Some(member) = state.member(serial) else {
            return;
        };
        let change = member.instance.handle_draining();
        let drains = change.map(|change| member.news(change));
        let name = Arc::clone(&member.name);
        let successor = state.keys.handle_withdrawn(&name, serial);
        let next = state.succeed(successor);
        drop(state);
        self.tell(drains.into_iter().chain(next));
    }

    /// A peer says whether its instance has room; `None` if it has.
    pub(super) fn handle_load(&self, serial: u64, retry_after: Option<Duration>, now: Instant) {
        let mut state = self.state.lock();
        let Some(member) = state.member(serial) else {
            return;
        };
        let change = match retry_after {
            None => member.instance.handle_ready(),
            Some(retry_after) => member.instance.handle_busy(now, retry_after),
        };
        let news = change.map(|change| member.news(change));
        drop(state);
        self.tell(news);
    }

    /// Time has passed. Yields the links of peers that are to say something, and when there is more to do.
    pub(super) fn handle_time(&self, now: Instant) -> (Vec<Arc<Link>>, Option<Instant>) {
        let mut state = self.state.lock();
        let mut probes = Vec::new();
        let mut news = Vec::new();
        let mut next = None;
        let mut is_open_again = false;
        let moved = !state.keys.handle_deadline(now).is_empty();
        sooner(&mut next, state.keys.next_deadline());
        for member in &mut state.members {
            if member.reads != member.link.reads() {
                let heard = member.instance.handle_heard();
                news.extend(heard.map(|change| member.news(change)));
            }
            match member.instance.handle_deadline(now) {
                None => {}
                Some(InstanceEffect::Announce(change)) => news.push(member.news(change)),
                Some(InstanceEffect::Probe) => probes.push(Arc::clone(&member.link)),
                Some(InstanceEffect::Try) => is_open_again = true,
            }
            sooner(&mut next, member.instance.next_deadline());
            if let InstanceState::LeftOut(_) = member.instance.state() {
                sooner(&mut next, Some(now + LISTEN));
            }
        }
        drop(state);
        self.tell(news);
        if moved || is_open_again {
            self.changed.notify_waiters();
        }
        (probes, next)
    }

    /// The instances now.
    pub(crate) fn report(&self, now: Instant) -> Vec<InstanceReport> {
        let state = self.state.lock();
        state.members.iter().map(|m| m.report(now)).collect()
    }

    /// The connections of the instances that may be asked now.
    pub(crate) fn ready_links(&self) -> Vec<Arc<Link>> {
        let state = self.state.lock();
        let ready = state.members.iter().filter(|m| m.instance.may_be_asked());
        ready.map(|member| Arc::clone(&member.link)).collect()
    }

    /// Instances that may be asked now.
    pub(crate) fn ready(&self) -> usize {
        let state = self.state.lock();
        let ready = state.members.iter().filter(|m| m.instance.may_be_asked());
        ready.count()
    }

    /// Tells those who wait for an instance, and those who listen.
    fn tell(&self, news: impl IntoIterator<Item = ServiceEvent>) {
        let mut is_news = false;
        for event in news {
            tracing::debug!(service = %self.name, ?event, "an instance of a service has changed");
            is_news = true;
            // Perhaps nobody listens.
            let _ = self.events.send(event);
        }
        if is_news {
            self.changed.notify_waiters();
        }
    }
}
