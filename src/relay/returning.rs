//! The pump of the answers.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use bytes::Bytes;

use super::event::RelayDrop;
use super::way::Way;
use crate::clock;
use crate::event::PeerEvent;
use crate::payload::{AskEnvelope, Filter};
use crate::socket::{SubscribeOptions, WeakSocket};
use crate::subscription::Received;

/// Pause between two looks at the asks whose time may be over.
const LOOK: Duration = Duration::from_secs(1);

/// Receives at the back, and brings answers to the front. It never waits.
pub(super) struct Returning {
    way: Arc<Way>,
    to: WeakSocket,
    filter: Filter,
}

impl Returning {
    pub(super) const fn new(way: Arc<Way>, to: WeakSocket, filter: Filter) -> Self {
        Self { way, to, filter }
    }
}

impl Actor for Returning {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let options = SubscribeOptions::default().filter(self.filter.clone());
        self.to.subscribe_with::<Bytes>(ctx, options);
        ctx.run_interval(LOOK, |act, _| act.way.handle_time(clock::now()));
    }
}

/// True if a payload answers an ask.
pub(super) fn is_answer(payload: &[u8]) -> bool {
    AskEnvelope::read(payload).is_some_and(|(envelope, _)| envelope.kind.is_answer())
}

impl Handler<Received> for Returning {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        let peer = message.peer();
        match AskEnvelope::read(message.payload()) {
            Some((envelope, _)) if envelope.kind.is_answer() => {
                let payload = message.payload().clone();
                self.way.bring_back(envelope.id, peer, payload);
            }
            _ => {
                self.way.drop_it(peer, RelayDrop::NotAnAnswer);
                message.reject();
            }
        }
    }
}

impl Handler<PeerEvent> for Returning {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        if let PeerEvent::Down { peer, .. } = event {
            self.way.handle_asked_gone(peer);
        }
    }
}
