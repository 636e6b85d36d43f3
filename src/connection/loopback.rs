//! The way from a socket to its own services: what it queues for itself is read as if a peer had sent it, and no bytes leave
//! the process.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::dedupe_filter::skip_repetitions;
use super::frame_scan::{Found, scan_frames};
use super::held_chunk::HeldChunk;
use super::leave::{Leave, handle_about_services, take_out};
use super::rare_state::RareState;
use crate::core::SocketCore;
use crate::link::{Link, NextWrite, WriteBatch};

/// Batches that are taken in one turn.
const BATCHES: usize = 16;

/// Takes what the socket sends to itself, for as long as it is polled and the socket is open.
pub(crate) async fn run_loopback(core: Arc<SocketCore>) {
    let mut loopback = Loopback {
        link: core.services.link_to_itself().await,
        core,
        rare: RareState::default(),
    };
    let mut batch = WriteBatch::default();
    poll_fn(|cx| loopback.poll_take(&mut batch, cx)).await;
}

/// Reads what the socket sends to itself.
struct Loopback {
    core: Arc<SocketCore>,
    link: Arc<Link>,
    rare: RareState,
}

impl Loopback {
    /// Ready once the link is closed.
    fn poll_take(&mut self, batch: &mut WriteBatch, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..BATCHES {
            if let Some(held) = &mut self.rare.held {
                ready!(held.poll_noted(cx));
            }
            if let Some(held) = self.rare.held.take() {
                held.release(&self.core, false);
            }
            let next = self.core.router.next_write(&self.link, batch, cx.waker());
            match next {
                NextWrite::Write => self.take(batch),
                NextWrite::Park => return Poll::Pending,
                NextWrite::Finish | NextWrite::Closed => return Poll::Ready(()),
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes all frames of a batch.
    fn take(&mut self, batch: &mut WriteBatch) {
        let mut data = Vec::with_capacity(batch.len());
        data.extend_from_slice(&batch.control);
        if let Some(block) = &batch.block {
            data.extend_from_slice(block.head());
            data.extend_from_slice(block.tail());
        }
        batch.written = batch.len();
        let data = Bytes::from(data);
        let found = scan_frames(&data, self.core.config.max_frame_bytes);
        self.link.note_read();
        self.settle(&found);
        let about_services = found.extensions.map(|found| found.about_services);
        let about_services = about_services.unwrap_or_default();
        if found.messages > 0 {
            self.core.counters.note_received(found.messages);
            let again = self.link.handle_requests(&found.requests);
            let (data, messages, noted) = match self.link.dedupes() || !again.is_empty() {
                true => skip_repetitions(&self.core, &self.link, again, data, found.messages),
                false => (data, found.messages, None),
            };
            if let Some(noted) = noted {
                let link = Arc::clone(&self.link);
                let mut held =
                    HeldChunk::new(&self.core, link, data, messages, about_services, noted);
                held.set_leave(Leave::Discarding, 0);
                self.rare.held = Some(held);
                return;
            }
            let rest = (messages > 0).then(|| take_out(&self.core, &self.link, data, messages));
            // No inbox gets what a socket sends to itself.
            Leave::Discarding.hand_on(&self.core, 0, rest.flatten());
        }
        if !about_services.is_empty() {
            handle_about_services(&self.core, &self.link, &about_services);
        }
    }

    /// Acts on what was acknowledged and refused.
    fn settle(&mut self, found: &Found) {
        if let Some(extensions) = &found.extensions
            && !extensions.refused.is_empty()
        {
            let refused = &extensions.refused;
            let elsewhere = self.core.router.handle_refused(&self.link, refused);
            if !elsewhere.is_empty() {
                self.core.services.handle_refused(&self.link, elsewhere);
            }
        }
        let acknowledged = self.rare.acknowledged(found);
        if !acknowledged.is_empty() {
            self.core.router.acknowledge(&self.link, &acknowledged);
        }
    }
}
