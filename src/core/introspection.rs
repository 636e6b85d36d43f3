//! Asks about the socket itself, by topics of their own: answered before any inbox, where that is allowed.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::socket_core::SocketCore;
use crate::authorize::{Inquirer, Introspection};
use crate::clock;
use crate::health::HealthCriteria;
use crate::inbox::{Chunk, MessageSet};
use crate::lifecycle::SocketPhase;
use crate::link::Link;
use crate::payload::{AskEnvelope, AskId, AskKind, AskRefusal};
use crate::wire::NotHandled;

/// The topics of all of them begin so.
const TOPICS: &[u8] = b"$aiomsg/";

impl SocketCore {
    /// Takes asks about the socket itself out of what was read, and answers them. `None` if nothing is left.
    #[cold]
    pub(crate) fn introspect(&self, chunk: Chunk) -> Option<Chunk> {
        let Some(allowed) = &self.config.introspection else {
            return Some(chunk);
        };
        let link = Arc::clone(chunk.link());
        let mut rest = MessageSet::default();
        chunk.for_each(|ordinal, id, payload| match topic_in(payload) {
            None => rest.insert(ordinal),
            Some((ask, topic)) => {
                self.services.note_refused();
                let answer = self.answer_to(ask, topic, &link, allowed);
                self.services.answer(&link, answer);
                link.finish_unread(id.as_slice(), Ok(()));
            }
        });
        chunk.keep(rest)
    }

    fn answer_to(&self, ask: AskId, topic: &[u8], link: &Link, allowed: &Introspection) -> Vec<u8> {
        let refused = |reason, retry_after| {
            let refusal = AskRefusal {
                reason,
                retry_after,
            };
            refusal.write(ask)
        };
        if !allowed.allows(&Inquirer::new(link.peer(), link.credentials())) {
            return refused(NotHandled::NotAllowed, Duration::ZERO);
        }
        if !self.inquiries.handle_inquiry(clock::now()) {
            return refused(NotHandled::Busy, Duration::from_secs(1));
        }
        let answer = match topic {
            b"ping" => "{\"pong\":true}".to_owned(),
            b"info" => self.info(),
            b"stats" => self.figures(),
            _ => {
                let failure = AskEnvelope::new(AskKind::Failure, ask);
                return failure.write(b"there are $aiomsg/ping, $aiomsg/info and $aiomsg/stats");
            }
        };
        AskEnvelope::new(AskKind::Reply, ask).write(answer.as_bytes())
    }

    /// The socket, and what it offers.
    fn info(&self) -> String {
        let mut object = Object::new();
        object.text("identity", &self.config.identity.to_string());
        if let Some(name) = &self.config.name {
            object.text("name", name);
        }
        object.text("version", env!("CARGO_PKG_VERSION"));
        object.value("uptime", self.lifecycle.uptime().as_secs());
        let phase = match self.lifecycle.state().borrow().phase {
            SocketPhase::Open if self.lifecycle.is_receiving() => "open",
            SocketPhase::Open => "draining",
            SocketPhase::Closing => "closing",
            SocketPhase::Closed => "closed",
        };
        object.text("phase", phase);
        object.value("live", self.health(&HealthCriteria::new()).is_live());
        let offers = self.services.report().into_iter().map(|offer| {
            let mut object = Object::new();
            object.text("service", &offer.name);
            object.text("instance", &offer.instance);
            object.value("waiting", offer.waiting);
            object.value("refused", offer.refused);
            object.end()
        });
        object.value(
            "offers",
            format_args!("[{}]", offers.collect::<Vec<_>>().join(",")),
        );
        object.end()
    }

    fn figures(&self) -> String {
        let mut object = Object::new();
        for (name, value) in self.stats().figures() {
            object.value(name, value);
        }
        object.end()
    }
}

/// The id of an ask about the socket, and what is behind the beginning of its topic.
fn topic_in(payload: &[u8]) -> Option<(AskId, &[u8])> {
    let (envelope, body) = AskEnvelope::read(payload)?;
    let topic = body.strip_prefix(TOPICS)?;
    (envelope.kind == AskKind::Ask).then_some((envelope.id, topic))
}

/// A JSON object that grows.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    /// A member whose value is JSON as it is shown.
    fn value(&mut self, name: &str, value: impl std::fmt::Display) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // A string takes everything.
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
    }

    fn text(&mut self, name: &str, text: &str) {
        let mut quoted = String::with_capacity(text.len() + 2);
        for letter in text.chars() {
            match letter {
                '"' | '\\' => quoted.extend(['\\', letter]),
                control if control < ' ' => {
                    let _ = write!(quoted, "\\u{:04x}", u32::from(control));
                }
                letter => quoted.push(letter),
            }
        }
        self.value(name, format_args!("\"{quoted}\""));
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_json_wants_it() {
        let mut object = Object::new();
        object.text("a", "b\"c\\d\ne");
        object.value("n", 7);
        assert_eq!(object.end(), r#"{"a":"b\"c\\d\u000ae","n":7}"#);
        assert_eq!(Object::new().end(), "{}");
    }

    #[test]
    fn only_asks_with_a_topic_of_ours_are_about_the_socket() {
        let of = |kind, body: &[u8]| {
            let payload = AskEnvelope::new(kind, [7; 16]).write(body);
            topic_in(&payload).map(|(id, topic)| (id, topic.to_vec()))
        };
        assert_eq!(
            of(AskKind::Ask, b"$aiomsg/ping"),
            Some(([7; 16], b"ping".to_vec()))
        );
        assert_eq!(of(AskKind::Ask, b"$aiomsg"), None);
        assert_eq!(of(AskKind::Reply, b"$aiomsg/ping"), None);
        assert_eq!(topic_in(b"$aiomsg/ping"), None);
    }
}
