//! DiscoveryActor: follows a source of peers, and starts and stops their dialers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Display;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::dialer::{DialMemory, DialTarget};
use crate::clock;
use crate::core::SocketCore;
use crate::discovery::{Discover, DiscoveredPeer, SourceError};
use crate::engine::{
    Backoff, Delays, DiscoveredSet, Following, LogPermit, Outage, Recovery, SetChange,
};
use crate::event::SocketEvent;
use crate::telemetry::{self, Topic};
use crate::transport::ConnectOptions;

/// The most peers of one source that are dialled.
const MAX_PEERS: usize = 4096;

/// Between two dialers that start.
const PACE: Duration = Duration::from_millis(5);

/// Pauses after a failure, unless the source has some of its own.
const RETRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Who starts and stops dialers for a discovery.
pub(super) trait DialerHost {
    /// The socket that dials.
    fn core(&self) -> &Arc<SocketCore>;
    /// Dials a peer that was found.
    fn start_found(&self, target: DialTarget) -> Rc<DialMemory>;
    /// Ends the dialers with these memories, and not their connections.
    fn stop_found(&self, dialled: &[Rc<DialMemory>]);
}

/// A source of peers to follow, and how to dial them.
pub(crate) struct DiscoveryTarget {
    pub(crate) name: String,
    pub(crate) source: Box<dyn Discover>,
    pub(crate) options: ConnectOptions,
    pub(crate) reconnect: Backoff,
}

impl std::fmt::Debug for DiscoveryTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiscoveryTarget")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The memory of a discovery. It outlives the actor, so that a restart dials nobody twice.
pub(crate) struct DiscoveryMemory {
    name: String,
    source: Mutex<Box<dyn Discover>>,
    options: ConnectOptions,
    reconnect: Backoff,
    set: RefCell<DiscoveredSet<DiscoveredPeer>>,
    dialled: RefCell<HashMap<DiscoveredPeer, Rc<DialMemory>>>,
    retries: RefCell<Delays>,
    outage: RefCell<Outage>,
    next_dial: Cell<Option<Instant>>,
}

impl DiscoveryMemory {
    pub(super) fn of(target: DiscoveryTarget) -> Rc<Self> {
        let DiscoveryTarget {
            name,
            source,
            options,
            reconnect,
        } = target;
        let retries = Backoff::exponential(RETRIES.0, RETRIES.1).delays();
        Rc::new(Self {
            name,
            source: Mutex::new(source),
            options,
            reconnect,
            set: RefCell::new(DiscoveredSet::new(MAX_PEERS)),
            dialled: RefCell::default(),
            retries: RefCell::new(retries),
            outage: RefCell::default(),
            next_dial: Cell::default(),
        })
    }

    /// The memory of a discovery of the same name as one that was given up: whoever is dialled goes on to be, by the options
    /// of the new one from the next attempt on.
    pub(super) fn go_on_from(target: DiscoveryTarget, before: &Self) -> Rc<Self> {
        let memory = Self::of(target);
        memory.set.swap(&before.set);
        memory.dialled.swap(&before.dialled);
        for (peer, dialled) in &*memory.dialled.borrow() {
            dialled.set_options(memory.target(peer).options);
        }
        memory
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes out the dialers that were started for it.
    pub(super) fn take_dialled(&self) -> Vec<Rc<DialMemory>> {
        self.dialled.take().into_values().collect()
    }

    /// Where to dial a peer, and how.
    fn target(&self, peer: &DiscoveredPeer) -> DialTarget {
        let mut options = self.options.clone();
        if let Some(address) = peer.address() {
            options = options.resolve_to([address]);
        }
        DialTarget {
            endpoint: peer.endpoint().clone(),
            options,
            reconnect: self.reconnect.clone(),
        }
    }
}

/// Follows one source.
pub(crate) struct DiscoveryActor {
    host: Weak<dyn DialerHost>,
    memory: Rc<DiscoveryMemory>,
}

impl DiscoveryActor {
    pub(super) fn new(host: Weak<dyn DialerHost>, memory: Rc<DiscoveryMemory>) -> Self {
        Self { host, memory }
    }
}

impl Actor for DiscoveryActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let following = FollowingSource {
            host: Weak::clone(&self.host),
            memory: Rc::clone(&self.memory),
        };
        ctx.spawn(async move { following.run().await }.into_actor(self));
    }
}

struct FollowingSource {
    host: Weak<dyn DialerHost>,
    memory: Rc<DiscoveryMemory>,
}

impl FollowingSource {
    async fn run(&self) {
        let mut source = self.memory.source.lock().await;
        // Afterwards it may wait for a change as long as it likes.
        let mut is_awaited = true;
        loop {
            let began = clock::now();
            let mut looking = source.next();
            // Dialers start while the source waits for a change.
            let answer = loop {
                tokio::select! {
                    biased;
                    answer = &mut looking => break answer,
                    () = self.until_next_dial() => self.dial_next(),
                    () = self.until_line(began), if is_awaited => self.handle_waiting(began),
                }
            };
            drop(looking);
            let began = if is_awaited { began } else { clock::now() };
            is_awaited = answer.as_ref().map_or(true, Vec::is_empty);
            let Some(host) = self.host.upgrade() else {
                return;
            };
            match answer {
                Ok(peers) if peers.is_empty() => {
                    let nobody = SourceError::new("nobody was found");
                    self.pause_after(&*host, &nobody, began).await;
                }
                Ok(peers) => self.handle_set(&*host, peers),
                Err(error) => self.pause_after(&*host, &error, began).await,
            }
        }
    }

