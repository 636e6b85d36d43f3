//! The supervised actors of one socket.
//!
//! ```text
//! socket       5 restarts in 10 s, then the socket is closed with the reason
//! ├─ router       the same; links stay up and the outbox stays while it restarts
//! ├─ listener ×n  the same, then an event; the port stays open over restarts
//! ├─ dialer ×n    the same, then an event
//! └─ connection   temporary: its peer is down, with the reason
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Arbiter, ArbiterHandle, Context, Recipient};

use super::accept_gate::AcceptGate;
use super::dialer::{DialMemory, DialTarget, DialerActor};
use super::listener::ListenerActor;
use super::restarts::{describe, vital, watched};
use super::router::RouterActor;
use super::shutdown::DRAIN_AT_END;
use crate::connection::admission::Admit;
use crate::event::SocketEvent;
use crate::routing::SocketCore;
use crate::supervise::{Child, ChildReport, Escalation, Factory, Supervise, end_program};
use crate::transport::{Acceptor, SocketListeners};

/// The actors below a SocketActor. They belong to the socket, not to an incarnation of that actor.
pub(crate) struct Children {
    core: Arc<SocketCore>,
    router: Child<RouterActor>,
    listeners: RefCell<Vec<Child<ListenerActor>>>,
    dialers: RefCell<Vec<Child<DialerActor>>>,
    ports: SocketListeners,
    /// For connections that a web server accepted.
    #[cfg(feature = "actix-web")]
    mounted: RefCell<AcceptGate>,
    /// Others than the socket's own, for connections.
    arbiters: Vec<Arbiter>,
    drain_at_end: Cell<Duration>,
}

impl std::fmt::Debug for Children {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Children").finish_non_exhaustive()
    }
}

impl Children {
    /// Starts the router, and is ready for listeners, dialers and connections.
    pub(super) fn start(core: &Arc<SocketCore>, arbiters: Vec<Arbiter>) -> Rc<Self> {
        let own = Arc::clone(core);
        let router = move || RouterActor::new(Arc::clone(&own));
        let router = vital(watched(core, "router", router), core).spawn();
        #[cfg(feature = "actix-web")]
        let mounted = AcceptGate::new(
            Arc::clone(core),
            router.addr().recipient(),
            handles(&arbiters),
        );
        Rc::new(Self {
            core: Arc::clone(core),
            router,
            #[cfg(feature = "actix-web")]
            mounted: RefCell::new(mounted),
            listeners: RefCell::new(Vec::new()),
            dialers: RefCell::new(Vec::new()),
            ports: SocketListeners::default(),
            arbiters,
            drain_at_end: Cell::new(DRAIN_AT_END),
        })
    }

    /// The TCP ports of the socket, for another endpoint to share one.
    pub(super) fn ports(&self) -> SocketListeners {
        self.ports.clone()
    }

    /// Ends all of them, when the socket has ended.
    pub(super) async fn stop(&self) {
        self.stop_accepting();
        self.stop_dialling();
        self.router.stop().await;
    }

    /// Ends the arbiters that were started for connections.
    pub(super) fn stop_arbiters(&self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }

    fn admitter(&self) -> Recipient<Admit> {
        self.router.addr().recipient()
    }

    /// Accepts at an endpoint from now on.
    pub(super) fn start_listener(&self, acceptor: Acceptor) {
        let (core, router) = (Arc::clone(&self.core), self.admitter());
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
        let (core, router) = (Arc::clone(&self.core), self.admitter());
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

    /// The socket goes on without this actor where somebody hears of that; otherwise the program ends.
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
                if core.socket_events.has_listeners() {
                    tracing::error!(?event, "the socket goes on without it");
                    core.socket_events.announce(&event);
                } else {
                    tracing::error!(?event, "nobody listens to the socket's events");
                    end_program(escalation);
                }
            })
            .spawn()
    }

    /// Sets the time that the socket drains when supervision gives up the program.
    pub(super) fn set_drain_at_end(&self, limit: Duration) {
        self.drain_at_end.set(limit);
    }

    pub(super) fn drain_at_end(&self) -> Duration {
        self.drain_at_end.get()
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
