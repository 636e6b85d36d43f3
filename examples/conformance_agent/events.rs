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

/// Turns the socket's events into lines.
pub(crate) struct Reporter {
    events: Events,
}

impl Reporter {
    /// Reports to `events`.
    pub(crate) fn new(events: Events) -> Self {
        Self { events }
    }

    fn report(&self, event: Value) -> ResponseFuture<()> {
        let events = self.events.clone();
        Box::pin(async move { events.print(event).await })
    }
}

impl Actor for Reporter {
    type Context = Context<Self>;
}

impl Handler<PeerEvent> for Reporter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) -> Self::Result {
        match event {
            PeerEvent::Up { peer, .. } => {
                self.report(json!({ "event": "peer_up", "peer": peer.to_string() }))
            }
            PeerEvent::Down { peer, reason, .. } => self.report(json!({
                "event": "peer_down",
                "peer": peer.to_string(),
                "reason": why_down(&reason),
                "detail": reason.to_string(),
            })),
            PeerEvent::Lagged(skipped) => self.report(json!({ "event": "lagged", "n": skipped })),
            _ => Box::pin(async {}),
        }
    }
}

impl Handler<SocketEvent> for Reporter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, event: SocketEvent, _: &mut Self::Context) -> Self::Result {
        match event {
            SocketEvent::HandshakeRefused { peer, reason, .. } => self.report(json!({
                "event": "peer_rejected",
                "peer": peer.map(|peer| peer.to_string()),
                "reason": why_refused(&reason),
                "detail": reason.to_string(),
            })),
            SocketEvent::Overloaded { limit, .. } => self.report(json!({
                "event": "peer_rejected",
                "reason": "limit",
                "detail": format!("{limit:?}"),
            })),
            SocketEvent::Lagged(skipped) => self.report(json!({ "event": "lagged", "n": skipped })),
            _ => Box::pin(async {}),
        }
    }
}

/// One word for why a connection ended.
fn why_down(reason: &DownReason) -> &'static str {
    match reason {
        DownReason::Closed => "closed",
        DownReason::Truncated => "truncated",
        DownReason::Silent => "silent",
        DownReason::Stalled => "stalled",
        DownReason::Replaced => "replaced",
        DownReason::Overflow => "overflow",
        DownReason::Oversize { .. } => "oversize",
        DownReason::Transport(_) => "transport",
        DownReason::SocketClosed => "socket_closed",
        DownReason::Crashed { .. } => "crashed",
        DownReason::Disconnected => "disconnected",
        _ => "other",
    }
}

/// One word for why a connection was refused.
fn why_refused(reason: &RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Duplicate => "duplicate",
        RefusalReason::Itself => "self",
        RefusalReason::Version(_) => "version",
        RefusalReason::TimedOut => "timeout",
        RefusalReason::Ended { .. } => "closed",
        RefusalReason::LimitReached | RefusalReason::Displaced => "limit",
        _ => "malformed",
    }
}
