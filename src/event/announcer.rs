//! The queue between a socket and each actor that asked for events.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::{Message, Recipient};
use tokio::sync::Notify;

use super::dead_letter::DeadLetter;
use super::peer::PeerEvent;
use super::socket::SocketEvent;
use crate::sync::Mutex;

/// Events that a recipient has not taken yet, at most.
const CREDIT: usize = 1024;

/// An event of which several may have to be skipped.
pub(crate) trait Announced: Message<Result = ()> + Clone + Send + 'static {
    /// An event of its own that says how many were skipped; `None` if the next one has to say so.
    fn lagged(skipped: u64) -> Option<Self>;

    /// Notes how many were skipped before this one.
    fn note_skipped(&mut self, _: u64) {}
}

impl Announced for PeerEvent {
    fn lagged(skipped: u64) -> Option<Self> {
        Some(Self::Lagged(skipped))
    }
}

impl Announced for SocketEvent {
    fn lagged(skipped: u64) -> Option<Self> {
        Some(Self::Lagged(skipped))
    }
}

impl Announced for DeadLetter {
    fn lagged(_: u64) -> Option<Self> {
        None
    }

    fn note_skipped(&mut self, skipped: u64) {
        self.lagged = skipped;
    }
}

/// Everyone who asked for one kind of event.
#[derive(Debug)]
pub(crate) struct Announcer<M: Announced> {
    outlets: Mutex<Vec<Arc<Outlet<M>>>>,
}

#[derive(Debug)]
struct Outlet<M> {
    queue: Mutex<Queue<M>>,
    filled: Notify,
}

#[derive(Debug)]
struct Queue<M> {
    events: VecDeque<M>,
    skipped: u64,
    ended: bool,
}

impl<M: Announced> Announcer<M> {
    pub(crate) fn new() -> Self {
        Self {
            outlets: Mutex::new(Vec::new()),
        }
    }

    /// True if anybody asked.
    pub(crate) fn has_listeners(&self) -> bool {
        !self.outlets.lock().is_empty()
    }

    /// Tells everyone who asked. Never waits; who is too slow is told how much it missed.
    pub(crate) fn announce(&self, event: &M) {
        let mut outlets = self.outlets.lock();
        outlets.retain(|outlet| outlet.offer(event));
    }

    /// Adds a recipient and yields the task that feeds it, one event at a time, for as long as
    /// the recipient lives.
    pub(crate) fn add(&self, recipient: Recipient<M>) -> impl Future<Output = ()> + 'static
    where
        M: Unpin,
    {
        let outlet = Arc::new(Outlet {
            queue: Mutex::new(Queue {
                events: VecDeque::new(),
                skipped: 0,
                ended: false,
            }),
            filled: Notify::new(),
        });
        self.outlets.lock().push(Arc::clone(&outlet));
        async move {
            while let Some(event) = outlet.next().await {
                if recipient.send(event).await.is_err() && !recipient.connected() {
                    outlet.queue.lock().ended = true;
                    return;
                }
            }
        }
    }

    /// Nothing more will be announced; what is queued is still delivered.
    pub(crate) fn end(&self) {
        for outlet in self.outlets.lock().drain(..) {
            outlet.queue.lock().ended = true;
            outlet.filled.notify_one();
        }
    }
}

impl<M: Announced> Outlet<M> {
    /// False when the recipient is gone.
    fn offer(&self, event: &M) -> bool {
        let mut queue = self.queue.lock();
        if queue.ended {
            return false;
        }
        if queue.events.len() >= CREDIT {
            queue.skipped += 1;
            return true;
        }
        let mut event = event.clone();
        let skipped = std::mem::take(&mut queue.skipped);
        if skipped > 0 {
            match M::lagged(skipped) {
                Some(notice) => queue.events.push_back(notice),
                None => event.note_skipped(skipped),
            }
        }
        queue.events.push_back(event);
        drop(queue);
        self.filled.notify_one();
        true
    }

    async fn next(&self) -> Option<M> {
        loop {
            {
                let mut queue = self.queue.lock();
                if let Some(event) = queue.events.pop_front() {
                    return Some(event);
                }
                // Nothing has come since: the gap is told all the same.
                if queue.skipped > 0
                    && let Some(notice) = M::lagged(queue.skipped)
                {
                    queue.skipped = 0;
                    return Some(notice);
                }
                if queue.ended {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}
