//! One simulated socket: the routing core, connections and timers of a real one, with tasks of the
//! simulation where a real one has actors.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::executor::Owner;
use super::network::End;
use super::world::World;
use crate::address::{PeerAddress, Role, TransportKind};
use crate::clock;
use crate::connection::admission::Admitter;
use crate::connection::connections::Connections;
use crate::connection::handshake::introduce;
use crate::connection::liveness_sweep::SweptConnection;
use crate::connection::membership::{Peer, admit};
use crate::connection::session::Session;
use crate::core::SocketCore;
use crate::engine::{AfterDial, DialOutcome, Handshake, Liveness, Redial, TakenReport};
use crate::event::RefusalReason;
use crate::id::Identity;
use crate::lifecycle::SocketPhase;
use crate::link::Link;
use crate::routing::JoinOutcome;
use crate::transport::{ByteStream, ConnectionMeta, Established};

/// One life of a socket.
pub(super) struct Life {
    pub(super) owner: Owner,
    pub(super) place: usize,
    pub(super) identity: Identity,
    pub(super) core: Arc<SocketCore>,
    connections: Arc<Connections>,
    pub(super) swept: RefCell<Vec<Weak<SweptConnection>>>,
    /// Tasks that still send.
    pub(super) sending: Cell<usize>,
    /// Dialers have ended.
    closing: Cell<bool>,
    /// How many times its bound one of its links has taken, because both ends waited for each other.
    pub(super) raised: Cell<usize>,
}

/// Asks the core as the router does, a moment later.
struct RouterTask<'a>(&'a World, &'a Life);

impl Admitter for RouterTask<'_> {
    async fn admit(&self, link: Arc<Link>, peer: Peer) -> Result<JoinOutcome, actix::MailboxError> {
        let Self(world, life) = self;
        if world.dice.percent(30) {
            sleep(Duration::from_millis(world.dice.between(0, 5))).await;
        }
        let joined = admit(&life.core, &link, &peer);
        world.note(|| {
            let said = match &joined {
                JoinOutcome::Accepted => "welcome",
                JoinOutcome::Duplicate(_) => "duplicate",
                JoinOutcome::Itself => "itself",
                JoinOutcome::Closed => "closed",
            };
            format!("{} hears {}: {said}", life.owner, link.peer())
        });
        Ok(joined)
    }
}

impl Life {
    pub(super) fn new(owner: Owner, place: usize, core: Arc<SocketCore>) -> Rc<Self> {
        Rc::new(Self {
            owner,
            place,
            identity: core.config.identity,
            connections: Connections::new(Arc::clone(&core)),
            core,
            swept: RefCell::default(),
            sending: Cell::new(0),
            closing: Cell::new(false),
            raised: Cell::new(1),
        })
    }

    /// Starts what a socket does by itself.
    pub(super) fn start(self: &Rc<Self>, world: &Rc<World>) {
        let (sender, incoming) = mpsc::unbounded_channel();
        world.listen(self.place, sender);
        let spawn = |job| world.spawn(self.owner, job);
        spawn(boxed(accept_all(
            Rc::clone(world),
            Rc::clone(self),
            incoming,
        )));
        spawn(boxed(route(Rc::clone(self))));
        spawn(boxed(watch(Rc::clone(self))));
        for to in world.plan.dials(self.place) {
            spawn(boxed(dial_for_ever(Rc::clone(world), Rc::clone(self), to)));
        }
    }

    /// The handshake of a connection that has not begun.
    pub(super) fn handshake(&self, role: Role) -> Handshake {
        Handshake::new(role, self.identity)
    }

    /// Closes as a real socket does, in order.
    pub(super) async fn close(&self) {
        let core = &self.core;
        core.enter(SocketPhase::Closing);
        core.inbound.subscriptions.close();
        wait_until(core.config.close_deadline, || core.router.is_drained(true)).await;
        self.closing.set(true);
        for link in core.router.links().iter() {
            link.finish();
        }
        let gone = || core.admission.connections() == 0;
        wait_until(Duration::from_secs(3), gone).await;
        for link in core.router.links().iter() {
            link.abort();
        }
        wait_until(Duration::from_secs(3), gone).await;
        core.end("the simulation is over");
    }
}

fn boxed(job: impl Future<Output = ()> + 'static) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(job)
}

async fn wait_until(limit: Duration, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    // Either way the caller goes on.
    let _ = timeout(limit, waiting).await;
}

/// The router's timer.
async fn route(life: Rc<Life>) {
    loop {
        let now = clock::now();
        life.core.handle_sweep(now);
        life.core.inbound.subscriptions.handle_sweep(now);
        life.core.router.publish_joins();
        sleep(Duration::from_millis(500)).await;
    }
}

