//! The factory of a supervised actor.

use actix::{Actor, Context};

/// Makes the actor, at the start and again for every restart.
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
