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
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Arbiter, ArbiterHandle, Context, Recipient};

use super::accept_gate::AcceptGate;
use super::dialer::{DialMemory, DialOrigin, DialTarget, DialerActor};
use super::discovery::{DialerHost, DiscoveryActor, DiscoveryMemory, DiscoveryTarget};
use super::listener::ListenerActor;
use super::report::SocketReport;
use super::restarts::{describe, vital, watched};
use super::router::RouterActor;
use super::shutdown::DRAIN_AT_END;
use crate::address::Endpoint;
use crate::connection::admission::Admit;
use crate::connection::connections::Connections;
use crate::core::{Part, SocketCore};
use crate::event::SocketEvent;
use crate::supervise::{Child, ChildState, Escalation, Factory, Supervise, end_program};
use crate::transport::{Acceptor, SocketListeners};

/// One place where peers come in.
struct ListenerChild {
    endpoint: Endpoint,
    child: Child<ListenerActor>,
}

/// One endpoint that is dialled.
struct Dialer {
    endpoint: Endpoint,
    memory: Rc<DialMemory>,
    child: Child<DialerActor>,
}

/// One source of peers that is followed.
struct Discovery {
    memory: Rc<DiscoveryMemory>,
    child: Child<DiscoveryActor>,
}

/// The actors below a SocketActor. They belong to the socket, not to an incarnation of that actor.
pub(crate) struct Children {
    connections: Arc<Connections>,
    router: Child<RouterActor>,
    listeners: RefCell<Vec<ListenerChild>>,
    dialers: RefCell<Vec<Dialer>>,
    discoveries: RefCell<Vec<Discovery>>,
    ports: SocketListeners,
    /// False once the socket lets nobody in any more.
    accepting: Cell<bool>,
    /// Connections that have panicked.
    crashed: Cell<u64>,
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
    pub(super) fn start(connections: &Arc<Connections>, arbiters: Vec<Arbiter>) -> Rc<Self> {
        let core = connections.core();
        let own = Arc::clone(core);
        let router = move || RouterActor::new(Arc::clone(&own));
        let router = vital(watched(core, "router", router), core).spawn();
        #[cfg(feature = "actix-web")]
        let mounted = AcceptGate::new(
            Arc::clone(connections),
            router.addr().recipient(),
            handles(&arbiters),
        );
        Rc::new(Self {
            connections: Arc::clone(connections),
            router,
            #[cfg(feature = "actix-web")]
            mounted: RefCell::new(mounted),
            listeners: RefCell::new(Vec::new()),
            dialers: RefCell::new(Vec::new()),
            discoveries: RefCell::new(Vec::new()),
            ports: SocketListeners::default(),
            accepting: Cell::new(true),
            crashed: Cell::new(0),
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

    /// True until the socket [`stops accepting`](Self::stop_accepting).
    pub(super) fn are_accepting(&self) -> bool {
        self.accepting.get()
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
        let (connections, router) = (Arc::clone(&self.connections), self.admitter());
        let acceptor = Arc::new(acceptor);
        let endpoint = acceptor.endpoint();
        let arbiters = handles(&self.arbiters);
        let factory = move || {
            let intake =
                AcceptGate::new(Arc::clone(&connections), router.clone(), arbiters.clone());
            ListenerActor::new(intake, Arc::clone(&acceptor))
        };
        let child = watched(self.core(), "listener", factory);
        let failed = endpoint.clone();
        let part = Part::Listener(endpoint.clone());
        let child = self.expendable(child, part, move |reason| SocketEvent::ListenerFailed {
            endpoint: failed,
            reason,
        });
        self.core().standing.note_listening(&endpoint);
        let listener = ListenerChild { endpoint, child };
        self.listeners.borrow_mut().push(listener);
    }

    /// Starts a connection that a web server accepted; false at the limit.
    #[cfg(feature = "actix-web")]
    pub(super) fn adopt(&self, accepted: crate::transport::Accepted, path: &str) -> bool {
        self.mounted.borrow_mut().admit(accepted, || path)
    }

    /// Dials an endpoint from now on. One that is dialled already goes on to be, with these options from the next
    /// attempt on.
    pub(super) fn start_dialer(&self, target: DialTarget) {
        if let Some(memory) = self.memory_of_dialer(&target.endpoint) {
            tracing::debug!(endpoint = %target.endpoint, "the endpoint is dialled already");
            memory.set_options(target.options);
            return;
        }
        self.add_dialer(target, DialOrigin::Asked);
    }

    fn add_dialer(&self, target: DialTarget, origin: DialOrigin) -> Rc<DialMemory> {
        let (connections, router) = (Arc::clone(&self.connections), self.admitter());
        let endpoint = target.endpoint.clone();
        let memory = DialMemory::of(&target, origin);
        let (dialled, remembered) = (endpoint.clone(), Rc::clone(&memory));
        let factory = move || {
            let (connections, router) = (Arc::clone(&connections), router.clone());
            DialerActor::new(connections, router, dialled.clone(), Rc::clone(&remembered))
        };
        let child = watched(self.core(), "dialer", factory);
        let failed = endpoint.clone();
        let part = Part::Dialer(endpoint.clone());
        let child = self.expendable(child, part, move |reason| SocketEvent::DialerFailed {
            endpoint: failed,
            reason,
        });
        self.core().standing.forget_dialer(&endpoint);
        let dialer = Dialer {
            endpoint,
            memory: Rc::clone(&memory),
            child,
        };
        self.dialers.borrow_mut().push(dialer);
        memory
    }

    /// Follows a source of peers from now on; false if one of the name is followed already. One that was given up is begun
    /// anew, and its dialers are kept.
    pub(super) fn start_discovery(self: &Rc<Self>, target: DiscoveryTarget) -> bool {
        let is_at_work = |known: &Discovery| {
            known.memory.name() == target.name && known.child.inspect().state != ChildState::Ended
        };
        if self.discoveries.borrow().iter().any(is_at_work) {
            return false;
        }
        let memory = match self.take_discovery(&target.name) {
            None => DiscoveryMemory::of(target),
            Some(given_up) => DiscoveryMemory::go_on_from(target, &given_up.memory),
        };
        self.core().standing.forget_discovery(memory.name());
        let remembered = Rc::clone(&memory);
        let host: Rc<dyn DialerHost> = Rc::clone(self) as _;
        let host = Rc::downgrade(&host);
        let factory = move || DiscoveryActor::new(host.clone(), Rc::clone(&remembered));
        let child = watched(self.core(), "discovery", factory);
        let source = memory.name().to_owned();
        let part = Part::Discovery(source.clone());
        let child = self.expendable(child, part, move |reason| SocketEvent::DiscoveryGivenUp {
            source,
            reason,
        });
        let discovery = Discovery { memory, child };
        self.discoveries.borrow_mut().push(discovery);
        true
    }

    /// Follows the source of this name no more, and ends its dialers and in order the connections that they made; `None`
    /// if there is none.
    pub(super) fn stop_discovery(
        self: &Rc<Self>,
        name: &str,
    ) -> Option<impl Future<Output = ()> + 'static> {
        let ended = self.take_discovery(name)?;
        self.core().standing.forget_discovery(name);
        let children = Rc::clone(self);
        Some(async move {
            ended.child.stop().await;
            // Until then it may have started more of them.
            let dialers = children.take_dialers(&ended.memory.take_dialled());
            end_all(dialers, &children.connections).await;
        })
    }

    fn take_discovery(&self, name: &str) -> Option<Discovery> {
        let mut discoveries = self.discoveries.borrow_mut();
        let mut known = discoveries.iter();
        let at = known.position(|known| known.memory.name() == name)?;
        Some(discoveries.remove(at))
    }

    /// Takes out the dialers with these memories.
    fn take_dialers(&self, dialled: &[Rc<DialMemory>]) -> Vec<Dialer> {
        let dialled: HashSet<_> = dialled.iter().map(Rc::as_ptr).collect();
        let is_its = |dialer: &mut Dialer| dialled.contains(&Rc::as_ptr(&dialer.memory));
        self.dialers.borrow_mut().extract_if(.., is_its).collect()
    }

    /// The memory of the dialer that is at work on an endpoint, if there is one. One that was given up is forgotten.
    fn memory_of_dialer(&self, endpoint: &Endpoint) -> Option<Rc<DialMemory>> {
        let mut dialers = self.dialers.borrow_mut();
        let is_at_work = |dialer: &Dialer| dialer.child.inspect().state != ChildState::Ended;
        let is_its = |dialer: &Dialer| {
            dialer.endpoint == *endpoint && dialer.memory.origin() == DialOrigin::Asked
        };
        dialers.retain(|dialer| !is_its(dialer) || is_at_work(dialer));
        let known = dialers.iter().find(|dialer| is_its(dialer))?;
        Some(Rc::clone(&known.memory))
    }

    /// The socket goes on without this actor where somebody hears of that; otherwise the program ends.
    fn expendable<A, F>(
        &self,
        child: Supervise<A, F>,
        part: Part,
        event: impl FnOnce(String) -> SocketEvent + Send + 'static,
    ) -> Child<A>
    where
        A: Actor<Context = Context<A>>,
        F: Factory<A>,
    {
        let core = Arc::clone(self.core());
        child
            .on_escalate(move |escalation: Escalation| {
                let reason = describe(&escalation);
                core.standing.note_given_up(part, reason.clone());
                let event = event(reason);
                if core.events.has_listeners() {
                    tracing::error!(?event, "the socket goes on without it");
                    core.events.announce(&event);
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
        self.accepting.set(false);
        self.core().standing.note_unbound_all();
        for listener in self.listeners.take() {
            actix_rt::spawn(async move { listener.child.stop().await });
        }
    }

    /// Nobody is dialled any more.
    pub(super) fn stop_dialling(&self) {
        for discovery in self.discoveries.take() {
            actix_rt::spawn(async move { discovery.child.stop().await });
        }
        for dialer in self.dialers.take() {
            actix_rt::spawn(async move { dialer.child.stop().await });
        }
    }

    /// Ends the listeners of an endpoint; `None` if there is none. The future resolves when its port is
    /// free.
    pub(super) fn unbind(&self, endpoint: &Endpoint) -> Option<impl Future<Output = ()> + 'static> {
        let mut listeners = self.listeners.borrow_mut();
        let ended: Vec<_> = listeners
            .extract_if(.., |listener| listener.endpoint == *endpoint)
            .collect();
        self.core().standing.note_unbound(endpoint);
        (!ended.is_empty()).then_some(async move {
            for listener in ended {
                listener.child.stop().await;
            }
        })
    }

    /// Ends the dialers of an endpoint, and in order the connections that they made; `None` if there is
    /// none. The future resolves when the endpoint is not dialled any more.
    pub(super) fn stop_connecting(
        &self,
        endpoint: &Endpoint,
    ) -> Option<impl Future<Output = ()> + 'static> {
        let mut dialers = self.dialers.borrow_mut();
        let is_its = |dialer: &mut Dialer| {
            dialer.endpoint == *endpoint && dialer.memory.origin() == DialOrigin::Asked
        };
        let ended: Vec<_> = dialers.extract_if(.., is_its).collect();
        self.core().standing.forget_dialer(endpoint);
        let connections = Arc::clone(&self.connections);
        (!ended.is_empty()).then_some(async move { end_all(ended, &connections).await })
    }

    /// A connection has panicked.
    pub(super) fn note_crash(&self) {
        self.crashed.set(self.crashed.get() + 1);
    }

    /// State of the actors and the connections of the socket.
    pub(super) fn inspect(&self) -> SocketReport {
        let mut children = vec![self.router.inspect()];
        let listeners = self.listeners.borrow();
        children.extend(listeners.iter().map(|listener| listener.child.inspect()));
        let dialers = self.dialers.borrow();
        children.extend(dialers.iter().map(|dialer| dialer.child.inspect()));
        let discoveries = self.discoveries.borrow();
        children.extend(discoveries.iter().map(|followed| followed.child.inspect()));
        SocketReport {
            identity: self.core().config.identity,
            children,
            peers: self.connections.peers(),
            handshakes: self.connections.handshakes(),
            crashed_connections: self.crashed.get(),
        }
    }

    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    fn core(&self) -> &Arc<SocketCore> {
        self.connections.core()
    }

    /// The actor that admits peers, for tests that make it panic.
    #[cfg(feature = "test-util")]
    pub(super) fn crash(&self, part: super::fault_injection::Part) {
        use super::fault_injection::{Crash, Part};
        match part {
            Part::Router => self.router.addr().do_send(Crash),
            Part::Listener => {
                for listener in self.listeners.borrow().iter() {
                    listener.child.addr().do_send(Crash);
                }
            }
            Part::Dialer => {
                for dialer in self.dialers.borrow().iter() {
                    dialer.child.addr().do_send(Crash);
                }
            }
            Part::Discovery => {
                for followed in self.discoveries.borrow().iter() {
                    followed.child.addr().do_send(Crash);
                }
            }
            Part::Socket => panic!("on demand"),
            Part::Connections => {
                for link in self.core().router.links().iter() {
                    link.crash();
                }
            }
        }
    }
}

impl DialerHost for Children {
    fn core(&self) -> &Arc<SocketCore> {
        self.connections.core()
    }

    fn start_found(&self, target: DialTarget) -> Rc<DialMemory> {
        self.add_dialer(target, DialOrigin::Found)
    }

    fn stop_found(&self, dialled: &[Rc<DialMemory>]) {
        for ended in self.take_dialers(dialled) {
            actix_rt::spawn(async move { ended.child.stop().await });
        }
    }
}

/// Ends dialers, and in order the connections that they made.
async fn end_all(dialers: Vec<Dialer>, connections: &Connections) {
    for dialer in dialers {
        dialer.child.stop().await;
        if let Some(key) = dialer.memory.connection() {
            connections.finish(key);
        }
    }
}

fn handles(arbiters: &[Arbiter]) -> Vec<ArbiterHandle> {
    arbiters.iter().map(Arbiter::handle).collect()
}