/// The sweep of the arbiter.
async fn watch(life: Rc<Life>) {
    let tick = Liveness::tick(&life.core.limits.timers());
    let mut reports: HashMap<*const SweptConnection, TakenReport> = HashMap::new();
    loop {
        sleep(tick).await;
        life.swept
            .borrow_mut()
            .retain(|swept| swept.strong_count() > 0);
        let swept: Vec<_> = life
            .swept
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let alive: HashSet<_> = swept.iter().map(Rc::as_ptr).collect();
        reports.retain(|connection, _| alive.contains(connection));
        for connection in swept {
            connection.handle_sweep(clock::now());
            let place = Rc::as_ptr(&connection);
            let report = reports.entry(place).or_insert(TakenReport::new(0));
            connection.report(clock::now(), report);
        }
    }
}

async fn accept_all(world: Rc<World>, life: Rc<Life>, mut incoming: mpsc::UnboundedReceiver<End>) {
    while let Some(end) = incoming.recv().await {
        let handshake = life.handshake(Role::BindEnd);
        let job = connection(Rc::clone(&world), Rc::clone(&life), handshake, end);
        world.spawn(life.owner, async move {
            let _ = job.await;
        });
    }
}

/// One connection, from its first byte to its end.
pub(super) async fn connection(
    world: Rc<World>,
    life: Rc<Life>,
    handshake: Handshake,
    end: End,
) -> DialOutcome {
    let core = Arc::clone(&life.core);
    let role = handshake.role();
    let address = PeerAddress::Memory("simulated".to_owned());
    let Some(entry) = life.connections.begin(address.clone(), role) else {
        return DialOutcome::Refused(RefusalReason::LimitReached);
    };
    let established = Established {
        stream: ByteStream::Simulated(Box::new(end)),
        already_read: bytes::Bytes::new(),
        meta: ConnectionMeta {
            remote: address.clone(),
            local: address,
            transport: TransportKind::Memory,
            certificates: None,
            request: None,
        },
    };
    let router = RouterTask(&world, &life);
    let opening = introduce(entry.entry(), &router, handshake, established);
    let opened = match timeout(core.config.handshake_timeout, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(refused)) => {
            world.note(|| format!("{} {role:?} refused: {:?}", life.owner, refused.reason));
            return match (refused.duplicate, refused.reason) {
                (Some(peer), _) => DialOutcome::Duplicate(peer),
                (None, Some(reason)) => DialOutcome::Refused(reason),
                (None, None) => DialOutcome::Abandoned,
            };
        }
        Err(_) => return DialOutcome::Refused(RefusalReason::TimedOut),
    };
    let up_since = clock::now();
    let link = Arc::clone(opened.membership.link());
    let traffic = Session::watched(opened, |link, stream, timers| {
        let swept = Rc::new(SweptConnection::new(link, stream, timers));
        life.swept.borrow_mut().push(Rc::downgrade(&swept));
        swept
    });
    world.joined(&life, link.peer());
    traffic.await;
    world.left(&life, link.peer());
    DialOutcome::Ended(
        link.peer(),
        clock::now().saturating_duration_since(up_since),
    )
}

/// A dialer: the real one's decisions, carried out by a task of the simulation.
async fn dial_for_ever(world: Rc<World>, life: Rc<Life>, to: usize) {
    let seed = world.dice.next();
    let mut redial = Redial::new(life.core.config.reconnect.delays_seeded(seed));
    while !life.closing.get() {
        sleep(Duration::from_millis(world.dice.between(0, 20))).await;
        let outcome = match world.dial(&life, to) {
            Some(end) => {
                let asks = redial.asks_whether_known() && life.core.router.was_dialled();
                let handshake = life.handshake(Role::ConnectEnd).asking_whether_known(asks);
                connection(Rc::clone(&world), Rc::clone(&life), handshake, end).await
            }
            None => DialOutcome::Refused(RefusalReason::TimedOut),
        };
        let is_connected = |peer| life.core.router.is_connected(peer);
        let pause = match redial.handle_outcome(outcome, is_connected) {
            AfterDial::Pause(pause) => pause,
            AfterDial::Fail { next_try, .. } => next_try,
            AfterDial::WaitUntilGone(peer) => {
                let since = clock::now();
                life.core.router.until_gone(peer).await;
                redial.handle_gone(clock::now().saturating_duration_since(since))
            }
        };
        if life.closing.get() {
            return;
        }
        sleep(pause).await;
    }
}
