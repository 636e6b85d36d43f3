//! A question from a peer, as its handler gets it.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Message;

use super::cancel::CancelToken;
use super::request::{Answer, AskRequest};
use crate::address::CertificateChain;
use crate::clock;
use crate::id::Identity;
use crate::link::Link;
use crate::payload::{Metadata, TraceContext};

/// A question from a peer. What the handler returns is the answer: a result, or a future of one.
///
/// It reads as the request itself: `ask.id` is the `id` of a `GetUser { id }`.
#[derive(Debug)]
pub struct Ask<Q> {
    pub(super) request: Q,
    pub(super) deadline: Option<Instant>,
    pub(super) trace: Option<TraceContext>,
    pub(super) cancel: Arc<CancelToken>,
    pub(super) link: Arc<Link>,
    pub(super) metadata: Option<Arc<Metadata>>,
}

impl<Q: AskRequest> Message for Ask<Q> {
    type Result = Answer<Q>;
}

impl<Q> std::ops::Deref for Ask<Q> {
    type Target = Q;

    fn deref(&self) -> &Q {
        &self.request
    }
}

impl<Q> Ask<Q> {
    /// The peer that asks.
    pub fn peer(&self) -> Identity {
        self.link.peer()
    }

    /// The verified certificate that the peer has proved to own, over TLS.
    pub fn certificates(&self) -> Option<&CertificateChain> {
        self.link.credentials()?.certificates()
    }

    /// The value that the authorizer keeps with the peer, if it is of this type; see
    /// [`Admission::with_principal`](crate::authorize::Admission::with_principal).
    pub fn principal<P: Any>(&self) -> Option<&P> {
        self.link.credentials()?.principal()
    }

    /// The request, without the rest.
    pub fn into_request(self) -> Q {
        self.request
    }

    /// Time for which the asker still waits; `None` if it does not say. It counts from the arrival of the ask: time in
    /// the inbox counts, and time on the way does not.
    pub fn remaining(&self) -> Option<Duration> {
        let now = clock::now();
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    /// The trace that the ask belongs to.
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// The value of a header that the asker gave the ask. There is none, unless this socket
    /// [reads metadata](crate::SocketBuilder::read_metadata).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.metadata.as_ref()?.header(name)
    }

    /// All headers of the ask, as names and values.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().flat_map(|metadata| metadata.headers())
    }

    /// True once nobody waits for the answer any more: the asker gave up, its connection ended, or
    /// its time is over.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.remaining().is_some_and(|left| left.is_zero())
    }

    /// Resolves when nobody waits for the answer any more. An asynchronous handler that works for
    /// long stops then: `tokio::select! { () = cancelled => …, user = work => … }`.
    pub fn cancelled(&self) -> impl Future<Output = ()> + use<Q> {
        let cancel = Arc::clone(&self.cancel);
        let deadline = self.deadline.map(tokio::time::Instant::from_std);
        async move {
            match deadline {
                None => cancel.cancelled().await,
                Some(deadline) => {
                    // Either way nobody waits.
                    let _ = tokio::time::timeout_at(deadline, cancel.cancelled()).await;
                }
            }
        }
    }
}
