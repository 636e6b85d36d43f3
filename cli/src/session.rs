//! A socket that is bound and connected as the options say.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use actix::Actor;
use actix_aiomsg::error::{BindError, ConnectError};
use actix_aiomsg::stats::{CloseReport, Losses};
use actix_aiomsg::{Endpoint, Identity, Socket, SocketBuilder};
use indicatif::ProgressBar;

use crate::Outcome;
use crate::failure::Failure;
use crate::interrupt;
use crate::notices::{Notices, PeerEnds, Troubles, notice};
use crate::options::Ends;
use crate::redaction::shown;

/// The time that a socket gets to end in order, once everything is written.
const GOODBYE: Duration = Duration::from_secs(5);

/// A socket at work for a command.
pub(crate) struct Session {
    pub(crate) socket: Socket,
    troubles: Troubles,
    peer_ends: PeerEnds,
    ends: Ends,
    bar: Option<ProgressBar>,
}

impl Session {
    /// Starts a socket. Nobody reaches it before [`open`](Self::open).
    pub(crate) fn start(
        ends: &Ends,
        builder: SocketBuilder,
        bar: Option<ProgressBar>,
    ) -> Outcome<Self> {
        ends.require()?;
        let troubles = Troubles::default();
        let peer_ends = PeerEnds::default();
        let told = (troubles.clone(), peer_ends.clone());
        let notices = Notices::new(ends.quiet, told, bar.clone()).start();
        let mut builder = builder
            .on_socket_event(notices.clone().recipient())
            .on_peer_event(notices.recipient());
        if let Some(identity) = ends.identity {
            builder = builder.identity(identity);
        }
        if let Some(path) = &ends.inspection {
            builder = builder.inspection(path);
        }
        let socket = builder.start().map_err(Failure::failed)?;
        Ok(Self {
            socket,
            troubles,
            peer_ends,
            ends: ends.clone(),
            bar,
        })
    }

    /// Binds and connects, and tells where it listens.
    pub(crate) async fn open(&self) -> Outcome<Vec<Endpoint>> {
        let security = &self.ends.security;
        let mut bound = Vec::new();
        for endpoint in &self.ends.bind {
            let options = security.bind_options(endpoint)?;
            let listening = self.socket.bind_with(endpoint, options).await;
            bound.push(listening.map_err(|error| bind_failure(endpoint, &error))?);
        }
        for endpoint in &bound {
            if !self.ends.quiet {
                self.tell(&format!("listening on {endpoint}"));
            }
        }
        for endpoint in &self.ends.connect {
            let options = security.connect_options(endpoint)?;
            let connecting = self.socket.connect_with(endpoint, options).await;
            connecting.map_err(|error| match error {
                ConnectError::Endpoint(_) => {
                    Failure::usage(format_args!("{}: {error}", shown(endpoint)))
                }
                _ => Failure::usage(error),
            })?;
        }
        Ok(bound)
    }

    /// Waits for so many peers, at most for `limit`.
    pub(crate) async fn wait_for_peers(&self, peers: usize, limit: Option<Duration>) -> Outcome {
        let waiting = self.socket.wait_for_peers(peers);
        match within(limit, waiting).await {
            Some(Ok(())) => Ok(()),
            Some(Err(closed)) => Err(Failure::failed(closed)),
            None => Err(self.nobody(peers, limit.unwrap_or_default())),
        }
    }

    /// Waits for this peer, at most for `limit`.
    pub(crate) async fn wait_for(&self, peer: Identity, limit: Option<Duration>) -> Outcome {
        let mut state = self.socket.state();
        let is_there = || self.socket.peers().iter().any(|there| there.peer == peer);
        let waiting = async {
            while !is_there() {
                state
                    .changed()
                    .await
                    .map_err(|_| Failure::failed("the socket is closed"))?;
            }
            Ok(())
        };
        if let Some(waited) = within(limit, waiting).await {
            return waited;
        }
        let there = self.socket.peers();
        let limit = limit.unwrap_or_default();
        if there.is_empty() {
            return Err(self.nobody(1, limit));
        }
        let names: Vec<_> = there.iter().map(|peer| peer.peer.to_string()).collect();
        let text = format!("{peer} is not connected");
        Err(Failure::timed_out(limit, text)
            .advise(format_args!("Connected are: {}", names.join(", "))))
    }

