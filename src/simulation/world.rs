//! Sockets, network and applications of one simulation, and the course that it takes.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::application::{Undertaker, send_all, supervise};
use super::dice::Dice;
use super::executor::{Executor, NOBODY, Owner};
use super::ledger::{Ledger, Number};
use super::network::{End, FOR_EVER, Network};
use super::order::Others;
use super::plan::Plan;
use super::services;
use super::socket::{Life, connection};
use crate::address::Role;
use crate::clock;
use crate::core::SocketCore;
use crate::id::Identity;
use crate::limits::AckPolicy;

/// What one simulation is made of.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    executor: Executor,
    network: Network,
    ledger: RefCell<Ledger>,
    lives: RefCell<Vec<Option<Rc<Life>>>>,
    listeners: RefCell<Vec<Option<mpsc::UnboundedSender<End>>>>,
    next_owner: Cell<Owner>,
    next_number: Cell<u32>,
    described: Cell<u64>,
    started: std::time::Instant,
    pub(super) over: Cell<bool>,
    /// Nothing goes wrong any more.
    well: Cell<bool>,
    /// What happened, if anybody wants to know.
    trace: Option<Rc<RefCell<Vec<String>>>>,
}

impl World {
    pub(super) fn new(plan: Plan, dice: Dice, trace: Option<Rc<RefCell<Vec<String>>>>) -> Rc<Self> {
        let sockets = plan.sockets;
        let mut ledger = Ledger::default();
        ledger.calm = plan.calm;
        ledger.order.calm = plan.calm;
        ledger.max_attempts = 3;
        ledger.may_drop = plan.may_drop();
        ledger.dedupes = plan.policies.dedupes;
        ledger.on_receipt = plan.policies.acknowledges == AckPolicy::OnReceipt;
        ledger.services.on_receipt = ledger.on_receipt;
        ledger.narrow = plan.narrow_at.is_some();
        Rc::new(Self {
            executor: Executor::new(dice.clone()),
            network: Network::new(dice.clone(), plan.quality),
            ledger: RefCell::new(ledger),
            lives: RefCell::new(vec![None; sockets]),
            listeners: RefCell::new(vec![None; sockets]),
            next_owner: Cell::new(NOBODY + 1),
            next_number: Cell::new(0),
            described: Cell::new(0),
            started: clock::now(),
            over: Cell::new(false),
            well: Cell::new(false),
            trace,
            plan,
            dice,
        })
    }

