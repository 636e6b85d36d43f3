//! The handle of a relay that runs.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;

use super::capture::CaptureWriter;
use super::counts::RelayStats;
use super::event::RelayEvent;
use super::way::Way;
use crate::actor::shutdown::{drain as drain_socket, wait_until};
use crate::clock;
use crate::event::Announcer;
use crate::lifecycle::{CloseReport, SocketPhase};
use crate::socket::{Drain, RunError, Socket};
use crate::supervise::{TreeHandle, TreeReport};

/// The least time that the back gets to deliver what the front has left.
const LEAST: Duration = Duration::from_millis(100);

/// A relay that runs. It keeps both of its sockets open.
#[derive(Clone)]
pub struct RelayHandle {
    front: Socket,
    back: Socket,
    running: Arc<Running>,
}

/// The parts of a relay that runs.
pub(super) struct Running {
    pub(super) forward: Arc<Way>,
    pub(super) reverse: Option<Arc<Way>>,
    pub(super) capture: Option<Arc<CaptureWriter>>,
    pub(super) tree: TreeHandle,
    pub(super) events: Arc<Announcer<RelayEvent>>,
}

/// The accounts of both sockets of a relay at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayReport {
    /// That of the front. What is `unfinished` was received and not sent on; it comes again if its sender waits for an
    /// acknowledgement.
    pub front: CloseReport,
    /// That of the back.
    pub back: CloseReport,
}

impl fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayHandle")
            .field("front", &self.front.identity())
            .field("back", &self.back.identity())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl RelayHandle {
    pub(super) fn start(front: Socket, back: Socket, running: Running) -> Self {
        let tree = running.tree.clone();
        let (mut one, mut other) = (front.state(), back.state());
        actix::spawn(async move {
            let is_closed =
                |state: &crate::lifecycle::SocketState| state.phase == SocketPhase::Closed;
            // An error means that the socket is gone.
            tokio::select! {
                _ = one.wait_for(is_closed) => {}
                _ = other.wait_for(is_closed) => {}
            }
            tree.stop().await;
        });
        Self {
            front,
            back,
            running: Arc::new(running),
        }
    }

    /// Figures of the way from the front to the back.
    pub fn stats(&self) -> RelayStats {
        self.running.forward.stats()
    }

    /// Figures of the way from the back to the front; `None` unless the relay goes [both ways](super::Relay::both_ways).
    pub fn reverse_stats(&self) -> Option<RelayStats> {
        self.running.reverse.as_ref().map(|way| way.stats())
    }

    /// Tells an actor what the relay does not pass on, and when its recording ends, from now on.
    ///
    /// # Panics
    ///
    /// Outside of an arbiter or a tokio `LocalSet`.
    pub fn events(&self, recipient: Recipient<RelayEvent>) {
        actix::spawn(self.running.events.add(recipient));
    }

    /// Reports what the actors of the relay are doing, and how they have fared.
    pub fn inspect(&self) -> TreeReport {
        self.running.tree.inspect()
    }

    /// Runs until the program is asked to stop by SIGTERM or Ctrl-C, then drains and closes both sockets within one deadline.
    ///
    /// The front accepts no new connections and stops receiving. What it has received is sent on and acknowledged, and
    /// answers to open asks are brought back. Then the front is closed, and the back delivers what is left.
    ///
    /// A second signal ends the drain at once; see [`Socket::run_until_signal`]. It returns as well when one of both sockets is
    /// closed for another reason.
    ///
    /// # Errors
    ///
    /// As those of [`Socket::run_until_signal`]; when supervision gave up a part of the program, both sockets were drained and the
    /// recording is complete.
    ///
    /// # Cancel safety
    ///
    /// Dropped before a signal comes, it has done nothing to the sockets.
    pub async fn run_until_signal(&self, drain: Drain) -> Result<RelayReport, RunError> {
        self.back.set_drain_at_end(drain);
        let rest = OnceCell::new();
        let running = self.front.run_until_signal_and(drain, async |left| {
            // It is called once.
            let _ = rest.set((Drain::within(left), clock::now()));
            wait_until(left, || !self.awaits_answers()).await;
        });
        let mut back = self.back.state();
        let front = tokio::select! {
            biased;
            front = running => front,
            _ = back.wait_for(|state| state.phase == SocketPhase::Closed) => Ok(self.front.close().await),
        };
        let left = rest.get().map(|(rest, began)| rest.left_since(*began));
        let left = left.unwrap_or_default().max(LEAST);
        match front {
            Ok(front) => {
                let back = self.back.close_unless_signal(left).await;
                Ok(self.end(front, back).await)
            }
            Err(error @ RunError::GivenUp(_)) => {
                drain_socket(self.back.core(), left).await;
                self.finish_capture().await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Closes the front and then the back, each in order, within one deadline.
    ///
    /// What the front has received is sent on, and answers to open asks are brought back, as by
    /// [`run_until_signal`](Self::run_until_signal).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the front receives no more, and the sockets may be open.
    pub async fn close_within(&self, deadline: Duration) -> RelayReport {
        let (drain, began) = (Drain::within(deadline), clock::now());
        let left = || drain.left_since(began).max(LEAST);
        // The report says what was left.
        let _ = self.front.drain(deadline).await;
        wait_until(left(), || !self.awaits_answers()).await;
        let front = self.front.close_within(left()).await;
        let back = self.back.close_within(left()).await;
        self.end(front, back).await
    }

    /// Ends the recording behind both sockets.
    async fn end(&self, front: CloseReport, back: CloseReport) -> RelayReport {
        self.finish_capture().await;
        RelayReport { front, back }
    }

    async fn finish_capture(&self) {
        if let Some(capture) = &self.running.capture {
            capture.finish().await;
        }
    }

    fn awaits_answers(&self) -> bool {
        let reverse = self.running.reverse.as_ref();
        self.running.forward.awaits_answers() || reverse.is_some_and(|way| way.awaits_answers())
    }
}
