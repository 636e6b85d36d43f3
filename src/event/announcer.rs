//! Events of one kind, for every actor that asked for them.

use actix::Recipient;

use super::dead_letter::DeadLetter;
use super::peer::PeerEvent;
use super::socket::SocketEvent;
use crate::notice_queue::{Notice, NoticeQueue};
use crate::sync::Mutex;

impl Notice for PeerEvent {
    fn lagged(skipped: u64) -> Option<Self> {
        Some(Self::Lagged(skipped))
    }
}

impl Notice for SocketEvent {
    fn lagged(skipped: u64) -> Option<Self> {
        Some(Self::Lagged(skipped))
    }
}

impl Notice for DeadLetter {
    fn lagged(_: u64) -> Option<Self> {
        None
    }

    fn note_skipped(&mut self, skipped: u64) {
        self.lagged = skipped;
    }
}

/// Everyone who asked for one kind of event.
#[derive(Debug)]
pub(crate) struct Announcer<M: Notice> {
    queues: Mutex<Vec<NoticeQueue<M>>>,
}

impl<M: Notice> Announcer<M> {
    pub(crate) fn new() -> Self {
        Self {
            queues: Mutex::new(Vec::new()),
        }
    }

    /// True if anybody asked.
    pub(crate) fn has_listeners(&self) -> bool {
        !self.queues.lock().is_empty()
    }

    /// Tells everyone who asked. Never waits; a recipient that is too slow is told how much it missed.
    pub(crate) fn announce(&self, event: &M) {
        self.queues.lock().retain(|queue| queue.queue(event));
    }

    /// Adds a recipient and yields the task that feeds it, one event at a time, for as long as
    /// the recipient lives.
    pub(crate) fn add(&self, recipient: Recipient<M>) -> impl Future<Output = ()> + 'static {
        let queue = NoticeQueue::new(recipient);
        self.queues.lock().push(queue.clone());
        queue.feed()
    }

    /// Nothing more will be announced; queued events are still delivered.
    pub(crate) fn end(&self) {
        for queue in self.queues.lock().drain(..) {
            queue.end();
        }
    }
}