    /// Nobody came, and why, as far as it is known.
    fn nobody(&self, wanted: usize, limit: Duration) -> Failure {
        let there = self.socket.stats().peers;
        let text = match (there, wanted) {
            (0, _) => "nobody is connected".to_owned(),
            (there, wanted) => format!("{there} of {wanted} peers are connected"),
        };
        self.advise(Failure::timed_out(limit, text))
    }

    /// What is sent was not taken for so long.
    pub(crate) fn nothing_taken(&self, after: Duration) -> Failure {
        match self.socket.stats().peers {
            0 => self.nobody(1, after),
            _ => Failure::timed_out(after, "the peer takes nothing")
                .advise("It does not read as fast as it is sent to. --timeout gives it more time."),
        }
    }

    /// A message was not acknowledged for so long, and why, as far as it is known.
    pub(crate) fn not_acknowledged(&self, number: u64, after: Duration) -> Failure {
        let text = format!("message {number} is not acknowledged");
        let failure = Failure::timed_out(after, text);
        match self.peer_ends() {
            Some(ends) => failure.advise(ends),
            None => failure.advise(
                "Its handler works for longer, or the peer is gone. --timeout gives it more time.",
            ),
        }
    }

    /// How often the peer has ended the connection, and what may be the reason; nothing if it has not.
    pub(crate) fn peer_ends(&self) -> Option<String> {
        let (count, reason) = &*self.peer_ends.borrow();
        let times = match count {
            0 => return None,
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        Some(format!(
            "The peer ended the connection {times} ({reason}). \
             Perhaps it cannot take the message, which may be larger than its limit."
        ))
    }

    /// Where nobody is connected, why, as far as it is known; otherwise the failure stays as it is.
    pub(crate) fn advise_if_alone(&self, failure: Failure) -> Failure {
        match self.socket.stats().peers {
            0 => self.advise(failure),
            _ => failure,
        }
    }

    fn advise(&self, failure: Failure) -> Failure {
        let troubles = self.troubles.borrow();
        match troubles.iter().next() {
            Some((endpoint, trouble)) => failure.advise(format_args!(
                "{trouble}. `aiomsg doctor {endpoint}` looks at each step."
            )),
            None => match self.ends.connect.first() {
                Some(endpoint) => failure.advise(format_args!(
                    "`aiomsg doctor {}` looks at each step.",
                    shown(endpoint)
                )),
                None => {
                    failure.advise("Are the peers started, and do they connect to this address?")
                }
            },
        }
    }

    /// Waits for what the socket is asked to do, until nothing has been sent or acknowledged for `limit`: then `None`.
    pub(crate) async fn while_moving<T>(
        &self,
        limit: Option<Duration>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let Some(limit) = limit else {
            return Some(work.await);
        };
        // What is done at once needs no timer.
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = std::future::ready(()) => {}
        }
        let mut movement = Movement(self.moved());
        loop {
            if let Ok(done) = tokio::time::timeout(limit, &mut work).await {
                return Some(done);
            }
            if !movement.goes_on(self.moved()) {
                return None;
            }
        }
    }

    fn moved(&self) -> u64 {
        let stats = self.socket.stats();
        stats.sent + stats.acknowledged
    }

    /// Ends after work by which so many messages were taken. A failure of it is told with what became of them: unless a signal
    /// has come, they are written first.
    pub(crate) async fn finish_after(
        self,
        worked: Outcome,
        taken: u64,
        limit: Option<Duration>,
    ) -> Outcome {
        let limit = match &worked {
            Err(failure) if failure.is_interrupted() || taken == 0 => return worked,
            // It had its time.
            Err(failure) if failure.is_about_time() => Some(Duration::ZERO),
            _ => limit,
        };
        let undone = || format!("not all of {taken} messages are written");
        let ended = interrupt::unless_interrupted(self.finish(limit), undone).await;
        match (worked, ended) {
            (Ok(()), ended) => ended.map(drop),
            (Err(failure), Ok(_)) => {
                Err(failure.add(format_args!("{taken} messages were sent before")))
            }
            (Err(failure), Err(_)) => Err(failure.add(format_args!(
                "{taken} messages were taken before, and not all of them were written"
            ))),
        }
    }

