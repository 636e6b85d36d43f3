//! What was read, until the store of the dedupe window knows that it goes to handlers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::leave::{Leave, handle_about_services, take_out};
use crate::core::SocketCore;
use crate::lifecycle::SocketPhase;
use crate::link::Link;

/// Messages of one read that are handed on once it is committed that they are: what an earlier start had in hand is known by
/// that. The connection reads nothing more meanwhile, so that a store that is slow, or fails, holds its peers back.
#[derive(Debug)]
pub(super) struct HeldChunk {
    link: Arc<Link>,
    /// Whole frames, and the messages among them.
    bytes: Bytes,
    messages: usize,
    /// Frames about services that stood among them.
    about_services: Vec<Box<[u8]>>,
    noted: oneshot::Receiver<()>,
    /// The leave by which they were read, and the room that is reserved by it.
    leave: Option<(Leave, usize)>,
    /// For as long as it lives the socket is not drained.
    _held_back: Arc<()>,
}

impl HeldChunk {
    pub(super) fn new(
        core: &SocketCore,
        link: Arc<Link>,
        bytes: Bytes,
        messages: usize,
        about_services: Vec<Box<[u8]>>,
        noted: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            link,
            bytes,
            messages,
            about_services,
            noted,
            leave: None,
            _held_back: Arc::clone(&core.inbound.held_back),
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
        let Some((mut leave, want)) = self.leave else {
            return;
        };
        if discarding {
            leave.hand_on(core, want, None);
            leave = Leave::Discarding;
        }
        let chunk = take_out(core, &self.link, self.bytes, self.messages);
        leave.hand_on(core, want, chunk);
        if !self.about_services.is_empty() {
            handle_about_services(core, &self.link, &self.about_services);
        }
    }

    /// The same once they may be handed on, although their connection has ended. If the socket closes before that, or the runtime ends,
    /// they are given up.
    pub(super) fn release_later(self, core: Arc<SocketCore>) {
        let Ok(runtime) = Handle::try_current() else {
            return self.release(&core, true);
        };
        let mut state = core.lifecycle.state();
        let mut late = LateChunk {
            held: Some(self),
            core,
        };
        runtime.spawn(async move {
            let Some(held) = &mut late.held else { return };
            let closes = state.wait_for(|state| state.phase != SocketPhase::Open);
            tokio::select! {
                biased;
                _ = closes => {}
                () = std::future::poll_fn(|cx| held.poll_noted(cx)) => late.release(false),
            }
        });
    }
}

/// Messages whose connection has ended, and that are not noted yet.
struct LateChunk {
    held: Option<HeldChunk>,
    core: Arc<SocketCore>,
}

impl LateChunk {
    fn release(&mut self, discarding: bool) {
        if let Some(held) = self.held.take() {
            held.release(&self.core, discarding);
        }
    }
}

impl Drop for LateChunk {
    fn drop(&mut self) {
        self.release(true);
    }
}
