//! The description of one supervised actor.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, ArbiterHandle, Context, Recipient};

use super::actor_runner::ActorRunner;
use super::child_handle::Child;
use super::child_record::ChildRecord;
use super::child_task::{ChildTask, EndGuard, Supervisor};
use super::event::{RestartEvent, RestartNotices};
use super::factory::Factory;
use super::incarnation::{LastingMailbox, Lifetime};
use super::monitor::{AddrKey, enlist};
use super::panics::{Contained, PanicReport, warn_unless_panics_unwind};
use super::policy::{Decision, Escalation, OnEscalate, OnPanic, Policy, RestartPolicy};
use crate::engine::backoff::Backoff;
use crate::engine::restart_intensity::Intensity;

/// The capacity that actix gives a mailbox by default.
const DEFAULT_MAILBOX_CAPACITY: usize = 16;

/// The default patience with an actor that refuses to stop.
/// The time above its patience after which an actor that does not halt has a thread that is blocked.
const HALT_MARGIN: Duration = Duration::from_secs(1);

pub(crate) const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// Begins the description of a supervised actor, which `factory` makes now and for every restart.
///
/// See the [module](mod@crate::supervise) for what supervision does, and [`Supervise`] for what can be chosen.
pub fn supervise<A, F>(factory: F) -> Supervise<A, F>
where
    A: Actor<Context = Context<A>>,
    F: Factory<A>,
{
    Supervise::new(factory)
}

/// Describes how an actor is supervised, and starts it. See [`supervise()`].
#[must_use = "nothing runs before it is started or given to a tree"]
pub struct Supervise<A, F> {
    factory: F,
    name: Arc<str>,
    restart: RestartPolicy,
    intensity: Option<Intensity>,
    backoff: Backoff,
    on_panic: Option<OnPanic>,
    on_escalate: Option<OnEscalate>,
    events: Option<Recipient<RestartEvent>>,
    lifetime: Lifetime,
    mailbox_capacity: usize,
    shutdown: Duration,
    actor: PhantomData<fn() -> A>,
}