    /// Runs everything until the course is over.
    pub(super) async fn run(self: &Rc<Self>, course: impl Future<Output = ()> + 'static) {
        self.spawn(NOBODY, course);
        let turn = |cx: &mut std::task::Context<'_>| {
            self.executor
                .poll(cx, || self.over.get(), |owner| self.check(owner))
        };
        std::future::poll_fn(turn).await;
    }

    /// Ends everything, so that nothing of it is left for the next simulation.
    pub(super) fn clear(&self) {
        self.lives.borrow_mut().clear();
        self.listeners.borrow_mut().clear();
        self.executor.clear();
    }

    pub(super) fn ledger(&self) -> RefMut<'_, Ledger> {
        self.ledger.borrow_mut()
    }

    pub(super) fn spawn(&self, owner: Owner, job: impl Future<Output = ()> + 'static) {
        self.executor.spawn(owner, job);
    }

    /// A message was handled with its metadata.
    pub(super) fn note_metadata(&self) {
        self.described.set(self.described.get() + 1);
    }

    /// Messages that were handled with their metadata.
    pub(super) fn described(&self) -> u64 {
        self.described.get()
    }

    /// Adds a line to the trace.
    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let line = format!(
                "{:>9.3} {}",
                clock::now()
                    .saturating_duration_since(self.started)
                    .as_secs_f64(),
                text()
            );
            trace.borrow_mut().push(line);
        }
    }

    pub(super) fn take_seen(&self) -> Vec<super::tap::Seen> {
        self.network.take_seen()
    }

    /// A peer has been admitted.
    pub(super) fn joined(&self, life: &Life, peer: Identity) {
        self.note(|| format!("{} has {peer}", life.owner));
    }

    /// A connection has ended, and what it held is where it belongs.
    pub(super) fn left(&self, life: &Life, peer: Identity) {
        self.note(|| format!("{} lost {peer}", life.owner));
        let swept = life.swept.borrow();
        let others = match life.core.stats().peers {
            0 if swept.iter().all(|other| other.strong_count() == 0) => Others::Nobody,
            // They give way by an overflow policy, for instance.
            0 => Others::Leaving,
            _ => Others::Connected,
        };
        let alive = self.alive();
        let gone = alive.iter().find(|other| other.identity == peer);
        let gone = gone.map_or(NOBODY, |gone| gone.owner);
        self.ledger().order.depart(life.owner, gone, others);
    }

    pub(super) fn next_number(&self) -> u32 {
        self.next_number.replace(self.next_number.get() + 1)
    }

    pub(super) fn listen(&self, place: usize, incoming: mpsc::UnboundedSender<End>) {
        self.listeners.borrow_mut()[place] = Some(incoming);
    }

    pub(super) fn life(&self, place: usize) -> Option<Rc<Life>> {
        self.lives.borrow()[place].clone()
    }

    pub(super) fn alive(&self) -> Vec<Rc<Life>> {
        self.lives.borrow().iter().flatten().cloned().collect()
    }

    /// A connection to the socket at a place, if it lives.
    pub(super) fn dial(&self, from: &Life, to: usize) -> Option<End> {
        let target = self.life(to).filter(|life| life.core.lifecycle.is_open())?;
        let (ours, theirs) = self.network.connect(from.owner, target.owner);
        let listeners = self.listeners.borrow();
        listeners[to].as_ref()?.send(theirs).ok()?;
        Some(ours)
    }

    /// The identity of another socket, connected or not.
    pub(super) fn somebody_else(&self, life: &Life) -> Option<Identity> {
        let other = self.dice.below(self.plan.sockets);
        let other = self.life(other)?;
        (other.owner != life.owner).then_some(other.identity)
    }

    /// Starts a socket, with the identity that the last one at this place had or a new one.
    pub(super) fn give_life(self: &Rc<Self>, place: usize, version: u8) {
        let owner = self.next_owner.replace(self.next_owner.get() + 1);
        let mut name = [0; 16];
        (name[0], name[15]) = (version, place as u8 + 1);
        let config = self.plan.config(place, Identity::from_bytes(name));
        assert!(config.check().is_ok());
        let core = SocketCore::new(config, clock::now());
        let life = Life::new(owner, place, core);
        self.note(|| format!("{owner} is {} at {place}", life.identity));
        if self.plan.is_late(place) {
            self.ledger().unclaimed.note_late(owner);
        }
        self.lives.borrow_mut()[place] = Some(Rc::clone(&life));
        Undertaker::start(self, &life);
        life.start(self);
        self.spawn(owner, supervise(Rc::clone(self), Rc::clone(&life)));
        if self.plan.sends(place) {
            let senders = self.plan.load.senders;
            life.sending.set(senders);
            for task in 0..senders {
                let sender = send_all(Rc::clone(self), Rc::clone(&life), task as u16);
                self.spawn(owner, sender);
            }
        }
        if let Some(plan) = self.plan.services {
            services::start(self, &life, plan);
        }
    }

    /// A process dies, or its machine does.
    fn kill(&self, place: usize) {
        let Some(life) = self.lives.borrow_mut()[place].take() else {
            return;
        };
        let silently = self.dice.percent(30);
        self.note(|| format!("{} dies, silently: {silently}", life.owner));
        self.listeners.borrow_mut()[place] = None;
        if silently {
            self.network.forget(life.owner);
        }
        self.executor.drop_all(life.owner);
    }

    /// One thing goes wrong.
    fn harm(self: &Rc<Self>, dead: &mut Vec<(usize, u8)>) {
        let dice = &self.dice;
        match dice.below(10) {
            0..3 => {
                if let Some(wire) = self.network.any_wire() {
                    let losing = dice.percent(70);
                    self.note(|| format!("cut {:?}, losing {losing}", wire.lock().ends));
                    wire.lock().reset(losing);
                }
            }
            3..6 => {
                if let Some(wire) = self.network.any_wire() {
                    let times = [Duration::from_millis(300), Duration::from_secs(7), FOR_EVER];
                    let (way, time) = (dice.below(2), dice.one_of(&times));
                    self.note(|| format!("hold {:?} {way} for {time:?}", wire.lock().ends));
                    wire.lock().hold(way, time);
                }
            }
            6..8 => {
                let alive = self.alive();
                if alive.len() > 1 {
                    let from = Rc::clone(&alive[dice.below(alive.len())]);
                    let to = dice.below(self.plan.sockets);
                    self.note(|| format!("{} dials {to} once more", from.owner));
                    if let Some(end) = self.dial(&from, to) {
                        let owner = from.owner;
                        let handshake = from.handshake(Role::ConnectEnd);
                        let job = connection(Rc::clone(self), from, handshake, end);
                        self.spawn(owner, async move {
                            let _ = job.await;
                        });
                    }
                }
            }
            _ if self.plan.faults.kills && dead.len() + 1 < self.plan.sockets => {
                let place = dice.below(self.plan.sockets);
                if let Some(life) = self.life(place) {
                    let version = life.identity.as_bytes()[0];
                    self.kill(place);
                    dead.push((place, version + u8::from(dice.percent(40))));
                }
            }
            _ => {
                if let Some((place, version)) = dead.pop() {
                    self.give_life(place, version);
                }
            }
        }
    }

    /// The course of a simulation: all start, things go wrong, things are well again, all has to
    /// come to its end.
    pub(super) async fn course(self: Rc<Self>) {
        self.start_all().await;
        self.go_wrong().await;
        self.rest().await;
        self.end().await;
    }

    /// Things go wrong for a while, and are well again in the end.
    pub(super) async fn go_wrong(self: &Rc<Self>) {
        let faults = self.plan.faults;
        let (begin, mut dead) = (clock::now(), Vec::new());
        while clock::now().saturating_duration_since(begin) < Duration::from_millis(faults.last) {
            sleep(Duration::from_millis(self.dice.between(1, faults.apart))).await;
            self.harm(&mut dead);
        }
        self.note(|| "all is well again".to_owned());
        self.network.release_all();
        for (place, version) in dead {
            self.give_life(place, version);
        }
        self.well.set(true);
    }

    /// True once nothing goes wrong any more.
    pub(super) fn is_well(&self) -> bool {
        self.well.get()
    }

    /// Starts all sockets, one after the other.
    pub(super) async fn start_all(self: &Rc<Self>) {
        for place in 0..self.plan.sockets {
            self.give_life(place, 0);
            sleep(Duration::from_millis(self.dice.between(0, 30))).await;
        }
    }

    /// Closes all sockets, and looks at what became of each message.
    pub(super) async fn end(&self) {
        let mut alive = self.alive();
        while !alive.is_empty() {
            let life = alive.swap_remove(self.dice.below(alive.len()));
            self.note(|| format!("{} closes", life.owner));
            self.listeners.borrow_mut()[life.place] = None;
            life.close().await;
        }
        sleep(Duration::from_millis(10)).await;
        self.settle();
        self.over.set(true);
    }

    /// Waits until everything that was accepted has come to an end, which is bound to happen.
    pub(super) async fn rest(&self) {
        let begin = clock::now();
        loop {
            while let Some(restless) = self.restless() {
                assert!(
                    clock::now().saturating_duration_since(begin) < self.plan.patience,
                    "no end in sight: {}",
                    self.describe(&restless)
                );
                sleep(Duration::from_millis(50)).await;
            }
            // What is under way in the network has time to arrive.
            sleep(Duration::from_secs(2)).await;
            if self.restless().is_none() {
                return;
            }
        }
    }

    /// A socket at which something has not come to its end.
    fn restless(&self) -> Option<Rc<Life>> {
        self.ledger().look_at_receipts();
        self.alive().into_iter().find(|life| {
            let core = &life.core;
            life.sending.get() > 0
                || !core.router.is_drained(true)
                || core.inbound.subscriptions.load().0 > 0
                || core.inbound.asks.outstanding() > 0
                || !self.open(life.owner).is_empty()
        })
    }

    /// What a socket has sent that has not come to its end.
    fn open(&self, owner: Owner) -> Vec<Number> {
        let ledger = self.ledger();
        let mut open = ledger.unsettled_of(owner);
        open.extend(ledger.services.unsettled_of(owner));
        open
    }

    fn describe(&self, life: &Life) -> String {
        let (owner, sending, open) = (life.owner, life.sending.get(), self.open(life.owner));
        let (instances, stats) = (services::instances(life), life.core.stats());
        format!("{owner} {sending} {open:?} {instances:?} {stats:#?}")
    }

    fn settle(&self) {
        let mut ledger = self.ledger();
        ledger.look_at_receipts();
        for life in self.alive() {
            ledger.settle(life.owner);
            ledger.unclaimed.settle(life.owner);
            if self.plan.calm && self.plan.load.named == 0 {
                let shares = ledger.shares(life.owner);
                let (least, most) = (shares.values().min(), shares.values().max());
                let all = shares.len() == self.plan.peers_of(life.place);
                if let (Some(least), Some(most)) = (least, most) {
                    let least = if all { *least } else { 0 };
                    assert!(most - least <= 1, "not fair within one: {shares:?}");
                }
            }
        }
    }
}
