//! The description of a tree.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, Context, Recipient};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::builder::{Factory, OnEscalate, Seed, Supervise};
use super::child_list::{Report, Roster, Seat};
use super::child_record::ChildCell;
use super::child_task::{Boss, ChildTask, EndGuard};
use super::event::{Notices, RestartEvent};
use super::panics::warn_unless_panics_unwind;
use super::policy::{Escalation, Policy, RestartPolicy};
use super::tree_handle::TreeHandle;
use super::tree_life::{TreeBoss, TreeTask};
use super::tree_strategy::{ChildId, Plan, Strategy};
use crate::engine::backoff::Backoff;
use crate::engine::restart_intensity::Intensity;

/// Describes actors that are supervised together, and starts them.
///
/// Children start in the order in which they were added, each after its predecessor's `started` has run, and
/// stop in the reverse order. An address is valid as soon as its child has been added, so the factories of later
/// children can hold it.
///
/// # Examples
///
/// ```
/// use actix::prelude::*;
/// use actix_aiomsg::supervise::{SupervisionTree, supervise};
///
/// struct Store;
/// impl Actor for Store {
///     type Context = Context<Self>;
/// }
///
/// struct Worker(Addr<Store>);
/// impl Actor for Worker {
///     type Context = Context<Self>;
/// }
///
/// # System::new().block_on(async {
/// let mut tree = SupervisionTree::rest_for_one();
/// let store = tree.child(supervise(|| Store));
/// let worker = tree.child(supervise(move || Worker(store.clone())));
/// let tree = tree.start();
/// assert!(worker.connected());
/// tree.stop().await;
/// assert!(!worker.connected());
/// # });
/// ```
#[must_use = "nothing runs before the tree is started"]
pub struct SupervisionTree {
    name: Arc<str>,
    strategy: Strategy,
    intensity: Intensity,
    restart: RestartPolicy,
    backoff: Backoff,
    on_escalate: Option<OnEscalate>,
    notices: Option<Notices>,
    roster: Arc<Roster>,
    members: Vec<Member>,
    next_id: u64,
    reports: (UnboundedSender<Report>, UnboundedReceiver<Report>),
}

