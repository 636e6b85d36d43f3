//! DialerActor: dials, and redials for the socket's life (WIRE §7.4).

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Recipient, WrapFuture};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::address::{Endpoint, PeerAddress, Role};
use crate::clock;
use crate::connection::actor::{ConnectionActor, Report};
use crate::connection::admission::Admit;
use crate::connection::connections::{ConnectionKey, Connections};
use crate::connection::handshake::Origin;
use crate::core::SocketCore;
use crate::engine::{
    AfterDial, Backoff, CopyWatch, DialOutcome, HEALTHY, LogPermit, Outage, Recovery, Redial,
    ShortLived, may_be_connected,
};
use crate::event::{AddressFailure, Limit, RefusalReason, SocketEvent};
use crate::telemetry::{self, Topic};
use crate::transport::{ConnectOptions, Connected, Dial, Try};

/// An endpoint to dial, and how.
#[derive(Debug, Clone)]
pub(crate) struct DialTarget {
    pub(crate) endpoint: Endpoint,
    pub(crate) options: ConnectOptions,
    pub(crate) reconnect: Backoff,
}

/// The memory of a dialer. It outlives the actor, so that a dialer that is restarted does not dial a
/// peer that is connected.
#[derive(Debug)]
pub(crate) struct DialMemory {
    /// Those of the last `connect` to the endpoint.
    options: RefCell<Rc<ConnectOptions>>,
    redial: RefCell<Redial>,
    /// The connection that it made and that has not ended.
    underway: RefCell<Option<Underway>>,
    /// For how long the endpoint has not been reached.
    outage: RefCell<Outage>,
    /// The addresses whose connections end at once, and for how long nothing else was found.
    short_lived: RefCell<ShortLived<PeerAddress>>,
    short_lives: RefCell<Outage>,
    /// Whether another socket may be connected by our identity.
    copies: RefCell<CopyWatch>,
    origin: DialOrigin,
    /// Its peer is no longer among those that were found: when its connection ends, it dials no more.
    released: Cell<bool>,
}

/// Why there is a dialer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialOrigin {
    /// `connect` was called.
    Asked,
    /// A source of peers has found its peer, which may be this very socket.
    Found,
}

/// A connection that has not ended. When this is dropped, so is a handshake that goes on.
#[derive(Debug)]
struct Underway {
    key: ConnectionKey,
    outcome: oneshot::Receiver<DialOutcome>,
}

impl DialMemory {
    /// The memory of a dialer that has not dialled yet.
    pub(super) fn of(target: &DialTarget, origin: DialOrigin) -> Rc<Self> {
        Rc::new(Self {
            options: RefCell::new(Rc::new(target.options.clone())),
            origin,
            released: Cell::new(false),
            redial: RefCell::new(Redial::new(target.reconnect.delays())),
            underway: RefCell::default(),
            outage: RefCell::default(),
            short_lived: RefCell::default(),
            short_lives: RefCell::default(),
            copies: RefCell::default(),
        })
    }

    /// The options hold from the next attempt on.
    pub(super) fn set_options(&self, options: ConnectOptions) {
        *self.options.borrow_mut() = Rc::new(options);
    }

    fn options(&self) -> Rc<ConnectOptions> {
        Rc::clone(&self.options.borrow())
    }

    pub(super) fn origin(&self) -> DialOrigin {
        self.origin
    }

    /// Whether the dialer ends with its connection.
    pub(super) fn set_released(&self, released: bool) {
        self.released.set(released);
    }

    /// The connection that the dialer made and that has not ended.
    pub(super) fn connection(&self) -> Option<ConnectionKey> {
        let underway = self.underway.borrow();
        underway.as_ref().map(|underway| underway.key)
    }
}

/// Keeps one connection to one endpoint.
#[derive(Debug)]
pub(crate) struct DialerActor {
    connections: Arc<Connections>,
    router: Recipient<Admit>,
    endpoint: Endpoint,
    memory: Rc<DialMemory>,
}

impl DialerActor {
    pub(crate) fn new(
        connections: Arc<Connections>,
        router: Recipient<Admit>,
        endpoint: Endpoint,
        memory: Rc<DialMemory>,
    ) -> Self {
        Self {
            connections,
            router,
            endpoint,
            memory,
        }
    }
}

