//! Filters: the messages that a subscription gets.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::engine::LogPermit;
use crate::id::Identity;
use crate::telemetry::{self, Topic};

type Matcher = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Selects the messages of a subscription: all, those that begin with a topic, those of one peer,
/// those that a matcher accepts, or what several of these have in common.
#[derive(Clone, Default)]
pub struct Filter {
    topic: Cow<'static, [u8]>,
    peer: Option<Identity>,
    matchers: Vec<(Cow<'static, str>, Arc<Matcher>)>,
}

impl Filter {
    /// Every message.
    pub const fn all() -> Self {
        Self {
            topic: Cow::Borrowed(&[]),
            peer: None,
            matchers: Vec::new(),
        }
    }

    /// Messages whose payload begins with `topic`.
    pub fn topic(topic: impl Into<Cow<'static, str>>) -> Self {
        let topic = match topic.into() {
            Cow::Borrowed(topic) => Cow::Borrowed(topic.as_bytes()),
            Cow::Owned(topic) => Cow::Owned(topic.into_bytes()),
        };
        Self {
            topic,
            ..Self::all()
        }
    }

    /// Messages of one peer.
    pub const fn peer(peer: Identity) -> Self {
        Self {
            topic: Cow::Borrowed(&[]),
            peer: Some(peer),
            matchers: Vec::new(),
        }
    }

    /// Messages whose payload `matcher` accepts. It runs for every message, where the connection
    /// is read: it should look at a few bytes and decode nothing. One that panics accepts nothing.
    ///
    /// `name` tells it from other matchers: an actor that subscribes again under the same name,
    /// after a restart, resumes its subscription.
    pub fn matching(
        name: impl Into<Cow<'static, str>>,
        matcher: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            matchers: vec![(name.into(), Arc::new(matcher))],
            ..Self::all()
        }
    }

    /// Messages that pass both filters. Of two topics one must begin with the other, or nothing
    /// passes.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let (long, short) = if self.topic.len() >= other.topic.len() {
            (self.topic, other.topic)
        } else {
            (other.topic, self.topic)
        };
        let contradict = !long.starts_with(&short)
            || matches!((self.peer, other.peer), (Some(one), Some(two)) if one != two);
        self.topic = long;
        self.peer = self.peer.or(other.peer);
        self.matchers.extend(other.matchers);
        if contradict {
            let nothing: Arc<Matcher> = Arc::new(|_| false);
            self.matchers.push((Cow::Borrowed("nothing"), nothing));
        }
        self
    }

    /// True if every message passes.
    pub(crate) fn takes_all(&self) -> bool {
        self.topic.is_empty() && self.peer.is_none() && self.matchers.is_empty()
    }

    /// True if a payload passes, whoever sends it.
    pub(crate) fn takes_payload(&self, payload: &[u8]) -> bool {
        let anybody = Identity::from_bytes([0; 16]);
        self.takes(self.peer.unwrap_or(anybody), payload)
    }

    /// True if a message passes.
    pub(crate) fn takes(&self, peer: Identity, payload: &[u8]) -> bool {
        payload.starts_with(&self.topic)
            && self.peer.is_none_or(|wanted| wanted == peer)
            && self.matchers.iter().all(|(name, matcher)| {
                catch_unwind(AssertUnwindSafe(|| matcher(payload))).unwrap_or_else(|_| {
                    if let Some(LogPermit { unlogged }) = telemetry::line(Topic::MatcherPanicked, name) {
                        tracing::error!(matcher = %name, unlogged, "a matcher panicked; it accepts nothing");
                    }
                    false
                })
            })
    }
}

/// Shows the filter's conditions, which also tell it from others.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.takes_all() {
            return f.write_str("all");
        }
        let mut separator = "";
        if !self.topic.is_empty() {
            write!(f, "topic \"{}\"", self.topic.escape_ascii())?;
            separator = ", ";
        }
        if let Some(peer) = self.peer {
            write!(f, "{separator}peer {peer}")?;
            separator = ", ";
        }
        for (name, _) in &self.matchers {
            write!(f, "{separator}matcher {name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Identity = Identity::from_bytes([1; 16]);
    const BOB: Identity = Identity::from_bytes([2; 16]);

    #[test]
    fn a_filter_takes_what_each_of_its_parts_takes() {
        let short = Filter::matching("short", |payload: &[u8]| payload.len() < 8);
        let filter = Filter::topic("job ").and(Filter::peer(ANN)).and(short);
        assert!(filter.takes(ANN, b"job 1"));
        assert!(!filter.takes(BOB, b"job 1"));
        assert!(!filter.takes(ANN, b"jo"));
        assert!(!filter.takes(ANN, b"job 12345"));
        assert!(!filter.takes_all());
        let shown = format!("topic \"job \", peer {ANN}, matcher short");
        assert_eq!(filter.to_string(), shown);
    }

    #[test]
    fn all_takes_all_and_is_neutral() {
        assert!(Filter::all().takes_all());
        assert!(Filter::topic("").takes_all());
        assert!(Filter::all().takes(BOB, b""));
        let same = Filter::all()
            .and(Filter::topic("a"))
            .and(Filter::topic("ab"));
        assert!(same.takes(BOB, b"abc") && !same.takes(BOB, b"a"));
        assert_eq!(Filter::all().to_string(), "all");
    }

    #[test]
    fn parts_that_contradict_each_other_take_nothing() {
        assert!(!Filter::topic("a").and(Filter::topic("b")).takes(ANN, b"a"));
        let both = Filter::peer(ANN).and(Filter::peer(BOB));
        assert!(!both.takes(ANN, b"a") && !both.takes(BOB, b"a"));
    }

    #[test]
    fn a_matcher_that_panics_accepts_nothing() {
        let broken = Filter::matching("broken", |payload: &[u8]| payload[3] == 0);
        assert!(broken.takes(ANN, &[0, 0, 0, 0]));
        assert!(!broken.takes(ANN, b"no"));
    }
}