impl std::fmt::Debug for SupervisionTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SupervisionTree")
            .field("name", &self.name)
            .field("strategy", &self.strategy)
            .field("children", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl SupervisionTree {
    /// A tree in which a child that fails is restarted alone.
    pub fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// A tree in which the failure of one child restarts all children.
    pub fn one_for_all() -> Self {
        Self::new(Strategy::OneForAll)
    }

    /// A tree in which the failure of one child restarts it and those that were added after it.
    pub fn rest_for_one() -> Self {
        Self::new(Strategy::RestForOne)
    }

    /// A tree with this strategy.
    pub fn new(strategy: Strategy) -> Self {
        Self {
            name: Arc::from("tree"),
            strategy,
            intensity: Intensity::default(),
            restart: RestartPolicy::default(),
            backoff: Backoff::default(),
            on_escalate: None,
            notices: None,
            roster: Arc::new(Roster {
                strategy,
                entries: Mutex::default(),
            }),
            members: Vec::new(),
            next_id: 0,
            reports: unbounded_channel(),
        }
    }

    /// Names the tree in events, reports and logs. The default is `tree`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Gives the tree up when its children would be restarted more than `max_restarts` times within `window`,
    /// all children counted together. The default is 5 in 10 s.
    pub fn intensity(mut self, max_restarts: u32, window: Duration) -> Self {
        self.intensity = Intensity {
            max_restarts,
            window,
        };
        self
    }

    /// Says whether the parent of a nested tree restarts it after it has given up. The default is
    /// [`RestartPolicy::Permanent`].
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// Says how long the parent of a nested tree waits before it restarts it.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Calls `act` when the outermost tree is given up, instead of stopping the actix `System` with exit code 1.
    pub fn on_escalate(mut self, act: impl FnOnce(Escalation) + Send + 'static) -> Self {
        self.on_escalate = Some(Box::new(act));
        self
    }

    /// Sends a [`RestartEvent`] to `recipient` whenever something happens to the tree, to its children that have no
    /// recipient of their own, and to those of nested trees.
    pub fn events(mut self, recipient: Recipient<RestartEvent>) -> Self {
        self.notices = Some(Notices::new(recipient));
        self
    }

    /// Adds an actor, which will run in the arbiter in which the tree is started.
    pub fn child<A, F>(&mut self, child: Supervise<A, F>) -> Addr<A>
    where
        A: Actor<Context = Context<A>>,
        F: Factory<A>,
    {
        let (addr, policy, seed) = child.into_seed();
        let cell = Arc::clone(seed.cell());
        let seat = self.seat();
        let launch = move || spawn_child(seed, seat);
        self.admit(cell, policy, None, Box::new(launch));
        addr
    }

    /// Adds an actor, which will run in another arbiter.
    pub fn child_in_arbiter<A, F>(
        &mut self,
        arbiter: &ArbiterHandle,
        child: Supervise<A, F>,
    ) -> Addr<A>
    where
        A: Actor<Context = Context<A>>,
        F: Factory<A> + Send,
    {
        let (addr, policy, seed) = child.into_seed();
        let cell = Arc::clone(seed.cell());
        let seat = self.seat();
        let arbiter = arbiter.clone();
        let launch = move || {
            arbiter.spawn_fn(move || spawn_child(seed, seat));
        };
        self.admit(cell, policy, None, Box::new(launch));
        addr
    }

    /// Adds a tree, which gives its failures to this one.
    pub fn nest(&mut self, mut tree: SupervisionTree) {
        let policy = Policy::new(tree.restart, None, &tree.backoff);
        let roster = Arc::clone(&tree.roster);
        let seat = self.seat();
        let cell = ChildCell::new(Arc::clone(&tree.name), tree.notices.take());
        let task = tree.into_task(Arc::clone(&cell), TreeBoss::Tree(seat));
        let launch = move || drop(actix::spawn(task.run()));
        self.admit(cell, policy, Some(roster), Box::new(launch));
    }

    /// Starts the tree in the current arbiter.
    ///
    /// # Panics
    ///
    /// Outside of an arbiter or a tokio `LocalSet`, as `Actor::start` does.
    pub fn start(mut self) -> TreeHandle {
        warn_unless_panics_unwind();
        if let Some(notices) = &self.notices {
            self.roster.adopt_notices(notices);
        }
        let cell = ChildCell::new(Arc::clone(&self.name), self.notices.take());
        let handle = TreeHandle {
            cell: Arc::clone(&cell),
            roster: Arc::clone(&self.roster),
            reports: self.reports.0.clone(),
        };
        let on_escalate = self.on_escalate.take();
        let task = self.into_task(cell, TreeBoss::Root(on_escalate));
        actix::spawn(task.run());
        handle
    }

    fn into_task(self, cell: Arc<ChildCell>, boss: TreeBoss) -> TreeTask {
        let mut plan = Plan::new(self.strategy, self.intensity);
        let mut launches = Vec::new();
        for member in self.members {
            plan.add(member.id, member.cell.name(), member.policy);
            launches.push(member.launch);
        }
        let end = EndGuard::new(Arc::clone(&cell), None);
        TreeTask {
            cell,
            plan,
            launches,
            roster: self.roster,
            next_id: self.next_id,
            reports: self.reports,
            incarnations: 0,
            dismissed: false,
            _end: end,
            boss,
        }
    }

    fn seat(&self) -> Seat {
        Seat::new(ChildId(self.next_id), self.reports.0.clone())
    }

    fn admit(
        &mut self,
        cell: Arc<ChildCell>,
        policy: Policy,
        tree: Option<Arc<Roster>>,
        launch: Launch,
    ) {
        let id = ChildId(self.next_id);
        self.next_id += 1;
        self.roster.insert(id, Arc::clone(&cell), tree);
        self.members.push(Member {
            id,
            cell,
            policy,
            launch,
        });
    }
}

pub(crate) type Launch = Box<dyn FnOnce()>;

struct Member {
    id: ChildId,
    cell: Arc<ChildCell>,
    policy: Policy,
    launch: Launch,
}

pub(crate) fn spawn_child<A, F>(seed: Seed<A, F>, seat: Seat)
where
    A: Actor<Context = Context<A>>,
    F: Factory<A>,
{
    actix::spawn(ChildTask::new(seed, Boss::Tree(seat)).run());
}
