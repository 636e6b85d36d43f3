//! Asks that wait at a relay: for a peer at the back, or for room on the way to one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::id::Identity;
use crate::payload::AskId;
use crate::sync::Mutex;

/// The asks of one direction that wait.
#[derive(Debug, Default)]
pub(super) struct WaitingAsks(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Each is here until its [`WaitingAsk`] is dropped.
    given_up: HashMap<(AskId, Identity), Arc<Notify>>,
    /// How many of them are among the asks that are open, too.
    open: usize,
}

/// An ask that waits. It is not counted as one while it is counted among those that are open.
#[derive(Debug)]
pub(super) struct WaitingAsk {
    asks: Arc<WaitingAsks>,
    key: (AskId, Identity),
    given_up: Arc<Notify>,
    is_open: bool,
}

impl WaitingAsks {
    /// Asks that wait, and are not open.
    pub(super) fn len(&self) -> usize {
        let waiting = self.0.lock();
        waiting.given_up.len() - waiting.open
    }

    /// Notes an ask that waits; `None` if one of this id and asker does already.
    pub(super) fn enter(self: &Arc<Self>, id: AskId, asker: Identity) -> Option<WaitingAsk> {
        let key = (id, asker);
        let given_up = match self.0.lock().given_up.entry(key) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => Arc::clone(free.insert(Arc::default())),
        };
        Some(WaitingAsk {
            asks: Arc::clone(self),
            key,
            given_up,
            is_open: false,
        })
    }

    /// The asker gives one up, which wakes it.
    pub(super) fn give_up(&self, id: AskId, asker: Identity) {
        if let Some(given_up) = self.0.lock().given_up.get(&(id, asker)) {
            given_up.notify_one();
        }
    }

    /// An asker has gone: all of its asks are given up.
    pub(super) fn give_up_all_of(&self, asker: Identity) {
        for ((_, of), given_up) in &self.0.lock().given_up {
            if *of == asker {
                given_up.notify_one();
            }
        }
    }
}

impl WaitingAsk {
    /// Resolves when the asker has given it up.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// The ask is in the table of those that are open.
    pub(super) fn pause(&mut self) {
        if !std::mem::replace(&mut self.is_open, true) {
            self.asks.0.lock().open += 1;
        }
    }

    /// The ask leaves the table, and waits again.
    pub(super) fn resume(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.asks.0.lock().open -= 1;
        }
    }
}

impl Drop for WaitingAsk {
    fn drop(&mut self) {
        self.resume();
        self.asks.0.lock().given_up.remove(&self.key);
    }
}