    /// Writes what was sent and closes. It is an error if something was not written, or was lost before.
    pub(crate) async fn finish(self, limit: Option<Duration>) -> Outcome<CloseReport> {
        // What is not written by then is in the report.
        let _ = within(limit, self.socket.flush()).await;
        // What the end of the socket itself loses is in the report.
        let losses = self.socket.stats().losses;
        let report = self.socket.close_within(GOODBYE).await;
        let lost = report.unsent + report.unacknowledged;
        if let Some(mut text) = lost_on_the_way(&losses) {
            if lost > 0 {
                text.push_str(&format!("; {lost} were not delivered"));
            }
            let failure = Failure::failed(text);
            return Err(match losses.overflow {
                0 => failure,
                _ => failure.advise("--rate sends more slowly."),
            });
        }
        if lost > 0 {
            return Err(match limit {
                Some(limit) => {
                    Failure::timed_out(limit, format_args!("{lost} messages were not delivered"))
                }
                None => Failure::failed(format_args!("{lost} messages were not delivered")),
            }
            .advise("The peer has gone, or does not read. --timeout gives it more time."));
        }
        Ok(report)
    }

    /// A line about this socket on standard error.
    pub(crate) fn tell(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| notice(text)),
            None => notice(text),
        }
    }
}

/// A count, to see whether it still grows.
pub(crate) struct Movement(pub(crate) u64);

impl Movement {
    /// Whether it has grown since the last look.
    pub(crate) fn goes_on(&mut self, now: u64) -> bool {
        std::mem::replace(&mut self.0, now) < now
    }
}

/// The messages to be sent that were lost, and why; `None` if there are none.
fn lost_on_the_way(losses: &Losses) -> Option<String> {
    let lost = [
        (losses.overflow, "dropped: a peer did not read them"),
        (losses.peer_gone, "lost: their peer is gone"),
        (
            losses.half_written,
            "lost: their connection ended while they were written",
        ),
        (losses.peer_cannot_take, "lost: their peer cannot take them"),
        (losses.expired, "lost: their time was over"),
        (losses.resend_limit, "lost: they were sent again too often"),
        (losses.closed, "lost: the socket was closed"),
    ];
    let lost = lost.iter().filter(|(count, _)| *count > 0);
    let told: Vec<_> = lost
        .map(|(count, why)| format!("{count} messages were {why}"))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Waits for `future`, at most for `limit` if there is one.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    future: impl Future<Output = T>,
) -> Option<T> {
    match limit {
        None => Some(future.await),
        Some(limit) => tokio::time::timeout(limit, future).await.ok(),
    }
}

/// The library says what to do, too.
fn bind_failure(endpoint: &str, error: &BindError) -> Failure {
    match error {
        BindError::Io { .. } => Failure::failed(error),
        BindError::Endpoint(_) => Failure::usage(format_args!("{}: {error}", shown(endpoint))),
        _ => Failure::usage(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_told_with_each_reason() {
        let mut losses = Losses::default();
        // What was received is no matter of what was sent.
        losses.poison = 3;
        assert_eq!(lost_on_the_way(&losses), None);
        losses.peer_gone = 2;
        losses.half_written = 1;
        assert_eq!(
            lost_on_the_way(&losses).unwrap(),
            "2 messages were lost: their peer is gone; \
             1 messages were lost: their connection ended while they were written"
        );
    }

    #[test]
    fn what_grows_between_two_looks_goes_on_however_slowly() {
        let mut movement = Movement(0);
        assert_eq!(
            [1, 1, 2, 2].map(|now| movement.goes_on(now)),
            [true, false, true, false]
        );
    }
}
