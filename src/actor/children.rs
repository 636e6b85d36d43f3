//! The supervised actors of one socket.
//!
//! ```text
//! socket       5 restarts in 10 s, then the socket is closed with the reason
//! ├─ router       the same; links stay up and the outbox stays while it restarts
//! ├─ listener ×n  the same, then an event; the port stays open over restarts
//! ├─ dialer ×n    the same, then an event
//! └─ connection   temporary: its peer is down, with the reason
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, ArbiterHandle, Context};

use super::accept_gate::AcceptGate;
use super::dialer::{DialMemory, DialTarget, DialerActor};
use super::listener::ListenerActor;
use super::router::RouterActor;
use super::socket::SocketActor;
use crate::engine::Backoff;
use crate::event::SocketEvent;
use crate::routing::{SocketCore, SocketPhase};
use crate::supervise::{
    Child, ChildReport, Decision, Escalation, Factory, PanicReport, RestartPolicy, Supervise,
    supervise,
};
use crate::sync::Mutex;
use crate::transport::Acceptor;

/// How often one of the socket's own actors may be restarted, and in what time.
const INTENSITY: (u32, Duration) = (5, Duration::from_secs(10));

/// How long the first restart waits, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How long a closed socket's own actor has to answer who waits for it.
const FAREWELL: Duration = Duration::from_secs(1);

/// The actors below a SocketActor. They belong to the socket, not to an incarnation of that actor.
pub(crate) struct Children {
    core: Arc<SocketCore>,
    router: Child<RouterActor>,
    listeners: RefCell<Vec<Child<ListenerActor>>>,
    dialers: RefCell<Vec<Child<DialerActor>>>,
    /// For connections that a web server accepted.
    #[cfg(feature = "actix-web")]
    mounted: RefCell<AcceptGate>,
    /// Others than the socket's own, for connections.
    arbiters: Vec<Arbiter>,
}

impl std::fmt::Debug for Children {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Children").finish_non_exhaustive()
    }
}

/// Starts the actors of a socket.
pub(crate) fn start_socket(core: &Arc<SocketCore>, arbiters: Vec<Arbiter>) -> Addr<SocketActor> {
    let own = Arc::clone(core);
    let router = move || RouterActor::new(Arc::clone(&own));
    let router = vital(watched(core, "router", router), core).spawn();
    #[cfg(feature = "actix-web")]
    let mounted = AcceptGate::new(Arc::clone(core), router.addr(), handles(&arbiters));
    let children = Rc::new(Children {
        core: Arc::clone(core),
        router,
        #[cfg(feature = "actix-web")]
        mounted: RefCell::new(mounted),
        listeners: RefCell::new(Vec::new()),
        dialers: RefCell::new(Vec::new()),
        arbiters,
    });
    let (own, below) = (Arc::clone(core), Rc::clone(&children));
    let socket = move || SocketActor::new(Arc::clone(&own), Rc::clone(&below));
    let socket = vital(watched(core, "socket", socket), core).spawn();
    let addr = socket.addr();
    actix_rt::spawn(end_with_socket(Arc::clone(core), children, socket));
    addr
}

/// An actor of a socket: restarted after a panic, with an event, and ended by its own stop.
fn watched<A: Actor<Context = Context<A>>>(
    core: &Arc<SocketCore>,
    name: &'static str,
    mut factory: impl FnMut() -> A + 'static,
) -> Supervise<A, impl Factory<A>> {
    let core = Arc::clone(core);
    let panicked_with: Arc<Mutex<Option<String>>> = Arc::default();
    let reason = Arc::clone(&panicked_with);
    // The event is for a restart and not for a panic, because the last one may not be answered by one.
    let announcing = move || {
        let actor = factory();
        if let Some(reason) = reason.lock().take() {
            core.socket_events.announce(&SocketEvent::Restarted {
                actor: name.to_owned(),
                reason,
            });
        }
        actor
    };
    supervise(announcing)
        .name(name)
        .restart(RestartPolicy::Transient)
        .intensity(INTENSITY.0, INTENSITY.1)
        .backoff(Backoff::exponential(BACKOFF.0, BACKOFF.1))
        .on_panic(move |panic: &PanicReport| {
            tracing::error!(
                actor = name,
                reason = panic.message(),
                "an actor of the socket panicked"
            );
            *panicked_with.lock() = Some(panic.message().to_owned());
            Decision::Restart
        })
}

/// Without this actor the socket cannot go on.
fn vital<A, F>(child: Supervise<A, F>, core: &Arc<SocketCore>) -> Supervise<A, F>
where
    A: Actor<Context = Context<A>>,
    F: Factory<A>,
{
    let core = Arc::clone(core);
    child.on_escalate(move |escalation: Escalation| {
        let reason = describe(&escalation);
        tracing::error!(%reason, "the socket is closed");
        core.end(&reason);
    })
}

fn describe(escalation: &Escalation) -> String {
    let panic = escalation
        .panic()
        .map_or("no panic", |panic| panic.message());
    format!(
        "its {} was restarted too often; it last failed with: {panic}",
        escalation.child()
    )
}

