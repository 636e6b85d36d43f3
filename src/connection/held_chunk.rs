//! What was read, until the store of the dedupe window knows that it goes to handlers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::leave::{Leave, handle_about_services, take_out};
use crate::core::SocketCore;
use crate::inbox::Chunk;

/// Messages of one read that are handed on once it is committed that they are: what an earlier start had in hand is known by
/// that. The connection reads nothing more meanwhile, so that a store that is slow, or fails, holds its peers back.
#[derive(Debug)]
pub(super) struct HeldChunk {
    chunk: Chunk,
    /// Frames about services that stood among them.
    about_services: Vec<Box<[u8]>>,
    noted: oneshot::Receiver<()>,
    /// The leave by which they were read, and the room that is reserved by it.
    leave: Option<(Leave, usize)>,
}

impl HeldChunk {
    pub(super) const fn new(
        chunk: Chunk,
        about_services: Vec<Box<[u8]>>,
        noted: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            chunk,
            about_services,
            noted,
            leave: None,
        }
    }

    pub(super) fn set_leave(&mut self, leave: Leave, want: usize) {
        self.leave = Some((leave, want));
    }

    /// Resolves once they may be handed on: always, when the socket ends.
    pub(super) fn poll_noted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.noted).poll(cx).map(drop)
    }

    /// Hands them on, or gives them up if nothing more is handed over.
    pub(super) fn release(self, core: &SocketCore, discarding: bool) {
        let Some((leave, want)) = self.leave else {
            return;
        };
        if discarding {
            leave.hand_on(core, want, None);
            core.inbound.subscriptions.lose(self.chunk);
            return;
        }
        let link = Arc::clone(self.chunk.link());
        leave.hand_on(core, want, take_out(core, self.chunk));
        if !self.about_services.is_empty() {
            handle_about_services(core, &link, &self.about_services);
        }
    }
}
