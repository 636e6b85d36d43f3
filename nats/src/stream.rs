//! A stream of JetStream as it is wanted, and how one that is there differs.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::BridgeError;
use crate::pause::LONGEST;
use crate::peers::is_plain;
use crate::route::check_subject;

/// A stream of JetStream: made with these settings when it is not there, and compared with them when it is.
///
/// Messages are kept in files. A stream that is full refuses new messages, so that their senders wait, instead of dropping old ones that
/// nobody has read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a route takes it"]
pub struct Stream {
    pub(crate) name: String,
    wanted: Option<Settings>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Settings {
    subjects: Vec<String>,
    replicas: usize,
    duplicate_window: Duration,
    max_bytes: Option<u64>,
    max_age: Option<Duration>,
    work_queue: bool,
}

impl Stream {
    /// A stream of this name, for which it wants at least one [`subject`](Self::subject).
    pub fn new(name: impl Into<String>) -> Self {
        let wanted = Settings {
            subjects: Vec::new(),
            replicas: 1,
            duplicate_window: Duration::from_secs(600),
            max_bytes: None,
            max_age: None,
            work_queue: false,
        };
        Self {
            name: name.into(),
            wanted: Some(wanted),
        }
    }

    /// A stream that is there, whatever its settings.
    pub fn existing(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            wanted: None,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        if let Some(wanted) = &mut self.wanted {
            change(wanted);
        }
        self
    }

    /// Adds a subject by which messages are stored; wildcards are allowed.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        let subject = subject.into();
        self.with(|wanted| wanted.subjects.push(subject))
    }

    /// On how many servers each message is stored before it is acknowledged, 1 to 5. Default: 1. With 3, one may be lost.
    pub fn replicas(self, replicas: usize) -> Self {
        self.with(|wanted| wanted.replicas = replicas)
    }

    /// For how long JetStream recognises a message that is published again. Default: 10 minutes; 100 ms to 30 years. The memory of the server grows with it: some 100
    /// bytes for each message within it.
    pub fn duplicate_window(self, window: Duration) -> Self {
        self.with(|wanted| wanted.duplicate_window = window)
    }

    /// Bytes that the stream holds at most. Default: as many as the server allows.
    pub fn max_bytes(self, bytes: u64) -> Self {
        self.with(|wanted| wanted.max_bytes = Some(bytes))
    }

    /// How long a message is kept at most, 30 years at most. Default: for ever. It is dropped then, read or not.
    pub fn max_age(self, age: Duration) -> Self {
        self.with(|wanted| wanted.max_age = Some(age))
    }

    /// A message leaves the stream when its consumer has acknowledged it. By default it stays, for others to read.
    pub fn work_queue(self) -> Self {
        self.with(|wanted| wanted.work_queue = true)
    }

    pub(crate) fn check(&self) -> Result<(), BridgeError> {
        let name = &self.name;
        if !is_plain(name) {
            return Err(BridgeError::configuration(format!(
                "the stream {name:?}: a name has letters, digits, `-` and `_`"
            )));
        }
        let Some(wanted) = &self.wanted else {
            return Ok(());
        };
        if wanted.subjects.is_empty() {
            return Err(BridgeError::configuration(format!(
                "the stream {name} wants a subject"
            )));
        }
        for subject in &wanted.subjects {
            check_subject(subject, true)?;
        }
        if !(1..=5).contains(&wanted.replicas) {
            let replicas = wanted.replicas;
            return Err(BridgeError::configuration(format!(
                "the stream {name} with {replicas} replicas: it has 1 to 5"
            )));
        }
        let window = wanted.duplicate_window;
        if !(Duration::from_millis(100)..=LONGEST).contains(&window) {
            return Err(BridgeError::configuration(format!(
                "the stream {name} with a duplicate window of {window:?}: it is 100ms at least, and 30 years at most"
            )));
        }
        if wanted.max_age.is_some_and(|age| age > LONGEST) {
            return Err(BridgeError::configuration(format!(
                "the stream {name} keeps messages for more than 30 years: without max_age it keeps them for ever"
            )));
        }
        if wanted.max_age.is_some_and(|age| age < window) {
            return Err(BridgeError::configuration(format!(
                "the stream {name} keeps messages for less than its duplicate window of {window:?}"
            )));
        }
        Ok(())
    }