impl Children {
    /// Accepts at an endpoint from now on.
    pub(super) fn start_listener(&self, acceptor: Acceptor) {
        let (core, router) = (Arc::clone(&self.core), self.router.addr());
        let acceptor = Arc::new(acceptor);
        let endpoint = acceptor.endpoint();
        let arbiters = handles(&self.arbiters);
        let factory = move || {
            let intake = AcceptGate::new(Arc::clone(&core), router.clone(), arbiters.clone());
            ListenerActor::new(intake, Arc::clone(&acceptor))
        };
        let child = watched(&self.core, "listener", factory);
        let child = self.expendable(child, move |reason| SocketEvent::ListenerFailed {
            endpoint,
            reason,
        });
        self.listeners.borrow_mut().push(child);
    }

    /// Starts a connection that a web server accepted; false at the limit.
    #[cfg(feature = "actix-web")]
    pub(super) fn adopt(&self, accepted: crate::transport::Accepted, path: &str) -> bool {
        self.mounted.borrow_mut().admit(accepted, || path)
    }

    /// Dials an endpoint from now on.
    pub(super) fn start_dialer(&self, target: DialTarget) {
        let (core, router) = (Arc::clone(&self.core), self.router.addr());
        let endpoint = target.endpoint.clone();
        let memory = DialMemory::of(&target);
        let factory = move || {
            let (core, router) = (Arc::clone(&core), router.clone());
            DialerActor::new(core, router, target.clone(), Rc::clone(&memory))
        };
        let child = watched(&self.core, "dialer", factory);
        let child = self.expendable(child, move |reason| SocketEvent::DialerFailed {
            endpoint,
            reason,
        });
        self.dialers.borrow_mut().push(child);
    }

    /// The socket goes on without this actor; an event says so.
    fn expendable<A, F>(
        &self,
        child: Supervise<A, F>,
        event: impl FnOnce(String) -> SocketEvent + Send + 'static,
    ) -> Child<A>
    where
        A: Actor<Context = Context<A>>,
        F: Factory<A>,
    {
        let core = Arc::clone(&self.core);
        child
            .on_escalate(move |escalation: Escalation| {
                let event = event(describe(&escalation));
                tracing::error!(?event, "the socket goes on without it");
                core.socket_events.announce(&event);
            })
            .spawn()
    }

    /// Nobody new comes in.
    pub(super) fn stop_accepting(&self) {
        for listener in self.listeners.take() {
            actix_rt::spawn(async move { listener.stop().await });
        }
    }

    /// Nobody is dialled any more.
    pub(super) fn stop_dialling(&self) {
        for dialer in self.dialers.take() {
            actix_rt::spawn(async move { dialer.stop().await });
        }
    }

    /// How the actors of the socket fare.
    pub(super) fn inspect(&self) -> Vec<ChildReport> {
        let mut reports = vec![self.router.inspect()];
        reports.extend(self.listeners.borrow().iter().map(Child::inspect));
        reports.extend(self.dialers.borrow().iter().map(Child::inspect));
        reports
    }

    /// The actor that admits peers, for tests that make it panic.
    #[cfg(feature = "test-util")]
    pub(super) fn crash(&self, part: super::fault_injection::Part) {
        use super::fault_injection::{Crash, Part};
        match part {
            Part::Router => self.router.addr().do_send(Crash),
            Part::Listener => {
                for listener in self.listeners.borrow().iter() {
                    listener.addr().do_send(Crash);
                }
            }
            Part::Dialer => {
                for dialer in self.dialers.borrow().iter() {
                    dialer.addr().do_send(Crash);
                }
            }
            Part::Socket => panic!("on demand"),
            Part::Connections => {
                for link in self.core.links().iter() {
                    link.crash();
                }
            }
        }
    }
}

fn handles(arbiters: &[Arbiter]) -> Vec<ArbiterHandle> {
    arbiters.iter().map(Arbiter::handle).collect()
}

/// Ends the actors of a socket when the socket has ended, however it did, and says what is lost
/// when nobody ended it.
async fn end_with_socket(
    core: Arc<SocketCore>,
    children: Rc<Children>,
    socket: Child<SocketActor>,
) {
    let mut guard = LossReport {
        core: Arc::clone(&core),
        told: false,
    };
    let mut state = core.state();
    // The core holds the sender, so that this does not fail.
    let _ = state
        .wait_for(|state| state.phase == SocketPhase::Closed)
        .await;
    guard.told = true;
    children.stop_accepting();
    children.stop_dialling();
    children.router.stop().await;
    // After a close it stops by itself, when everyone who waited for the close has an answer.
    let _ = tokio::time::timeout(FAREWELL, socket.ended()).await;
    socket.stop().await;
    core.end_announcements();
    for arbiter in &children.arbiters {
        arbiter.stop();
    }
}

/// Notices when the system stops before the socket is closed. Nothing is polled any more then, so
/// that what was accepted and not written is lost, as the end of the socket reports.
struct LossReport {
    core: Arc<SocketCore>,
    told: bool,
}

impl Drop for LossReport {
    fn drop(&mut self) {
        if self.told || self.core.is_closed() {
            return;
        }
        self.core
            .end("the system stopped before the socket was closed");
    }
}
