//! What has happened so far, counted where it happens and watched by the script.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long one scene may take before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(4);

/// Counts of everything that arrived.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Messages that a worker's handler has had, news and jobs.
    pub(crate) received: u64,
    /// Replies that came back to the desk.
    pub(crate) replied: u64,
    /// Times that a worker whom the desk had seen before was connected again.
    pub(crate) reconnected: u64,
    /// Who handled which job, in the order in which the replies came.
    pub(crate) handled: Vec<(String, u64)>,
    known: HashSet<Identity>,
}

impl Counts {
    /// Notes that a worker is connected.
    pub(crate) fn joined(&mut self, worker: Identity) -> Visit {
        if self.known.insert(worker) {
            return Visit::First;
        }
        self.reconnected += 1;
        Visit::Return
    }
}

/// Whether a worker has been here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    First,
    Return,
}

/// The counts, shared by all threads.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    counts: Arc<watch::Sender<Counts>>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            counts: Arc::new(watch::Sender::new(Counts::default())),
        }
    }

    /// Changes the counts and wakes whoever waits for them.
    pub(crate) fn note<R>(&self, change: impl FnOnce(&mut Counts) -> R) -> R {
        let mut result = None;
        self.counts
            .send_modify(|counts| result = Some(change(counts)));
        result.expect("`send_modify` calls its closure")
    }

    /// Reads the counts.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Counts) -> R) -> R {
        read(&self.counts.borrow())
    }

    /// Waits until the counts are as expected; the error says what was waited for.
    pub(crate) async fn reaches(
        &self,
        what: &str,
        reached: impl FnMut(&Counts) -> bool,
    ) -> Result<(), String> {
        let mut counts = self.counts.subscribe();
        match timeout(PATIENCE, counts.wait_for(reached)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("waited too long for {what}")),
        }
    }
}
