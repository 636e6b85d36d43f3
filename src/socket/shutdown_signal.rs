//! A program that runs until it is asked to stop.

use std::io;
use std::time::{Duration, Instant};

use super::handle::Socket;
use super::stop_signals::StopSignals;
use crate::actor::drain_group::{DrainGroup, EndedBy};
use crate::actor::shutdown::{self, GOODBYE};
use crate::actor::socket::{Close, CloseReport, DrainAtEnd, StopAccepting};
use crate::clock;
use crate::lifecycle::SocketPhase;
use crate::supervise::{self, EndListener, Escalation};

/// The least time that connections get to end in order.
const SHORTEST_GOODBYE: Duration = Duration::from_millis(100);

/// The way in which a socket ends with its program; see [`Socket::run_until_signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it only says how to close"]
pub struct Drain {
    deadline: Duration,
}

impl Drain {
    /// Handles received messages and delivers accepted ones, for at most so long.
    pub const fn within(deadline: Duration) -> Self {
        Self { deadline }
    }

    /// The rest of the time of a drain that began then.
    pub(crate) fn left_since(self, began: Instant) -> Duration {
        let elapsed = clock::now().saturating_duration_since(began);
        self.deadline.saturating_sub(elapsed)
    }
}

/// [`Socket::run_until_signal`] ended for another reason than a signal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The operating system refuses to have its signals taken over.
    #[error("cannot listen to signals: {0}")]
    Signals(#[from] io::Error),
    /// Supervision gave up a part that the program relies on. The socket was drained.
    #[error("the program cannot go on: {0}")]
    GivenUp(Escalation),
}

impl Socket {
    /// Runs until the program is asked to stop by SIGTERM or Ctrl-C, then drains and closes the socket within one
    /// deadline, and reports.
    ///
    /// The socket accepts no new connections and stops receiving. Handlers finish what it has received, and their
    /// replies go out. Then everything else that it holds is delivered, and it is closed as by
    /// [`close_within`](Self::close_within). [`CloseReport`] tells what was handled and what was not.
    ///
    /// A second signal ends the drain at once, with a warning of what that cost. A handler that blocks the thread for
    /// more than a second from then on is ended with the process, with status 1; so is one that blocks it for ten seconds
    /// beyond the deadline, or forty if the socket has an outbox. On Linux the same holds for a blocking task that keeps the runtime
    /// when `main` has ended.
    ///
    /// It returns as well when the socket is closed for another reason. Both signals are taken over from the first
    /// poll on, for the rest of the program's life. A program that was asked to stop stays asked: called after a signal, for
    /// this socket or another, this drains at once.
    ///
    /// # Errors
    ///
    /// [`RunError::Signals`] when the operating system refuses to have its signals taken over.
    /// [`RunError::GivenUp`] when supervision gives up a part of the program, [on which it
    /// ends](mod@crate::supervise#when-it-gives-up); the socket was drained for the time of `drain`. Return it from `main`, with `?`: a
    /// `main` that ends normally ends with status 0.
    ///
    /// # Cancel safety
    ///
    /// Dropped before a signal comes, it has done nothing to the socket. A signal that comes before it is called again is not
    /// missed. Dropped later, it leaves a socket that accepts nobody and receives nothing, until it is called again; the time of the drain goes on.
    pub async fn run_until_signal(&self, drain: Drain) -> Result<CloseReport, RunError> {
        self.run_until_signal_and(drain, async |_| {}).await
    }

