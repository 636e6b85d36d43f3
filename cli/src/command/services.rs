//! `aiomsg services`: who offers a service, and how the instances fare.

use std::time::SystemTime;

use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use actix_aiomsg::service::ServiceEvent;
use clap::Args;
use serde_json::json;

use crate::Outcome;
use crate::options::Ends;
use crate::payload_text::harmless;
use crate::session::Session;
use crate::watching::Watching;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The service.
    name: String,
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    watching: Watching,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        let session = Session::start(&self.ends, Socket::builder(), None)?;
        let mut events = session.socket.service(&self.name).events();
        let next = async || events.next().await;
        let missing = |lines| format!("{lines} lines about {:?}", self.name);
        let watched = self
            .watching
            .run(session, next, |event| self.line(event), missing)
            .await;
        watched.map_err(|failure| {
            if failure.is_about_time() && !failure.has_advice() {
                return failure.advise(
                    "`aiomsg serve --offer NAME` offers a service; is its peer connected?",
                );
            }
            failure
        })
    }

    fn line(&self, event: &ServiceEvent) -> Option<String> {
        let (word, instance, peer, reason) = match event {
            ServiceEvent::Up {
                instance,
                peer,
                reason,
            } => ("up", instance, peer, Some(words(&format!("{reason:?}")))),
            ServiceEvent::Busy {
                instance,
                peer,
                retry_after,
            } => (
                "busy",
                instance,
                peer,
                Some(format!("for {retry_after:.1?}")),
            ),
            ServiceEvent::Draining { instance, peer } => ("draining", instance, peer, None),
            ServiceEvent::Down {
                instance,
                peer,
                reason,
            } => ("down", instance, peer, Some(words(&format!("{reason:?}")))),
            _ => return None,
        };
        Some(self.show(word, instance, *peer, reason))
    }

    fn show(&self, word: &str, instance: &str, peer: Identity, reason: Option<String>) -> String {
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        if self.watching.json {
            let line = json!({
                "time": now.to_string(),
                "event": word,
                "instance": instance,
                "peer": peer.to_string(),
                "reason": reason,
            });
            return line.to_string();
        }
        let name = match instance == peer.to_string() {
            true => String::new(),
            false => format!(" as {instance}"),
        };
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        harmless(&format!("{now} {word:8} {peer}{name}{reason}"))
    }
}

/// `SecondHolder` is `second holder`.
fn words(variant: &str) -> String {
    let mut words = String::new();
    for c in variant.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words() {
        assert_eq!(words("SecondHolder"), "second holder");
        assert_eq!(words("Offered"), "offered");
    }
}
