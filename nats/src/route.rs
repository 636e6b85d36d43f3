//! What goes where.

use crate::peers::is_plain;
use crate::{BridgeError, Peers, Stream};

/// Where the messages go that the socket receives. A bridge has one such way at most: it takes every message of the socket, as
/// [`Socket::messages`](actix_aiomsg::Socket::messages) does, and shares them with whoever else calls that.
#[derive(Debug, Clone)]
#[must_use = "a bridge takes it"]
pub struct Outbound {
    pub(crate) stream: Option<Stream>,
    pub(crate) subject: String,
    pub(crate) peers: Option<Peers>,
}

impl Outbound {
    /// To a subject: whoever is subscribed to it now has the message, at most once.
    pub fn subject(subject: impl Into<String>) -> Self {
        Self {
            stream: None,
            subject: subject.into(),
            peers: None,
        }
    }

    /// Into a stream, by this subject: what was sent at least once is acknowledged when JetStream has it.
    pub fn stream(stream: Stream, subject: impl Into<String>) -> Self {
        Self {
            stream: Some(stream),
            subject: subject.into(),
            peers: None,
        }
    }

    /// To a subject for each peer: what `till` sends goes to `SUBJECT.till`. What others send is refused.
    pub fn by_peer(mut self, peers: Peers) -> Self {
        self.peers = Some(peers);
        self
    }

    pub(crate) fn check(&self) -> Result<(), BridgeError> {
        check_subject(&self.subject, false)?;
        if let Some(stream) = &self.stream {
            stream.check()?;
        }
        self.peers.as_ref().map_or(Ok(()), Peers::check)
    }
}

/// What the socket sends: messages of a subject, or of a stream.
#[derive(Debug, Clone)]
#[must_use = "a bridge takes it"]
pub struct Inbound {
    pub(crate) source: Source,
    pub(crate) peers: Option<Peers>,
}

/// Where messages come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Subject {
        subject: String,
        group: Option<String>,
    },
    Stream {
        stream: Stream,
        durable: String,
        /// Only what is stored by this subject, which may have wildcards.
        filter: Option<String>,
    },
}

impl Inbound {
    /// What is published to a subject, which may have wildcards: sent at most once, by the send mode of the socket.
    pub fn subject(subject: impl Into<String>) -> Self {
        let source = Source::Subject {
            subject: subject.into(),
            group: None,
        };
        let peers = None;
        Self { source, peers }
    }

    /// What is stored in a stream, from its first message on: sent at least once by round-robin, and acknowledged to JetStream when a
    /// peer has handled it. The durable consumer of this name remembers how far that is; bridges that name the same consumer share its messages.
    /// A bridge asks for messages while a peer is connected that they may go to.
    pub fn stream(stream: Stream, durable: impl Into<String>) -> Self {
        let source = Source::Stream {
            stream,
            durable: durable.into(),
            filter: None,
        };
        let peers = None;
        Self { source, peers }
    }

    /// Of a subject without a stream: bridges of the same group share its messages. Does nothing for a stream.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        if let Source::Subject { group, .. } = &mut self.source {
            *group = Some(name.into());
        }
        self
    }

    /// Of a stream: only what is stored by this subject, which may have wildcards. Does nothing for a subject.
    pub fn filter(mut self, subject: impl Into<String>) -> Self {
        if let Source::Stream { filter, .. } = &mut self.source {
            *filter = Some(subject.into());
        }
        self
    }

    /// To one peer each, by identity: of `SUBJECT.till`, or of a stream `FILTER.till`, to `till`. A stream has a consumer for each of them,
    /// `DURABLE-till`, so that one that is away holds up no other.
    pub fn by_peer(mut self, peers: Peers) -> Self {
        self.peers = Some(peers);
        self
    }

    pub(crate) fn check(&self) -> Result<(), BridgeError> {
        match &self.source {
            Source::Subject { subject, group } => {
                check_subject(subject, self.peers.is_none())?;
                if let Some(group) = group.as_ref().filter(|group| !is_plain(group)) {
                    return Err(BridgeError::configuration(format!(
                        "the group {group:?}: a name has letters, digits, `-` and `_`"
                    )));
                }
            }
            Source::Stream {
                stream,
                durable,
                filter,
            } => {
                stream.check()?;
                if !is_plain(durable) {
                    return Err(BridgeError::configuration(format!(
                        "the consumer {durable:?}: a name has letters, digits, `-` and `_`"
                    )));
                }
                match filter {
                    Some(filter) => check_subject(filter, self.peers.is_none())?,
                    None if self.peers.is_some() => {
                        return Err(BridgeError::configuration(
                            "a stream by peer wants a filter, to which the name of the peer is added",
                        ));
                    }
                    None => {}
                }
            }
        }
        self.peers.as_ref().map_or(Ok(()), Peers::check)
    }
}

/// A subject is parts between dots; wildcards are for those that are read.
pub(crate) fn check_subject(subject: &str, wildcards: bool) -> Result<(), BridgeError> {
    let parts: Vec<_> = subject.split('.').collect();
    let fits = |(place, part): (usize, &&str)| match *part {
        "" => false,
        "*" => wildcards,
        ">" => wildcards && place + 1 == parts.len(),
        part => !part.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c)),
    };
    let reserved = parts[0].starts_with('$') || parts[0] == "_INBOX";
    if subject.len() <= 256 && !reserved && parts.iter().enumerate().all(fits) {
        return Ok(());
    }
    let wants = match wildcards {
        true => "parts without spaces between dots, `*` and `>` among them",
        false => "parts without spaces and wildcards between dots",
    };
    Err(BridgeError::configuration(format!(
        "the subject {subject:?}: it wants {wants}, and does not begin with `$` or `_INBOX`"
    )))
}

/// True if a subject of a stream, which may have wildcards, covers all of another one.
pub(crate) fn covers(pattern: &str, subject: &str) -> bool {
    let mut parts = subject.split('.');
    for part in pattern.split('.') {
        match (part, parts.next()) {
            (">", Some(_)) => return true,
            ("*", Some(given)) if given != ">" => {}
            (part, Some(given)) if part == given => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_parts_between_dots() {
        for subject in ["a", "orders.new", "a.b-c.d_e.42", "caf\u{e9}.x"] {
            check_subject(subject, false).unwrap();
        }
        for subject in ["*", "a.*.c", "a.>", ">"] {
            check_subject(subject, true).unwrap();
            check_subject(subject, false).unwrap_err();
        }
        for subject in [
            "", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nb", ">.a", "a*", "$JS.API",
            "_INBOX.x",
        ] {
            check_subject(subject, true).unwrap_err();
        }
        check_subject(&"a".repeat(257), true).unwrap_err();
    }

    #[test]
    fn a_pattern_covers_what_its_wildcards_stand_for() {
        for (pattern, subject) in [
            ("a.b", "a.b"),
            ("a.*", "a.b"),
            ("a.>", "a.b.c"),
            ("a.>", "a.>"),
            ("a.>", "a.*"),
            ("a.*", "a.*"),
        ] {
            assert!(covers(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [
            ("a.b", "a.c"),
            ("a.*", "a"),
            ("a.*", "a.b.c"),
            ("a.>", "a"),
            ("a.*", "a.>"),
            ("a.b", "a.*"),
        ] {
            assert!(!covers(pattern, subject), "{pattern} {subject}");
        }
    }
}
