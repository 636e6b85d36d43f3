//! Asks a connected peer for proof that it lives, when another connection comes under its name.

use std::sync::OnceLock;

use tokio::sync::Notify;

use crate::sync::{AtomicBool, Ordering};

/// A question that a newcomer asks and the connection that stands answers. Most links never see
/// one, so it takes its memory when it is first asked.
#[derive(Debug, Default)]
pub(super) struct LivenessProbe {
    asked: OnceLock<Box<ProbeState>>,
}

#[derive(Debug)]
struct ProbeState {
    open: AtomicBool,
    answered: Notify,
}

impl LivenessProbe {
    /// Asks, has `tell` wake the connection, and yields when there is an answer. A peer that is dead never
    /// gives one: its link ends instead.
    pub(super) async fn ask(&self, tell: impl FnOnce()) {
        let asked = self.asked.get_or_init(|| {
            Box::new(ProbeState {
                open: AtomicBool::new(false),
                answered: Notify::new(),
            })
        });
        let answered = asked.answered.notified();
        let mut answered = std::pin::pin!(answered);
        // Whoever asks hears every answer from here on.
        answered.as_mut().enable();
        asked.open.store(true, Ordering::Release);
        tell();
        answered.await;
    }

    /// True if the question is open.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        let asked = self.asked.get();
        asked.is_some_and(|asked| asked.open.load(Ordering::Acquire))
    }

    /// The peer lives.
    pub(super) fn answer(&self) {
        if let Some(asked) = self.asked.get() {
            asked.open.store(false, Ordering::Release);
            asked.answered.notify_waiters();
        }
    }
}
