//! The way from a socket to its own services: what it queues for itself is read as if a peer had sent it, and no bytes leave
//! the process.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::frame_scan::{Found, scan_frames};
use crate::core::SocketCore;
use crate::inbox::Chunk;
use crate::link::{Link, NextWrite, WriteBatch};

/// Batches that are taken in one turn.
const BATCHES: usize = 16;

/// Takes what the socket sends to itself, for as long as it is polled and the socket is open.
pub(crate) async fn run_loopback(core: Arc<SocketCore>) {
    let link = core.services.link_to_itself().await;
    let mut batch = WriteBatch::default();
    poll_fn(|cx| poll_loopback(&core, &link, &mut batch, cx)).await;
}

/// Ready once the link is closed.
fn poll_loopback(
    core: &SocketCore,
    link: &Arc<Link>,
    batch: &mut WriteBatch,
    cx: &mut Context<'_>,
) -> Poll<()> {
    for _ in 0..BATCHES {
        match core.router.next_write(link, batch, cx.waker()) {
            NextWrite::Write => take(core, link, batch),
            NextWrite::Park => return Poll::Pending,
            NextWrite::Finish | NextWrite::Closed => return Poll::Ready(()),
        }
    }
    // Others have their turn.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Takes all frames of a batch.
fn take(core: &SocketCore, link: &Arc<Link>, batch: &mut WriteBatch) {
    let mut data = Vec::with_capacity(batch.len());
    data.extend_from_slice(&batch.control);
    if let Some(block) = &batch.block {
        data.extend_from_slice(block.head());
        data.extend_from_slice(block.tail());
    }
    batch.written = batch.len();
    let data = Bytes::from(data);
    let found = scan_frames(&data, core.config.max_frame_bytes);
    link.note_read();
    settle(core, link, &found);
    if found.messages > 0 {
        core.counters.note_received(found.messages);
        let _ = link.handle_requests(&found.requests);
        let cost = data.len();
        let chunk = Chunk::new(Arc::clone(link), data, found.messages, cost);
        let rest = core.inbound.asks.intercept(chunk);
        let rest = rest.and_then(|chunk| core.services.intercept(chunk));
        if let Some(rest) = rest {
            core.inbound.subscriptions.lose(rest);
        }
    }
    if let Some(extensions) = &found.extensions
        && !extensions.about_services.is_empty()
    {
        core.services
            .handle_frames(link, &extensions.about_services);
    }
}

/// Acts on what was acknowledged and refused. A REFUSED stands directly before its ACK, which says nothing more.
fn settle(core: &SocketCore, link: &Arc<Link>, found: &Found) {
    let refused = found
        .extensions
        .as_ref()
        .map_or(&[][..], |found| &found.refused);
    if !refused.is_empty() {
        let elsewhere = core.router.handle_refused(link, refused);
        if !elsewhere.is_empty() {
            core.services.handle_refused(link, elsewhere);
        }
    }
    let mut acks = found.acks.clone();
    acks.retain(|id| !refused.iter().any(|(refused, _)| refused == id));
    if !acks.is_empty() {
        core.router.acknowledge(link, &acks);
    }
}