    /// The stream to make; `None` for one that is to be there.
    pub(crate) fn config(&self) -> Option<Config> {
        let wanted = self.wanted.as_ref()?;
        let limit = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
        Some(Config {
            name: self.name.clone(),
            subjects: wanted.subjects.clone(),
            num_replicas: wanted.replicas,
            duplicate_window: wanted.duplicate_window,
            max_bytes: wanted.max_bytes.map_or(-1, limit),
            max_age: wanted.max_age.unwrap_or_default(),
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            retention: match wanted.work_queue {
                true => RetentionPolicy::WorkQueue,
                false => RetentionPolicy::Limits,
            },
            ..Config::default()
        })
    }

    /// The settings that differ, each in words.
    pub(crate) fn differences(&self, there: &Config) -> Vec<String> {
        let Some(wanted) = self.config() else {
            return Vec::new();
        };
        let sorted = |subjects: &[String]| {
            let mut subjects = subjects.to_vec();
            subjects.sort();
            subjects.join(", ")
        };
        let unlimited = |bytes: i64| match bytes {
            1.. => bytes.to_string(),
            _ => "unlimited".to_owned(),
        };
        let pairs = [
            (
                "subjects",
                sorted(&there.subjects),
                sorted(&wanted.subjects),
            ),
            (
                "replicas",
                there.num_replicas.to_string(),
                wanted.num_replicas.to_string(),
            ),
            (
                "duplicate_window",
                format!("{:?}", there.duplicate_window),
                format!("{:?}", wanted.duplicate_window),
            ),
            (
                "max_bytes",
                unlimited(there.max_bytes),
                unlimited(wanted.max_bytes),
            ),
            (
                "max_age",
                format!("{:?}", there.max_age),
                format!("{:?}", wanted.max_age),
            ),
            (
                "storage",
                format!("{:?}", there.storage),
                format!("{:?}", wanted.storage),
            ),
            (
                "discard",
                format!("{:?}", there.discard),
                format!("{:?}", wanted.discard),
            ),
            (
                "retention",
                format!("{:?}", there.retention),
                format!("{:?}", wanted.retention),
            ),
        ];
        let differing = pairs.into_iter().filter(|(_, is, should)| is != should);
        differing
            .map(|(name, is, should)| format!("{name} is {is} and should be {should}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_there_differs_by_name() {
        let stream = Stream::new("ORDERS").subject("b").subject("a").replicas(3);
        let mut there = stream.config().unwrap();
        there.subjects.reverse();
        there.max_bytes = 0;
        assert_eq!(stream.differences(&there), Vec::<String>::new());
        there.num_replicas = 1;
        there.duplicate_window = Duration::from_secs(120);
        there.discard = DiscardPolicy::Old;
        assert_eq!(
            stream.differences(&there),
            [
                "replicas is 1 and should be 3",
                "duplicate_window is 120s and should be 600s",
                "discard is Old and should be New"
            ]
        );
        assert_eq!(
            Stream::existing("ORDERS").differences(&there),
            Vec::<String>::new()
        );
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_with_the_reason() {
        let stream = || Stream::new("S").subject("s");
        stream().check().unwrap();
        for (stream, problem) in [
            (Stream::new("S"), "wants a subject"),
            (Stream::new("a.b").subject("s"), "\"a.b\""),
            (stream().replicas(0), "0 replicas"),
            (stream().replicas(6), "6 replicas"),
            (stream().duplicate_window(Duration::ZERO), "100ms at least"),
            (stream().duplicate_window(Duration::MAX), "30 years at most"),
            (stream().max_age(Duration::from_secs(1)), "less than"),
            (stream().max_age(Duration::MAX), "more than 30 years"),
            (stream().subject("a b"), "\"a b\""),
        ] {
            let told = stream.check().unwrap_err().to_string();
            assert!(told.contains(problem), "{told}");
        }
    }
}
