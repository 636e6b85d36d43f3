//! What a recipient of events has heard, for a test to go through.

use std::sync::Once;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use tokio::sync::mpsc;

use super::within_patience;

/// What was told and has not been looked at, in order.
pub struct Heard<M> {
    told: mpsc::UnboundedReceiver<M>,
}

/// An actor that hears events of one kind.
pub struct Ear<M> {
    told: mpsc::UnboundedSender<M>,
}

/// Starts an actor that hears events of one kind.
pub fn ear<M>() -> (Recipient<M>, Heard<M>)
where
    M: Message<Result = ()> + Send + Unpin + 'static,
    Context<Ear<M>>: ToEnvelope<Ear<M>, M>,
{
    let (sender, told) = mpsc::unbounded_channel();
    let ear = Ear { told: sender }.start();
    (ear.recipient(), Heard { told })
}

/// Panics are what some tests are about; a backtrace of each would take most of their time.
pub fn print_panics_briefly() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));
}

impl<M: std::fmt::Debug> Heard<M> {
    /// The next event.
    pub async fn next(&mut self) -> M {
        within_patience("an event", self.told.recv())
            .await
            .expect("the ear lives")
    }

    /// Skips to the next event that `wanted` accepts, and yields what it makes of it.
    pub async fn find<R>(&mut self, what: &str, mut wanted: impl FnMut(M) -> Option<R>) -> R {
        let finding = async {
            loop {
                let event = self.told.recv().await.expect("the ear lives");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        within_patience(what, finding).await
    }

    /// Everything that has been heard and not looked at.
    pub fn rest(&mut self) -> Vec<M> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}

impl<M: Unpin + 'static> Actor for Ear<M> {
    type Context = Context<Self>;
}

impl<M> Handler<M> for Ear<M>
where
    M: Message<Result = ()> + Unpin + 'static,
{
    type Result = ();

    fn handle(&mut self, event: M, _: &mut Self::Context) {
        // A test that has ended listens no more.
        let _ = self.told.send(event);
    }
}