    /// [`run_until_signal`](Self::run_until_signal), with a last step between the drain and the close. It is told the time
    /// that it has.
    pub(crate) async fn run_until_signal_and(
        &self,
        drain: Drain,
        last: impl AsyncFnOnce(Duration),
    ) -> Result<CloseReport, RunError> {
        if self.core().lifecycle.is_closed() {
            return Ok(shutdown::closed_report(self.core()).await);
        }
        let takes = drain.deadline.saturating_add(2 * GOODBYE);
        let mut signals = StopSignals::listen(self.core(), takes)?;
        let group = DrainGroup::join(self.core(), EndedBy::Signal);
        let mut end = supervise::listen(self.core().standing.scope(), takes);
        self.set_drain_at_end(drain);
        let mut state = self.state();
        // A socket whose program ends is no longer open, either.
        tokio::select! {
            biased;
            () = signals.next() => {}
            escalation = end.given_up() => {
                drop(group);
                tokio::select! {
                    biased;
                    () = signals.next() => drop(self.cut_short("a signal")),
                    () = self.drain_at_end(drain, last) => {}
                }
                return Err(RunError::GivenUp(escalation));
            }
            // An error means that the socket is gone.
            _ = state.wait_for(|state| state.phase != SocketPhase::Open) => {
                drop(group);
                return Ok(self.close_within(drain.deadline).await);
            }
        }
        if self.core().lifecycle.stop_asked().is_none() {
            StopSignals::watch_runtime();
        }
        let report = tokio::select! {
            biased;
            () = signals.next() => self.cut_short("a second signal"),
            report = self.drain_and_close(drain, last, (group, &mut end)) => report,
        };
        // It may have been given up meanwhile.
        end.escalation()
            .map_or(Ok(report), |escalation| Err(RunError::GivenUp(escalation)))
    }

    /// Closes the socket as [`close_within`](Self::close_within) does, unless a signal comes. One that was the second is for this socket as well:
    /// it is closed as it is.
    pub(crate) async fn close_unless_signal(&self, deadline: Duration) -> CloseReport {
        if StopSignals::have_come_twice() {
            return self.cut_short("a second signal");
        }
        let Ok(mut signals) =
            StopSignals::listen(self.core(), deadline.saturating_add(2 * GOODBYE))
        else {
            return self.close_within(deadline).await;
        };
        signals.skip();
        tokio::select! {
            biased;
            () = signals.next() => self.cut_short("a second signal"),
            report = self.close_within(deadline) => report,
        }
    }

    /// For how long the socket drains when supervision gives up the program.
    pub(crate) fn set_drain_at_end(&self, drain: Drain) {
        self.handle.actor.do_send(DrainAtEnd(drain.deadline));
    }

    async fn drain_and_close(
        &self,
        drain: Drain,
        last: impl AsyncFnOnce(Duration),
        (group, end): (DrainGroup, &mut EndListener),
    ) -> CloseReport {
        // Dropped and called again it goes on, and has no more time than before.
        let (began, is_news) = self.core().lifecycle.note_stop_asked(clock::now());
        if is_news {
            tracing::info!("asked to stop");
            self.handle.actor.do_send(StopAccepting);
        }
        if !shutdown::drain_with(group, drain.left_since(began)).await {
            tracing::warn!("the time to drain was over before everything was handled and sent");
        }
        last(drain.left_since(began)).await;
        tokio::select! {
            biased;
            // The socket is put in order without us, and nobody closes it any more.
            _ = end.given_up() => {
                let limit = drain.left_since(began);
                shutdown::wait_until(limit, || self.core().is_drained(true)).await;
                shutdown::part(self.core(), GOODBYE).await;
                self.core().report()
            }
            report = self.close_after_drain(drain.left_since(began)) => report,
        }
    }

    async fn close_after_drain(&self, deadline: Duration) -> CloseReport {
        let goodbye = deadline.clamp(SHORTEST_GOODBYE, GOODBYE);
        if self.core().lifecycle.is_open() {
            // Unlike a request, it is carried out although nobody waits for it any more.
            self.handle.actor.do_send(Close { deadline, goodbye });
        }
        shutdown::closed_report(self.core()).await
    }

    /// Ends the socket as it is.
    fn cut_short(&self, by: &'static str) -> CloseReport {
        let report = self.core().end(&format!("{by} cut the drain short"));
        tracing::warn!(?report, by, "the drain was cut short");
        report
    }

    /// Waits until the socket has done what it can before its program ends.
    async fn drain_at_end(&self, drain: Drain, last: impl AsyncFnOnce(Duration)) {
        let group = DrainGroup::join(self.core(), EndedBy::Supervision);
        let began = clock::now();
        shutdown::drain_with(group, drain.deadline).await;
        last(drain.left_since(began)).await;
        shutdown::part(self.core(), GOODBYE).await;
    }
}
