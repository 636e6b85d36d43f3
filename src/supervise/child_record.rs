//! The lasting record of a child, shared with its supervisor, its watchers and whoever inspects it.

use std::sync::{Arc, Weak};
use std::time::Instant;

use actix::Recipient;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::child_state::ChildState;
use super::command::{Command, CommandSlot};
use super::down::{Down, ExitReason};
use super::event::{RestartEvent, RestartNotices};
use super::panics::PanicReport;
use crate::engine::restart_intensity::RestartWindow;
use crate::{clock, telemetry};

/// A party that is told when an incarnation ends.
#[derive(Debug)]
pub(crate) enum Watcher {
    Monitor(oneshot::Sender<ExitReason>),
    Recipient(Recipient<Down>),
}

impl Watcher {
    fn is_gone(&self) -> bool {
        match self {
            Self::Monitor(tx) => tx.is_closed(),
            Self::Recipient(recipient) => !recipient.connected(),
        }
    }
}

/// The identity of an actor or nested tree, which outlasts its incarnations.
#[derive(Debug)]
pub(crate) struct ChildRecord {
    name: Arc<str>,
    pub(crate) commands: CommandSlot,
    vitals: Mutex<Vitals>,
    watchers: Mutex<Vec<Watcher>>,
    links: Mutex<Vec<Weak<ChildRecord>>>,
    notices: Mutex<Option<RestartNotices>>,
    ended: Notify,
}

/// The figures that an inspection shows.
#[derive(Clone, Debug)]
pub(crate) struct Vitals {
    pub(crate) state: ChildState,
    pub(crate) restarts: u64,
    pub(crate) last_panic: Option<PanicReport>,
    pub(crate) running_since: Option<Instant>,
    /// The end of the last incarnation, while there is no other.
    pub(crate) down: Option<ExitReason>,
    /// The restarts that count against the intensity; absent before the first.
    pub(crate) spent: Option<Box<RestartWindow>>,
}

/// The end of an incarnation, as its links see it: only a failure is passed on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinkedFailure {
    None,
    Spreads,
}

impl ChildRecord {
    pub(crate) fn new(name: Arc<str>, notices: Option<RestartNotices>) -> Arc<Self> {
        Arc::new(Self {
            name,
            commands: CommandSlot::default(),
            vitals: Mutex::new(Vitals {
                state: ChildState::Waiting,
                restarts: 0,
                last_panic: None,
                running_since: None,
                down: None,
                spent: None,
            }),
            watchers: Mutex::default(),
            links: Mutex::default(),
            notices: Mutex::new(notices),
            ended: Notify::new(),
        })
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(crate) fn vitals(&self) -> Vitals {
        self.vitals.lock().clone()
    }

    pub(crate) fn state(&self) -> ChildState {
        self.vitals.lock().state
    }

    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Vitals) -> R) -> R {
        change(&mut self.vitals.lock())
    }

    /// Marks the child as starting, for the first time or again.
    pub(crate) fn starting(&self, incarnations: u64) {
        self.update(|vitals| {
            vitals.state = ChildState::Starting;
            vitals.restarts = incarnations.saturating_sub(1);
            vitals.down = None;
        });
        if incarnations > 1 {
            telemetry::note_restart(&self.name());
        }
    }

    /// Marks the child as running, and tells that it was restarted if this is not the first time.
    pub(crate) fn running(&self) {
        let (child, restarts) = self.update(|vitals| {
            vitals.state = ChildState::Running;
            vitals.running_since = Some(clock::now());
            (self.name(), vitals.restarts)
        });
        if restarts > 0 {
            self.tell(RestartEvent::Restarted { child, restarts });
        }
    }

    /// Notes the restarts that count against the intensity, one more than before.
    pub(crate) fn note_spent(&self, window: Option<&RestartWindow>) {
        let spent = window.cloned().map(Box::new);
        self.update(|vitals| vitals.spent = spent);
    }

    /// Marks the child as one whose incarnation is gone.
    pub(crate) fn waiting(&self) {
        self.update(|vitals| {
            vitals.state = ChildState::Waiting;
            vitals.running_since = None;
        });
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        let refused = {
            let mut watchers = self.watchers.lock();
            // Under the lock that `end` takes, so that no watcher is added after the last one was told.
            match self.state() {
                ChildState::Ended => Some(watcher),
                _ => {
                    watchers.retain(|watcher| !watcher.is_gone());
                    watchers.push(watcher);
                    None
                }
            }
        };
        if let Some(watcher) = refused {
            self.tell_watcher(watcher, &ExitReason::Unsupervised);
        }
    }

    /// Tells every watcher that the incarnation has ended.
    pub(crate) fn down(&self, reason: &ExitReason) {
        self.update(|vitals| vitals.down = Some(reason.clone()));
        let watchers = std::mem::take(&mut *self.watchers.lock());
        for watcher in watchers {
            self.tell_watcher(watcher, reason);
        }
    }

    fn tell_watcher(&self, watcher: Watcher, reason: &ExitReason) {
        let (actor, reason) = (self.name(), reason.clone());
        match watcher {
            Watcher::Monitor(tx) => drop(tx.send(reason)),
            Watcher::Recipient(recipient) => recipient.do_send(Down { actor, reason }),
        }
    }

    pub(crate) fn link(&self, peer: &Arc<Self>) {
        let mut links = self.links.lock();
        links.retain(|link| link.strong_count() > 0 && !link.ptr_eq(&Arc::downgrade(peer)));
        links.push(Arc::downgrade(peer));
    }

    /// Ends all links and, after a failure, makes the linked actors fail.
    pub(crate) fn unlink(self: &Arc<Self>, failure: LinkedFailure) {
        let links = std::mem::take(&mut *self.links.lock());
        for peer in links.iter().filter_map(Weak::upgrade) {
            let this = Arc::downgrade(self);
            peer.links.lock().retain(|link| !link.ptr_eq(&this));
            match failure {
                LinkedFailure::Spreads => peer.commands.put(Command::Crash(self.name())),
                LinkedFailure::None => {}
            }
        }
    }

    /// Sends events to `notices` unless the child was given a recipient of its own.
    pub(crate) fn adopt_notices(&self, notices: &RestartNotices) {
        self.notices.lock().get_or_insert_with(|| notices.clone());
    }

    pub(crate) fn notices(&self) -> Option<RestartNotices> {
        self.notices.lock().clone()
    }

    pub(crate) fn tell(&self, event: RestartEvent) {
        if let Some(notices) = self.notices() {
            notices.deliver(event);
            notices.follow_up();
        }
    }

    /// Marks the child as ended and tells everyone who still waits for that.
    pub(crate) fn end(self: &Arc<Self>) {
        self.unlink(LinkedFailure::None);
        let (watchers, reason) = {
            let mut watchers = self.watchers.lock();
            let reason = self.update(|vitals| {
                vitals.state = ChildState::Ended;
                vitals.running_since = None;
                vitals.down.clone().unwrap_or(ExitReason::Stopped)
            });
            (std::mem::take(&mut *watchers), reason)
        };
        for watcher in watchers {
            self.tell_watcher(watcher, &reason);
        }
        let notices = self.notices.lock().take();
        if let Some(notices) = notices {
            let child = self.name();
            notices.deliver(RestartEvent::Ended { child, reason });
        }
        self.ended.notify_waiters();
    }

    /// Ends the child whatever it does, and waits until it has ended.
    pub(crate) async fn stop(&self) {
        self.commands.put(Command::End);
        self.ended().await;
    }

    /// Waits until the child has ended.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.state() == ChildState::Ended {
                return;
            }
            ended.await;
        }
    }
}
