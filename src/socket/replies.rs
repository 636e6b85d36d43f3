//! The answers of several peers to one question.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;

use super::ask_messages::{decode_reply, question};
use crate::ask::{AskOutcome, AskRequest, Unanswered};
use crate::clock;
use crate::core::SocketCore;
use crate::error::AskError;
use crate::id::Identity;
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Link, Target};
use crate::payload::TraceContext;
use crate::trace::Span;

/// The answers of several peers to one question, as a stream: each peer's answer, or why it has
/// none. It ends when all have answered or are gone, or when the timeout is over.
///
/// Take as many as you need: dropping it tells the others that nobody waits any more.
pub struct Replies<Q> {
    core: Arc<SocketCore>,
    number: u64,
    answers: mpsc::UnboundedReceiver<(Identity, AskOutcome)>,
    span: Span,
    request: PhantomData<fn() -> Q>,
}

impl<Q> std::fmt::Debug for Replies<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replies")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl<Q: AskRequest> Replies<Q> {
    pub(super) fn start(
        core: Arc<SocketCore>,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Self, AskError> {
        let links: Vec<_> = core.router.links().iter().cloned().collect();
        if links.is_empty() && core.lifecycle.is_open() {
            return Err(AskError::NoPeer);
        }
        let asks = &core.inbound.asks;
        let question = |number, trace| question(asks, number, timeout, trace, body);
        let to = |link: &Link| Target::Peer(link.peer());
        Self::start_at(&core, links, question, to, timeout, Q::TOPIC)
    }

    /// Asks these peers, each by a payload that has the number of the ask and its trace. The span of all of them together has this
    /// topic.
    pub(super) fn start_at(
        core: &Arc<SocketCore>,
        links: Vec<Arc<Link>>,
        question: impl FnOnce(u64, Option<TraceContext>) -> Bytes,
        target: impl Fn(&Link) -> Target,
        timeout: Duration,
        topic: &str,
    ) -> Result<Self, AskError> {
        if !core.lifecycle.is_open() {
            return Err(AskError::Closed);
        }
        let deadline = clock::after(timeout);
        let asks = &core.inbound.asks;
        let (number, answers) = asks.register_many(links.clone(), deadline);
        let tracing = &core.config.tracing;
        let span = tracing.ask(&tracing.parent(), topic, None);
        let payload = question(number, span.context());
        for link in &links {
            let target = target(link);
            let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, payload.clone());
            entry.extras.get_or_insert_default().expires = Some(deadline);
            // As a reply, an ask of several never waits for the slowest of them.
            if core.router.push_reply(link, &mut entry).is_err() {
                let peer = link.peer();
                core.inbound
                    .asks
                    .resolve(number, peer, Err(Unanswered::PeerGone));
            }
        }
        Ok(Self {
            core: Arc::clone(core),
            number,
            answers,
            span,
            request: PhantomData,
        })
    }

    /// The next answer, and whose it is; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has taken nothing.
    pub async fn next(&mut self) -> Option<(Identity, Result<Q::Reply, AskError>)> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<Q: AskRequest> Stream for Replies<Q> {
    type Item = (Identity, Result<Q::Reply, AskError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let codec = self.core.config.codec;
        let next = ready!(self.answers.poll_recv(cx));
        if next.is_none() {
            self.span.succeed();
        }
        Poll::Ready(next.map(|(peer, outcome)| {
            let body = outcome.map_err(AskError::from);
            (peer, body.and_then(|body| decode_reply::<Q>(body, codec)))
        }))
    }
}

impl<Q> Drop for Replies<Q> {
    fn drop(&mut self) {
        // Whoever has enough answers is done.
        self.span.succeed();
        self.core.inbound.asks.give_up(self.number);
    }
}