impl<A, F> std::fmt::Debug for Supervise<A, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervise")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl<A, F> Supervise<A, F>
where
    A: Actor<Context = Context<A>>,
    F: Factory<A>,
{
    fn new(factory: F) -> Self {
        Self {
            factory,
            name: Arc::from(short_type_name::<A>()),
            restart: RestartPolicy::default(),
            intensity: None,
            backoff: Backoff::default(),
            on_panic: None,
            on_escalate: None,
            events: None,
            lifetime: Lifetime::Supervised,
            mailbox_capacity: DEFAULT_MAILBOX_CAPACITY,
            shutdown: DEFAULT_SHUTDOWN,
            actor: PhantomData,
        }
    }

    /// Names the actor in events, reports and logs. The default is the name of its type.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets which ends are answered with a restart. The default is [`RestartPolicy::Permanent`].
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// Gives the actor up when it would be restarted more than `max_restarts` times within `window`.
    ///
    /// A window of zero is none: so many restarts are allowed in all. The default is 5 in 10 s. An actor in a [`SupervisionTree`](super::SupervisionTree) counts against the intensity of
    /// the tree, and has one of its own only if this method is called.
    pub fn intensity(mut self, max_restarts: u32, window: Duration) -> Self {
        self.intensity = Some(Intensity {
            max_restarts,
            window,
        });
        self
    }

    /// Sets the pause before a restart. The default is [`Backoff::default`].
    ///
    /// The count of attempts starts over when an incarnation has lived as long as the window of the intensity, or 10 s if it has none.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Asks `decide` what to do about each panic. Without it, and if it panics itself, the answer is
    /// [`Decision::Restart`].
    pub fn on_panic(
        mut self,
        decide: impl FnMut(&PanicReport) -> Decision + Send + 'static,
    ) -> Self {
        self.on_panic = Some(Box::new(decide));
        self
    }

    /// Calls `act` when the actor is given up, instead of [ending the program](mod@crate::supervise#when-it-gives-up).
    ///
    /// By default, an actor that is given up outside of any tree ends the program with status 1, which does not go
    /// on without a part that it relies on. So does one whose callback panics. In a tree the failure goes to the tree
    /// and this callback is not used.
    pub fn on_escalate(mut self, act: impl FnOnce(Escalation) + Send + 'static) -> Self {
        self.on_escalate = Some(Box::new(act));
        self
    }

    /// Sends a [`RestartEvent`] to `recipient` whenever something happens to the actor.
    pub fn events(mut self, recipient: Recipient<RestartEvent>) -> Self {
        self.events = Some(recipient);
        self
    }

    /// Ends the actor when no address leads to it and its context has nothing left to do, as actix does.
    ///
    /// By default a supervised actor lives on without addresses.
    pub fn while_addressed(mut self) -> Self {
        self.lifetime = Lifetime::WhileAddressed;
        self
    }

    /// Sets the capacity of the mailbox, in messages. The default is that of actix, 16; 0 means no limit.
    ///
    /// A capacity that the actor sets with `Context::set_mailbox_capacity` lasts over restarts too.
    pub fn mailbox_capacity(mut self, messages: usize) -> Self {
        self.mailbox_capacity = messages;
        self
    }

    /// Sets the time that an actor has to stop when its supervisor halts it. An actor that answers
    /// `Running::Continue` is ended after it. The default is 5 s.
    pub fn shutdown(mut self, patience: Duration) -> Self {
        self.shutdown = patience;
        self
    }

    /// Starts the actor in the current arbiter.
    ///
    /// # Panics
    ///
    /// Outside of an arbiter or a tokio `LocalSet`, as `Actor::start` does.
    pub fn start(self) -> Addr<A> {
        self.spawn().addr()
    }

    /// Starts the actor in the current arbiter and returns a handle that can also inspect and stop it.
    ///
    /// # Panics
    ///
    /// Outside of an arbiter or a tokio `LocalSet`, as `Actor::start` does.
    pub fn spawn(self) -> Child<A> {
        let (addr, rules, seed) = self.into_parts();
        let child = Child::new(addr, Arc::clone(seed.record()));
        seed.launch(rules);
        child
    }

    /// Starts the actor in another arbiter. Its factory moves there; the actor itself need not be `Send`.
    ///
    /// If that arbiter has ended, the address is disconnected.
    pub fn start_in_arbiter(self, arbiter: &ArbiterHandle) -> Addr<A>
    where
        F: Send,
    {
        let (addr, rules, seed) = self.into_parts();
        arbiter.spawn_fn(move || seed.launch(rules));
        addr
    }

    fn into_parts(mut self) -> (Addr<A>, Supervisor, Seed<A, F>) {
        self.intensity = Some(self.intensity.unwrap_or_default());
        let on_escalate = self.on_escalate.take();
        let (addr, policy, seed) = self.into_seed();
        let rules = Supervisor::Rules {
            policy,
            on_escalate,
        };
        (addr, rules, seed)
    }

    /// Creates the mailbox and everything else that the actor keeps for life.
    pub(crate) fn into_seed(self) -> (Addr<A>, Policy, Seed<A, F>) {
        warn_unless_panics_unwind();
        let (tx, receiver) = channel(self.mailbox_capacity);
        let addr = Addr::new(tx);
        let record = ChildRecord::new(self.name, self.events.map(RestartNotices::new));
        #[cfg(feature = "inspection")]
        super::all_children::note(&record);
        let key = AddrKey::of(&addr);
        enlist(key, Arc::clone(&record));
        let seed = Seed {
            receiver: Contained::new(receiver),
            factory: Contained::new(self.factory),
            lifetime: self.lifetime,
            on_panic: Contained::new(self.on_panic),
            shutdown: self.shutdown,
            end: EndGuard::new(record, Some(key)),
        };
        let policy = Policy::new(self.restart, self.intensity, &self.backoff)
            .halting_within(self.shutdown.saturating_add(HALT_MARGIN));
        (addr, policy, seed)
    }
}

/// A supervised actor on the way to its arbiter. The guard comes last, so that the mailbox is closed when
/// it tells everyone that the actor has ended.
pub(crate) struct Seed<A: Actor, F> {
    receiver: Contained<AddressReceiver<A>>,
    factory: Contained<F>,
    lifetime: Lifetime,
    on_panic: Contained<Option<OnPanic>>,
    shutdown: Duration,
    end: EndGuard,
}

impl<A, F> Seed<A, F>
where
    A: Actor<Context = Context<A>>,
    F: Factory<A>,
{
    pub(crate) fn record(&self) -> &Arc<ChildRecord> {
        self.end.record()
    }

    /// Starts the actor's task in the arbiter of this thread.
    pub(crate) fn launch(self, supervisor: Supervisor) {
        let mailbox = LastingMailbox::new(self.receiver.into_inner(), self.lifetime);
        let runner = ActorRunner {
            factory: Contained::new(Box::new(self.factory.into_inner())),
            mailbox: Contained::new(mailbox),
            on_panic: self.on_panic,
            shutdown: self.shutdown,
        };
        actix::spawn(ChildTask::new(runner, self.end, supervisor).run());
    }
}

/// The name of a type without the path of its module; type parameters keep theirs.
fn short_type_name<A>() -> &'static str {
    let name = std::any::type_name::<A>();
    let path_end = name.find('<').unwrap_or(name.len());
    let start = name[..path_end].rfind("::").map_or(0, |index| index + 2);
    &name[start..]
}
