//! `aiomsg peers`: who comes and goes.

use std::time::SystemTime;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::transport::{PeerAddress, TransportKind};
use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use crate::Outcome;
use crate::options::Ends;
use crate::payload_text::harmless;
use crate::session::Session;
use crate::watching::Watching;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    watching: Watching,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let (sender, mut events) = mpsc::channel(1024);
        let session = Session::start(&self.ends, Socket::builder(), None)?;
        session
            .socket
            .peer_events(Watch(sender).start().recipient());
        let next = async || events.recv().await;
        let missing = |lines| format!("{lines} came or went");
        self.watching
            .run(session, next, |event| self.line(event), missing)
            .await
    }

    fn line(&self, event: &PeerEvent) -> Option<String> {
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        let (word, peer, address, transport, role, reason) = match event {
            PeerEvent::Up {
                peer,
                address,
                transport,
                role,
                ..
            } => ("up", peer, address, transport, role, None),
            PeerEvent::Down {
                peer,
                address,
                transport,
                role,
                reason,
                ..
            } => ("down", peer, address, transport, role, Some(reason)),
            _ => return None,
        };
        if self.watching.json {
            let line = json!({
                "time": now.to_string(),
                "event": word,
                "peer": peer.to_string(),
                "address": address.to_string(),
                "transport": transport.to_string(),
                "role": role_name(*role),
                "reason": reason.map(ToString::to_string),
            });
            return Some(line.to_string());
        }
        let way = way(address, *transport, *role);
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        Some(harmless(&format!("{now} {word:4} {peer} {way}{reason}")))
    }
}

/// How a peer is connected.
fn way(address: &PeerAddress, transport: TransportKind, role: Role) -> String {
    match role {
        Role::BindEnd => format!("from {address} over {transport}"),
        Role::ConnectEnd => format!("at {address} over {transport}"),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::BindEnd => "bind",
        Role::ConnectEnd => "connect",
    }
}

/// Passes events on.
struct Watch(mpsc::Sender<PeerEvent>);

impl Actor for Watch {
    type Context = Context<Self>;
}

impl Handler<PeerEvent> for Watch {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        // Beyond a thousand that are not printed yet, some are left out.
        let _ = self.0.try_send(event);
    }
}
