//! What happens, as lines of JSON on standard error.

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use serde_json::{Value, json};

use crate::printer::Printer;

/// Where reports go.
#[derive(Clone)]
pub(crate) struct Events {
    stderr: Printer,
    enabled: bool,
}

impl Events {
    /// Reports to `stderr`: all of it when `enabled`, else only what is always said.
    pub(crate) fn new(stderr: Printer, enabled: bool) -> Self {
        Self { stderr, enabled }
    }

    /// Whether `--events true` was given.
    pub(crate) fn enabled(&self) -> bool {
        self.enabled
    }

    /// The address that a bind end got, which a runner that asked for port 0 waits for.
    pub(crate) async fn listening(&self, endpoint: &Endpoint) {
        if self.enabled {
            let address = endpoint.to_string();
            self.print(json!({ "event": "listening", "address": address }))
                .await;
        } else {
            self.say(&format!("listening on {endpoint}")).await;
        }
    }

    /// How many messages `send` has taken so far.
    pub(crate) async fn accepted(&self, n: u64) {
        self.print(json!({ "event": "accepted", "n": n })).await;
    }

    /// One sentence for whoever reads along.
    pub(crate) async fn say(&self, sentence: &str) {
        let line = format!("conformance_agent: {sentence}");
        // With nobody to read it, the sentence has no other place to go.
        let _ = self.stderr.print(line.as_bytes()).await;
    }

    async fn print(&self, event: Value) {
        let _ = self.stderr.print(event.to_string().as_bytes()).await;
    }
}

/// Turns peer events into lines.
pub(crate) struct PeerReporter {
    events: Events,
}

impl PeerReporter {
    /// Reports to `events`.
    pub(crate) fn new(events: Events) -> Self {
        Self { events }
    }
}

impl Actor for PeerReporter {
    type Context = Context<Self>;
}

impl Handler<PeerEvent> for PeerReporter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) -> Self::Result {
        let line = match event {
            PeerEvent::Up { peer, .. } => json!({ "event": "peer_up", "peer": peer.to_string() }),
            PeerEvent::Down { peer, reason, .. } => json!({
                "event": "peer_down",
                "peer": peer.to_string(),
                "reason": reason.to_string(),
            }),
            PeerEvent::Lagged(skipped) => json!({ "event": "lagged", "n": skipped }),
            _ => return Box::pin(async {}),
        };
        let events = self.events.clone();
        Box::pin(async move { events.print(line).await })
    }
}
