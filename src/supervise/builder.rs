//! The description of one supervised actor.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, ArbiterHandle, Context, Recipient};

use super::child_record::ChildCell;
use super::child_task::{Alone, Boss, ChildTask, EndGuard};
use super::event::{Notices, RestartEvent};
use super::monitor::{AddrKey, enlist};
use super::panics::{Contained, PanicReport, warn_unless_panics_unwind};
use super::policy::{Decision, Escalation, Policy, RestartPolicy};
use super::tree_handle::Child;
use crate::engine::backoff::Backoff;
use crate::engine::restart_intensity::Intensity;

/// The capacity that actix gives a mailbox by default.
const DEFAULT_MAILBOX_CAPACITY: usize = 16;

/// How long an actor that refuses to stop is waited for by default.
pub(crate) const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// What makes the actor, at the start and again for every restart.
///
/// Every closure `FnMut() -> A` is a factory. [`with_context`] makes one from a closure that wants to see the
/// context first. A factory that panics is kept and asked again after the backoff.
pub trait Factory<A: Actor<Context = Context<A>>>: 'static {
    /// Makes an actor that will run in `ctx`.
    fn build(&mut self, ctx: &mut Context<A>) -> A;
}

impl<A, F> Factory<A> for F
where
    A: Actor<Context = Context<A>>,
    F: FnMut() -> A + 'static,
{
    fn build(&mut self, _: &mut Context<A>) -> A {
        self()
    }
}

/// A factory that is given the context of the new actor. See [`with_context`].
#[derive(Clone, Debug)]
pub struct WithContext<F>(F);

/// Makes a [`Factory`] from a closure that is given the context of the new actor, as `Actor::create` does.
pub fn with_context<A, F>(factory: F) -> WithContext<F>
where
    A: Actor<Context = Context<A>>,
    F: FnMut(&mut Context<A>) -> A + 'static,
{
    WithContext(factory)
}

impl<A, F> Factory<A> for WithContext<F>
where
    A: Actor<Context = Context<A>>,
    F: FnMut(&mut Context<A>) -> A + 'static,
{
    fn build(&mut self, ctx: &mut Context<A>) -> A {
        (self.0)(ctx)
    }
}

/// How long a supervised actor lives without an address that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Supervised,
    WhileAddressed,
}

pub(crate) type OnPanic = Box<dyn FnMut(&PanicReport) -> Decision + Send>;
pub(crate) type OnEscalate = Box<dyn FnOnce(Escalation) + Send>;

/// Describes how an actor is supervised, and starts it. See [`supervise`](super::supervise()).
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
    pub(crate) fn new(factory: F) -> Self {
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

    /// Says which ends are answered with a restart. The default is [`RestartPolicy::Permanent`].
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// Gives the actor up when it would be restarted more than `max_restarts` times within `window`.
    ///
    /// The default is 5 in 10 s. An actor in a [`SupervisionTree`](super::SupervisionTree) counts against the intensity of
    /// the tree, and has one of its own only if this method is called.
    pub fn intensity(mut self, max_restarts: u32, window: Duration) -> Self {
        self.intensity = Some(Intensity {
            max_restarts,
            window,
        });
        self
    }

    /// Says how long to wait before a restart. The default is [`Backoff::default`].
    ///
    /// The count of attempts starts over when an incarnation has lived as long as the window of the intensity.
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

    /// Calls `act` when the actor is given up, instead of stopping the actix `System`.
    ///
    /// By default, an actor that is given up outside of any tree stops the running `System` with exit code 1, so
    /// that a program does not go on without a part it relies on. In a tree the failure goes to the tree and this
    /// callback is not used.
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
    /// What an actor sets with `Context::set_mailbox_capacity` lasts over restarts too.
    pub fn mailbox_capacity(mut self, messages: usize) -> Self {
        self.mailbox_capacity = messages;
        self
    }

    /// Says how long an actor that answers `Running::Continue` to its supervisor is waited for, before it is
    /// ended without further questions. The default is 5 s.
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
        let (addr, alone, seed) = self.into_parts();
        actix::spawn(ChildTask::new(seed, Boss::Alone(alone)).run());
        addr
    }

    /// Starts the actor in the current arbiter and returns a handle that can also inspect and stop it.
    ///
    /// # Panics
    ///
    /// Outside of an arbiter or a tokio `LocalSet`, as `Actor::start` does.
    pub fn spawn(self) -> Child<A> {
        let (addr, alone, seed) = self.into_parts();
        let child = Child::new(addr, Arc::clone(seed.cell()));
        actix::spawn(ChildTask::new(seed, Boss::Alone(alone)).run());
        child
    }

    /// Starts the actor in another arbiter. Its factory moves there; the actor itself need not be `Send`.
    ///
    /// If that arbiter has ended, the address is disconnected.
    pub fn start_in_arbiter(self, arbiter: &ArbiterHandle) -> Addr<A>
    where
        F: Send,
    {
        let (addr, alone, seed) = self.into_parts();
        arbiter.spawn_fn(move || {
            actix::spawn(ChildTask::new(seed, Boss::Alone(alone)).run());
        });
        addr
    }

    fn into_parts(mut self) -> (Addr<A>, Alone, Seed<A, F>) {
        let intensity = self.intensity.unwrap_or_default();
        let alone = Alone {
            policy: Policy::new(self.restart, Some(intensity), &self.backoff),
            on_escalate: self.on_escalate.take(),
        };
        let (addr, _, seed) = self.into_seed();
        (addr, alone, seed)
    }

    /// Creates the mailbox and everything else that the actor keeps for life.
    pub(crate) fn into_seed(self) -> (Addr<A>, Policy, Seed<A, F>) {
        warn_unless_panics_unwind();
        let (tx, receiver) = channel(self.mailbox_capacity);
        let addr = Addr::new(tx);
        let cell = ChildCell::new(self.name, self.events.map(Notices::new));
        let key = AddrKey::of(&addr);
        enlist(key, Arc::clone(&cell));
        let seed = Seed {
            receiver: Contained::new(receiver),
            factory: Contained::new(self.factory),
            lifetime: self.lifetime,
            on_panic: Contained::new(self.on_panic),
            shutdown: self.shutdown,
            end: EndGuard::new(cell, Some(key)),
        };
        let policy = Policy::new(self.restart, self.intensity, &self.backoff);
        (addr, policy, seed)
    }
}

/// A supervised actor on the way to its arbiter. The guard comes last, so that the mailbox is closed when
/// it tells everyone that the actor has ended.
pub(crate) struct Seed<A: Actor, F> {
    pub(crate) receiver: Contained<AddressReceiver<A>>,
    pub(crate) factory: Contained<F>,
    pub(crate) lifetime: Lifetime,
    pub(crate) on_panic: Contained<Option<OnPanic>>,
    pub(crate) shutdown: Duration,
    pub(crate) end: EndGuard,
}

impl<A: Actor, F> Seed<A, F> {
    pub(crate) fn cell(&self) -> &Arc<ChildCell> {
        self.end.cell()
    }
}

/// The name of a type without the path of its module; type parameters keep theirs.
fn short_type_name<A>() -> &'static str {
    let name = std::any::type_name::<A>();
    let path_end = name.find('<').unwrap_or(name.len());
    let start = name[..path_end].rfind("::").map_or(0, |index| index + 2);
    &name[start..]
}
