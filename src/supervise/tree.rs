//! The description of a tree.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, Context, Recipient};

use super::builder::Supervise;
use super::child_record::ChildRecord;
use super::child_task::{ChildTask, EndGuard, Supervisor};
use super::event::{RestartEvent, RestartNotices};
use super::factory::Factory;
use super::panics::warn_unless_panics_unwind;
use super::policy::{Escalation, OnEscalate, Policy, RestartPolicy};
use super::tree_handle::TreeHandle;
use super::tree_runner::TreeRunner;
use super::tree_strategy::Strategy;
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
    restart: RestartPolicy,
    backoff: Backoff,
    on_escalate: Option<OnEscalate>,
    notices: Option<RestartNotices>,
    runner: TreeRunner,
}

impl std::fmt::Debug for SupervisionTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SupervisionTree")
            .field("name", &self.name)
            .field("children", &self.runner.children)
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
            restart: RestartPolicy::default(),
            backoff: Backoff::default(),
            on_escalate: None,
            notices: None,
            runner: TreeRunner::new(strategy),
        }
    }

    /// Names the tree in events, reports and logs. The default is `tree`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Gives the tree up when its children would be restarted more than `max_restarts` times within `window`,
    /// all children counted together. A window of zero is none: so many are allowed in all. The default is 5 in 10 s.
    pub fn intensity(mut self, max_restarts: u32, window: Duration) -> Self {
        self.runner.plan.limit(Intensity {
            max_restarts,
            window,
        });
        self
    }

    /// Sets the rule by which the parent of a nested tree restarts it after it has given up. The default is
    /// [`RestartPolicy::Permanent`].
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// Sets the pause before the parent of a nested tree restarts it.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Calls `act` when the outermost tree is given up, instead of [ending the
    /// program](mod@crate::supervise#when-it-gives-up).
    pub fn on_escalate(mut self, act: impl FnOnce(Escalation) + Send + 'static) -> Self {
        self.on_escalate = Some(Box::new(act));
        self
    }

    /// Sends a [`RestartEvent`] to `recipient` whenever something happens to the tree, to its children that have no
    /// recipient of their own, and to those of nested trees.
    pub fn events(mut self, recipient: Recipient<RestartEvent>) -> Self {
        self.notices = Some(RestartNotices::new(recipient));
        self
    }

    /// Adds an actor, which will run in the arbiter in which the tree is started.
    pub fn child<A, F>(&mut self, child: Supervise<A, F>) -> Addr<A>
    where
        A: Actor<Context = Context<A>>,
        F: Factory<A>,
    {
        let (addr, policy, seed) = child.into_seed();
        let place = self.runner.admit(seed.record(), policy, None);
        self.runner
            .launches
            .push(Box::new(move || seed.launch(Supervisor::Tree(place))));
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
        let place = self.runner.admit(seed.record(), policy, None);
        let arbiter = arbiter.clone();
        self.runner.launches.push(Box::new(move || {
            arbiter.spawn_fn(move || seed.launch(Supervisor::Tree(place)));
        }));
        addr
    }

    /// Adds a tree, which gives its failures to this one.
    pub fn nest(&mut self, tree: SupervisionTree) {
        let policy = Policy::new(tree.restart, None, &tree.backoff);
        let record = ChildRecord::new(tree.name, tree.notices);
        #[cfg(feature = "inspection")]
        super::all_children::note(&record);
        let children = Arc::clone(&tree.runner.children);
        if let Some(notices) = record.notices() {
            children.adopt_notices(&notices);
        }
        let place = self.runner.admit(&record, policy, Some(children));
        let end = EndGuard::new(record, None);
        let task = ChildTask::new(tree.runner, end, Supervisor::Tree(place));
        self.runner
            .launches
            .push(Box::new(move || drop(actix::spawn(task.run()))));
    }

    /// Starts the tree in the current arbiter.
    ///
    /// # Panics
    ///
    /// Outside of an arbiter or a tokio `LocalSet`, as `Actor::start` does.
    pub fn start(self) -> TreeHandle {
        warn_unless_panics_unwind();
        if let Some(notices) = &self.notices {
            self.runner.children.adopt_notices(notices);
        }
        let record = ChildRecord::new(self.name, self.notices);
        #[cfg(feature = "inspection")]
        super::all_children::note(&record);
        let handle = TreeHandle {
            record: Arc::clone(&record),
            children: Arc::clone(&self.runner.children),
            inputs: self.runner.inputs.0.clone(),
        };
        // An outermost tree that gives up is not started anew.
        let rules = Supervisor::Rules {
            policy: Policy::new(RestartPolicy::Temporary, None, &self.backoff),
            on_escalate: self.on_escalate,
        };
        let end = EndGuard::new(record, None);
        actix::spawn(ChildTask::new(self.runner, end, rules).run());
        handle
    }
}
