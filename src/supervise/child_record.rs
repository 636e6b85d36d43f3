//! What a supervised child shares with its supervisor, its watchers and whoever inspects it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use actix::Recipient;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::event::{Notices, RestartEvent};
use super::monitor::{Down, DownReason};
use super::panics::PanicReport;
use super::report::ChildState;
use crate::clock;

/// What a supervisor tells a child. A later kind outranks an earlier one that has not been taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Command {
    /// Fail, because this linked actor failed. A child that is told to run has no incarnation that could fail.
    Crash(Arc<str>),
    /// Begin an incarnation after a pause.
    Run(Duration),
    /// End the incarnation and wait for what comes next.
    Halt,
    /// End the incarnation and the child.
    End,
}

/// Who is told when an incarnation ends.
#[derive(Debug)]
pub(crate) enum Watcher {
    Monitor(oneshot::Sender<DownReason>),
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

/// The lasting identity of a child: actor or nested tree.
#[derive(Debug)]
pub(crate) struct ChildCell {
    name: Arc<str>,
    /// Whether a command waits, so that a busy child looks at one atomic and at no lock.
    commanded: AtomicBool,
    orders: Mutex<Orders>,
    vitals: Mutex<Vitals>,
    watchers: Mutex<Vec<Watcher>>,
    links: Mutex<Vec<Weak<ChildCell>>>,
    notices: Mutex<Option<Notices>>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Orders {
    command: Option<Command>,
    waker: Option<Waker>,
}

/// What an inspection says about a child.
#[derive(Clone, Debug)]
pub(crate) struct Vitals {
    pub(crate) state: ChildState,
    pub(crate) restarts: u64,
    pub(crate) last_panic: Option<PanicReport>,
    pub(crate) running_since: Option<Instant>,
    /// Why the last incarnation went down, while there is no other.
    pub(crate) down: Option<DownReason>,
}

impl ChildCell {
    pub(crate) fn new(name: Arc<str>, notices: Option<Notices>) -> Arc<Self> {
        Arc::new(Self {
            name,
            commanded: AtomicBool::new(false),
            orders: Mutex::default(),
            vitals: Mutex::new(Vitals {
                state: ChildState::Waiting,
                restarts: 0,
                last_panic: None,
                running_since: None,
                down: None,
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

    /// Leaves a command for the child, unless a stronger one is there.
    pub(crate) fn command(&self, command: Command) {
        let waker = {
            let mut orders = self.orders.lock();
            if orders
                .command
                .as_ref()
                .is_none_or(|waiting| *waiting <= command)
            {
                orders.command = Some(command);
            }
            self.commanded.store(true, Ordering::Release);
            orders.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes commands wake the task that this is called in, from now on.
    pub(crate) async fn listen(&self) {
        poll_fn(|cx| {
            self.orders.lock().waker = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    }

    /// Whether a command waits.
    pub(crate) fn is_commanded(&self) -> bool {
        self.commanded.load(Ordering::Acquire)
    }

    pub(crate) fn take_command(&self) -> Option<Command> {
        let mut orders = self.orders.lock();
        self.commanded.store(false, Ordering::Release);
        orders.command.take()
    }

    /// Waits for the next command, in the task that listens.
    pub(crate) async fn next_command(&self) -> Command {
        poll_fn(|_| self.take_command().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Forgets a crash that was meant for an earlier incarnation.
    pub(crate) fn forget_crash(&self) {
        let mut orders = self.orders.lock();
        if matches!(orders.command, Some(Command::Crash(_))) {
            orders.command = None;
            self.commanded.store(false, Ordering::Release);
        }
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

    /// Marks the child as starting, for the first time or again.
    pub(crate) fn starting(&self, incarnations: u64) {
        self.update(|vitals| {
            vitals.state = ChildState::Starting;
            vitals.restarts = incarnations.saturating_sub(1);
            vitals.down = None;
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
            self.tell_watcher(watcher, &DownReason::Unsupervised);
        }
    }

    /// Tells everyone who watches that the incarnation has ended.
    pub(crate) fn down(&self, reason: &DownReason) {
        self.update(|vitals| vitals.down = Some(reason.clone()));
        let watchers = std::mem::take(&mut *self.watchers.lock());
        for watcher in watchers {
            self.tell_watcher(watcher, reason);
        }
    }

    fn tell_watcher(&self, watcher: Watcher, reason: &DownReason) {
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
    pub(crate) fn unlink(self: &Arc<Self>, failure: Failure) {
        let links = std::mem::take(&mut *self.links.lock());
        for peer in links.iter().filter_map(Weak::upgrade) {
            let this = Arc::downgrade(self);
            peer.links.lock().retain(|link| !link.ptr_eq(&this));
            match failure {
                Failure::Spreads => peer.command(Command::Crash(self.name())),
                Failure::None => {}
            }
        }
    }

    /// Sends events to `notices` unless the child was given a recipient of its own.
    pub(crate) fn adopt_notices(&self, notices: &Notices) {
        self.notices.lock().get_or_insert_with(|| notices.clone());
    }

    pub(crate) fn notices(&self) -> Option<Notices> {
        self.notices.lock().clone()
    }

    pub(crate) fn tell(&self, event: RestartEvent) {
        if let Some(notices) = self.notices() {
            notices.tell(event);
        }
    }

    /// Marks the child as ended and tells everyone who still waits for that.
    pub(crate) fn end(self: &Arc<Self>) {
        self.unlink(Failure::None);
        let (watchers, reason) = {
            let mut watchers = self.watchers.lock();
            let reason = self.update(|vitals| {
                vitals.state = ChildState::Ended;
                vitals.running_since = None;
                vitals.down.clone().unwrap_or(DownReason::Stopped)
            });
            (std::mem::take(&mut *watchers), reason)
        };
        for watcher in watchers {
            self.tell_watcher(watcher, &reason);
        }
        let notices = self.notices.lock().take();
        if let Some(notices) = notices {
            let child = self.name();
            notices.tell_last(RestartEvent::Ended { child, reason });
        }
        self.ended.notify_waiters();
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

/// Whether the end of an incarnation is a failure that links pass on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    None,
    Spreads,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_command_replaces_a_weaker_one_and_never_the_reverse() {
        let run = || Command::Run(Duration::from_secs(1));
        let crash = || Command::Crash(Arc::from("peer"));
        let left = |commands: [Command; 2]| {
            let cell = ChildCell::new(Arc::from("child"), None);
            commands
                .into_iter()
                .for_each(|command| cell.command(command));
            cell.take_command()
        };
        assert_eq!(left([crash(), run()]), Some(run()));
        assert_eq!(left([run(), crash()]), Some(run()));
        assert_eq!(left([run(), Command::Halt]), Some(Command::Halt));
        assert_eq!(left([Command::End, Command::Halt]), Some(Command::End));
    }

    #[test]
    fn a_crash_that_was_meant_for_an_earlier_incarnation_is_forgotten() {
        let cell = ChildCell::new(Arc::from("child"), None);
        cell.command(Command::Crash(Arc::from("peer")));
        cell.forget_crash();
        assert!(!cell.is_commanded());
        cell.command(Command::Halt);
        cell.forget_crash();
        assert_eq!(cell.take_command(), Some(Command::Halt));
    }
}