impl Actor for DialerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let redialling = Redialling {
            connections: Arc::clone(&self.connections),
            router: self.router.clone(),
            endpoint: self.endpoint.clone(),
            memory: Rc::clone(&self.memory),
        };
        ctx.spawn(async move { redialling.run().await }.into_actor(self));
    }
}

struct Redialling {
    connections: Arc<Connections>,
    router: Recipient<Admit>,
    endpoint: Endpoint,
    memory: Rc<DialMemory>,
}

impl Redialling {
    async fn run(&self) {
        while !self.core().lifecycle.is_closed() {
            let is_underway = self.memory.underway.borrow().is_some();
            if self.memory.released.get() && !is_underway {
                return;
            }
            let (began, mut failures) = (clock::now(), Vec::new());
            let outcome = if is_underway {
                self.outcome().await
            } else {
                self.announce(&SocketEvent::Dialling {
                    endpoint: self.endpoint.clone(),
                    attempt: self.memory.redial.borrow().attempt(),
                });
                self.attempt(&mut failures).await
            };
            if self.core().lifecycle.is_closed() || self.has_no_one_to_dial(&outcome) {
                return;
            }
            let pause = self.pause_after(outcome, began, failures).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// True if a peer that was found is to be dialled no more.
    fn has_no_one_to_dial(&self, outcome: &DialOutcome) -> bool {
        let is_itself = *outcome == DialOutcome::Refused(RefusalReason::Itself);
        if is_itself && self.memory.origin == DialOrigin::Found {
            let endpoint = &self.endpoint;
            tracing::debug!(%endpoint, "this socket is among the peers that were found");
            return true;
        }
        self.memory.released.get()
    }

    /// Follows the decision about the outcome of an attempt that began then, up to the pause before the
    /// next one.
    async fn pause_after(
        &self,
        outcome: DialOutcome,
        began: std::time::Instant,
        tried: Vec<AddressFailure>,
    ) -> Duration {
        let is_connected = |peer| self.core().router.is_connected(peer);
        let redial = &self.memory.redial;
        let next = redial.borrow_mut().handle_outcome(outcome, is_connected);
        self.look_for_copies(&next);
        match next {
            AfterDial::Pause(pause) => pause,
            AfterDial::Fail {
                attempt,
                next_try,
                reason,
            } => {
                let mut outage = self.memory.outage.borrow_mut();
                let line = outage.handle_failure(began, clock::now(), next_try);
                drop(outage);
                self.log_failure(line, &reason, &tried);
                self.announce(&SocketEvent::DialFailed {
                    endpoint: self.endpoint.clone(),
                    attempt,
                    next_try,
                    reason,
                    tried,
                });
                next_try
            }
            AfterDial::WaitUntilGone(peer) => {
                let since = clock::now();
                self.log_success();
                self.core().router.until_gone(peer).await;
                let waited = clock::now().saturating_duration_since(since);
                redial.borrow_mut().handle_gone(waited)
            }
        }
    }

    /// A socket with an outbox that is refused as a duplicate would be, and is not connected by another connection, may be a
    /// copy: of its file another socket may have been started.
    fn look_for_copies(&self, next: &AfterDial) {
        let mut copies = self.memory.copies.borrow_mut();
        let reason = match next {
            AfterDial::Fail { reason, .. } if may_be_connected(reason) => reason,
            _ => return copies.handle_other(),
        };
        let core = self.core();
        let timeout = core.limits.current().timers().heartbeat_timeout;
        let Some(refused_for) = copies
            .handle_refusal(clock::now(), timeout)
            .filter(|_| core.router.has_store())
        else {
            return;
        };
        let (endpoint, identity) = (&self.endpoint, core.config.identity);
        tracing::warn!(
            %endpoint, %identity, ?refused_for, %reason,
            "copied outbox? the endpoint ends our connections as if this socket were connected to it already: if the file was copied \
             and another socket runs with it, end one of them, or start the copy with Outbox::adopt and a new identity; nothing is lost \
             meanwhile"
        );
        self.announce(&SocketEvent::OutboxCopied {
            endpoint: endpoint.clone(),
            refused_for,
        });
    }

    /// Warns of an outage if it is time for a line, which tells how often it was tried.
    fn log_failure(&self, line: Option<u64>, reason: &impl Display, tried: &[AddressFailure]) {
        let (endpoint, tried) = (&self.endpoint, AddressFailure::list(tried));
        match line.and_then(|attempts| Some((attempts, self.permit()?))) {
            Some((attempts, LogPermit { unlogged })) => {
                tracing::warn!(%endpoint, attempts, %reason, %tried, unlogged, "the endpoint cannot be reached");
            }
            None => tracing::debug!(%endpoint, %reason, %tried, "dial failed"),
        }
    }

    /// Leave for a line. Those who were found may be thousands, who are away together.
    fn permit(&self) -> Option<LogPermit> {
        match self.memory.origin {
            DialOrigin::Asked => Some(LogPermit { unlogged: None }),
            DialOrigin::Found => telemetry::line(Topic::FoundUnreachable, &self.endpoint),
        }
    }

    /// The endpoint is reached: the end of an outage that the log told of is told, too.
    fn log_success(&self) {
        let endpoint = &self.endpoint;
        let recovery = self.memory.outage.borrow_mut().handle_success(clock::now());
        if let Some(Recovery { failed, after }) = recovery {
            tracing::info!(%endpoint, failed, ?after, "the endpoint is reached");
        }
    }

    /// Waits for a step of the attempt that `began` then. If it takes long, the log says what is `awaited`.
    async fn patiently<T>(
        &self,
        began: std::time::Instant,
        awaited: impl Display,
        step: impl Future<Output = T>,
    ) -> T {
        let mut step = pin!(step);
        loop {
            let line = self.memory.outage.borrow().next_line(began);
            if let Ok(done) = timeout_at(line.into(), step.as_mut()).await {
                return done;
            }
            let mut outage = self.memory.outage.borrow_mut();
            let line = outage.handle_waiting(began, clock::now());
            drop(outage);
            self.log_failure(line, &format_args!("still {awaited}"), &[]);
        }
    }

    /// Tries the addresses of the endpoint until one leads to a connection, and waits for the end of that.
    ///
    /// Handshakes are made one at a time, because HELLO asks for admission. One that fails goes on with the
    /// next address at once.
    async fn attempt(&self, failures: &mut Vec<AddressFailure>) -> DialOutcome {
        let endpoint = &self.endpoint;
        let options = &*self.memory.options();
        let began = clock::now();
        let limit = self.core().config.handshake_timeout;
        // Each step has a box: what follows takes longer and needs less.
        let resolving = format!("resolving {}", endpoint.host().unwrap_or_default());
        let last = self.memory.short_lived.borrow().addresses().to_vec();
        let begin = Dial::begin(endpoint, options, limit, &last);
        let mut dial = match Box::pin(self.patiently(began, resolving, begin)).await {
            Ok(dial) => dial,
            Err(error) => {
                failures.push(AddressFailure::new(None, began, error.into()));
                return DialOutcome::Refused(AddressFailure::most_telling(failures));
            }
        };
        loop {
            let connecting = format!("connecting to {}", dial.places());
            let next = Box::pin(self.patiently(began, connecting, dial.next()));
            let Some(tried) = next.await else { break };
            let Try {
                address,
                since,
                result,
            } = tried;
            let outcome = match result {
                Ok(connected) => self.handshake(connected, options, began).await,
                Err(error) => DialOutcome::Refused(error.into()),
            };
            match outcome {
                DialOutcome::Refused(reason) if !self.is_final(&reason) => {
                    let mut outage = self.memory.outage.borrow_mut();
                    let line = outage.handle_failed_address(began, clock::now());
                    drop(outage);
                    failures.push(AddressFailure::new(Some(address), since, reason.clone()));
                    self.log_failure(line, &reason, failures);
                }
                outcome => {
                    if let DialOutcome::Ended(_, lasted) = outcome {
                        self.note_life(address, began, lasted);
                    }
                    return outcome;
                }
            }
        }
        DialOutcome::Refused(AddressFailure::most_telling(failures))
    }

    /// A connection by the attempt that `began` then has ended, and was up for so long.
    fn note_life(&self, address: PeerAddress, began: std::time::Instant, lasted: Duration) {
        let mut short_lives = self.memory.short_lives.borrow_mut();
        if lasted >= HEALTHY {
            *short_lives = Outage::default();
        } else if let Some(attempts) =
            short_lives.handle_failure(began, clock::now(), Duration::ZERO)
        {
            let endpoint = &self.endpoint;
            tracing::warn!(%endpoint, %address, attempts, ?lasted, "connections end as soon as they are up");
        }
        let mut short_lived = self.memory.short_lived.borrow_mut();
        short_lived.handle_ended(address, lasted);
    }

    /// True if no other address of the endpoint is to be tried after a refusal.
    fn is_final(&self, reason: &RefusalReason) -> bool {
        let is_connected = |peer| self.core().router.is_connected(peer);
        let connected = self
            .memory
            .redial
            .borrow()
            .connected_peer(reason, is_connected);
        connected.is_some()
            || self.core().lifecycle.is_closed()
            || *reason == RefusalReason::LimitReached
    }

    /// True if the endpoint has sent us away without a word, and may be that of a peer that has dialled us.
    fn asks_whether_known(&self) -> bool {
        self.memory.redial.borrow().asks_whether_known() && self.core().router.was_dialled()
    }

    /// The steps after TCP, all of them within the handshake timeout (WIRE §4.6), and the life of the connection.
    async fn handshake(
        &self,
        connected: Connected,
        options: &ConnectOptions,
        began: std::time::Instant,
    ) -> DialOutcome {
        let endpoint = &self.endpoint;
        let deadline = Instant::from_std(clock::after(self.core().config.handshake_timeout));
        let awaited = format!(
            "waiting for TLS or the WebSocket upgrade of {}",
            connected.remote()
        );
        let establishing = connected.establish(endpoint, options);
        let establishing = timeout_at(deadline, establishing);
        let established = match Box::pin(self.patiently(began, awaited, establishing)).await {
            Ok(Ok(established)) => established,
            Ok(Err(error)) => return DialOutcome::Refused(error.into()),
            Err(_) => return DialOutcome::Refused(RefusalReason::TimedOut),
        };
        let address = established.meta.remote.clone();
        let local = established.meta.local.clone();
        let awaited = format!("waiting for the HELLO of {address}");
        let Some(entry) = self.connections.begin(address, Role::ConnectEnd) else {
            self.announce(&SocketEvent::Overloaded {
                limit: Limit::Connections,
            });
            return DialOutcome::Refused(RefusalReason::LimitReached);
        };
        let (ended, outcome) = oneshot::channel();
        let (up, is_up) = oneshot::channel();
        let report = Report {
            up: Some(up),
            ended,
        };
        let origin = Origin::Dialled {
            established: Box::new(established),
            deadline,
            asks_whether_known: self.asks_whether_known(),
        };
        let key = entry.key();
        let connection = ConnectionActor::new(entry, self.router.clone(), origin, Some(report));
        connection.start_here();
        *self.memory.underway.borrow_mut() = Some(Underway { key, outcome });
        if Box::pin(self.patiently(began, awaited, is_up))
            .await
            .is_ok()
        {
            self.log_success();
        }
        match self.outcome().await {
            DialOutcome::Refused(
                RefusalReason::Ended { received: 0 } | RefusalReason::NotWanted,
            ) if self.core().admission.has_met_itself(&local) => {
                DialOutcome::Refused(RefusalReason::Itself)
            }
            outcome => outcome,
        }
    }

    /// Waits for the end of the connection that is underway.
    async fn outcome(&self) -> DialOutcome {
        let outcome = poll_fn(|cx| match &mut *self.memory.underway.borrow_mut() {
            // A connection that panics does not report.
            Some(underway) => Pin::new(&mut underway.outcome)
                .poll(cx)
                .map(|outcome| outcome.unwrap_or(DialOutcome::Abandoned)),
            None => Poll::Ready(DialOutcome::Abandoned),
        })
        .await;
        *self.memory.underway.borrow_mut() = None;
        outcome
    }

    fn core(&self) -> &Arc<SocketCore> {
        self.connections.core()
    }

    fn announce(&self, event: &SocketEvent) {
        self.core().events.announce(event);
    }
}

#[cfg(feature = "test-util")]
super::fault_injection::crash_on_demand!(DialerActor);