    /// Resolves when a dialer is due; never while nobody waits for one.
    async fn until_next_dial(&self) {
        if !self.memory.set.borrow().has_waiting() {
            return std::future::pending().await;
        }
        if let Some(due) = self.memory.next_dial.get() {
            sleep_until(due).await;
        }
    }

    /// Resolves when the log is to say that a look that `began` then has no answer yet.
    async fn until_line(&self, began: std::time::Instant) {
        let line = self.memory.outage.borrow().next_line(began);
        sleep_until(line.into()).await;
    }

    fn handle_waiting(&self, began: std::time::Instant) {
        let line = (self.memory.outage.borrow_mut()).handle_waiting(began, clock::now());
        self.log_failure(line, &"still waiting for its answer");
    }

    fn dial_next(&self) {
        let next = self.memory.set.borrow_mut().next_to_dial();
        let (Some(peer), Some(host)) = (next, self.host.upgrade()) else {
            return;
        };
        let due = Instant::from_std(clock::now() + PACE);
        self.memory.next_dial.set(Some(due));
        let target = self.memory.target(&peer);
        if let Err(reason) = target.options.check(&target.endpoint) {
            let name = &self.memory.name;
            if let Some(LogPermit { unlogged }) = telemetry::line(Topic::Discovery, &peer) {
                tracing::warn!(source = %name, %peer, %reason, unlogged, "a peer that was found cannot be dialled");
            }
            return;
        }
        let dialled = host.start_found(target);
        self.memory.dialled.borrow_mut().insert(peer, dialled);
    }

    fn handle_set(&self, host: &dyn DialerHost, peers: Vec<DiscoveredPeer>) {
        let memory = &self.memory;
        memory.retries.borrow_mut().reset();
        let recovery = memory.outage.borrow_mut().handle_success(clock::now());
        if let Some(Recovery { failed, after }) = recovery {
            tracing::info!(source = %memory.name, failed, ?after, "the source of peers answers again");
        }
        let dialled = &memory.dialled;
        let is_connected = |peer: &DiscoveredPeer| {
            let dialled = dialled.borrow();
            dialled
                .get(peer)
                .is_some_and(|memory| memory.connection().is_some())
        };
        let (change, steps) = memory.set.borrow_mut().handle_set(peers, is_connected);
        let mut ended = Vec::new();
        for (peer, following) in steps {
            match following {
                Following::Stop => ended.extend(dialled.borrow_mut().remove(&peer)),
                Following::Release => self.set_released(&peer, true),
                Following::Keep => self.set_released(&peer, false),
            }
        }
        host.stop_found(&ended);
        self.tell(host.core(), change);
    }

    fn set_released(&self, peer: &DiscoveredPeer, released: bool) {
        if let Some(memory) = self.memory.dialled.borrow().get(peer) {
            memory.set_released(released);
        }
    }

    fn tell(&self, core: &Arc<SocketCore>, change: SetChange) {
        let SetChange {
            found,
            new,
            gone,
            ignored,
        } = change;
        let source = &self.memory.name;
        if ignored > 0
            && let Some(LogPermit { unlogged }) = telemetry::line(Topic::Discovery, source)
        {
            tracing::warn!(%source, found, ignored, unlogged, "more peers were found than are dialled");
        }
        if new == 0 && gone == 0 {
            return;
        }
        if let Some(LogPermit { unlogged }) = telemetry::line(Topic::Discovered, source) {
            tracing::info!(%source, found, new, gone, unlogged, "the peers that were found have changed");
        }
        core.events.announce(&SocketEvent::Discovered {
            source: source.clone(),
            found,
            new,
            gone,
        });
    }

    fn log_failure(&self, line: Option<u64>, error: &dyn Display) {
        let source = &self.memory.name;
        match line {
            Some(attempts) => {
                tracing::warn!(%source, attempts, %error, "the source of peers does not answer; those that are known stay");
            }
            None => tracing::debug!(%source, %error, "the source of peers does not answer"),
        }
    }

    /// Tells of a failure, and waits. Dialers that are due start meanwhile.
    async fn pause_after(
        &self,
        host: &dyn DialerHost,
        error: &SourceError,
        began: std::time::Instant,
    ) {
        let memory = &self.memory;
        let next_try = memory.retries.borrow_mut().next_delay();
        let line = (memory.outage.borrow_mut()).handle_failure(began, clock::now(), next_try);
        let source = &memory.name;
        self.log_failure(line, error);
        let core = host.core();
        core.events.announce(&SocketEvent::DiscoveryFailed {
            source: source.clone(),
            reason: error.to_string(),
            next_try,
        });
        let mut pause = std::pin::pin!(sleep(next_try));
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = self.until_next_dial() => self.dial_next(),
            }
        }
    }
}

#[cfg(feature = "test-util")]
super::fault_injection::crash_on_demand!(DiscoveryActor);
