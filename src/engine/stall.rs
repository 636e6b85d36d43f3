//! Connections that are not read from, and on which nothing moves.
//!
//! A connection that waits for something is not read from, so that its peer's silence means nothing. It does
//! not wait for ever: without progress for its patience it is stalled. With peers that is the write timeout, with
//! our handlers a longer time: one that is slow, and goes on, is no standstill.

use std::time::{Duration, Instant};

/// The event that a connection waits for before it is read from again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The peer takes its answers, so that something can be written.
    Writing,
    /// Handlers that make room for the messages before acknowledgements and answers that the peer owes us.
    Handlers,
}

/// Consequence of a sweep for a connection that is not read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StallVerdict {
    /// The connection is read from, or has not waited for long.
    None,
    /// The reader has to report whether handlers have finished something meanwhile.
    AskReader,
    /// The connection has waited too long and ends.
    Stalled,
}

/// Detects that a connection waits for the same event without progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StallDetector(Option<(WaitsFor, Instant)>);

impl StallDetector {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Bytes were written.
    #[inline]
    pub(crate) fn handle_write(&mut self) {
        self.handle_progress_of(WaitsFor::Writing);
    }

    /// Handlers have finished something, or the peer has acknowledged something.
    #[inline]
    pub(crate) fn handle_progress(&mut self) {
        self.handle_progress_of(WaitsFor::Handlers);
    }

    fn handle_progress_of(&mut self, event: WaitsFor) {
        if self.0.is_some_and(|(waits_for, _)| waits_for == event) {
            self.0 = None;
        }
    }

    /// A sweep found the connection waiting for this event, or reading.
    pub(crate) fn handle_sweep(
        &mut self,
        now: Instant,
        waits_for: Option<WaitsFor>,
        patience: Duration,
    ) -> StallVerdict {
        let Some(waits_for) = waits_for else {
            self.0 = None;
            return StallVerdict::None;
        };
        let since = match self.0 {
            Some((same, since)) if same == waits_for => since,
            Some(_) | None => {
                self.0 = Some((waits_for, now));
                return StallVerdict::None;
            }
        };
        let waited = now.saturating_duration_since(since);
        match waits_for {
            _ if waited >= patience => StallVerdict::Stalled,
            WaitsFor::Handlers => StallVerdict::AskReader,
            WaitsFor::Writing => StallVerdict::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Sweeps at these seconds.
    fn sweeps(
        detector: &mut StallDetector,
        start: Instant,
        waits_for: Option<WaitsFor>,
        seconds: impl IntoIterator<Item = u64>,
    ) -> Vec<StallVerdict> {
        let at = |second| start + Duration::from_secs(second);
        seconds
            .into_iter()
            .map(|second| detector.handle_sweep(at(second), waits_for, PATIENCE))
            .collect()
    }

    #[test]
    fn a_connection_that_waits_for_its_peer_stalls_after_its_patience() {
        let mut detector = StallDetector::new();
        let waits_for = Some(WaitsFor::Writing);
        assert_eq!(
            sweeps(&mut detector, Instant::now(), waits_for, [5, 14, 15]),
            [
                StallVerdict::None,
                StallVerdict::None,
                StallVerdict::Stalled
            ]
        );
    }

    #[test]
    fn the_reader_is_asked_for_progress_of_handlers_until_their_patience_is_over() {
        let mut detector = StallDetector::new();
        let waits_for = Some(WaitsFor::Handlers);
        assert_eq!(
            sweeps(&mut detector, Instant::now(), waits_for, [5, 6, 14, 15]),
            [
                StallVerdict::None,
                StallVerdict::AskReader,
                StallVerdict::AskReader,
                StallVerdict::Stalled
            ]
        );
    }

    #[test]
    fn progress_begins_the_wait_anew() {
        let start = Instant::now();
        let mut detector = StallDetector::new();
        let waits_for = Some(WaitsFor::Writing);
        sweeps(&mut detector, start, waits_for, [0, 9]);
        detector.handle_write();
        assert_eq!(
            sweeps(&mut detector, start, waits_for, [10, 19, 20]),
            [
                StallVerdict::None,
                StallVerdict::None,
                StallVerdict::Stalled
            ]
        );
        let mut detector = StallDetector::new();
        let waits_for = Some(WaitsFor::Handlers);
        sweeps(&mut detector, start, waits_for, [0, 9]);
        detector.handle_progress();
        assert_eq!(
            sweeps(&mut detector, start, waits_for, [10, 19, 20]),
            [
                StallVerdict::None,
                StallVerdict::AskReader,
                StallVerdict::Stalled
            ]
        );
    }

    #[test]
    fn progress_of_another_kind_changes_nothing() {
        let start = Instant::now();
        let mut detector = StallDetector::new();
        sweeps(&mut detector, start, Some(WaitsFor::Writing), [0]);
        detector.handle_progress();
        assert_eq!(
            sweeps(&mut detector, start, Some(WaitsFor::Writing), [10]),
            [StallVerdict::Stalled]
        );
        let mut detector = StallDetector::new();
        sweeps(&mut detector, start, Some(WaitsFor::Handlers), [0]);
        detector.handle_write();
        assert_eq!(
            sweeps(&mut detector, start, Some(WaitsFor::Handlers), [10]),
            [StallVerdict::Stalled]
        );
    }

    #[test]
    fn a_connection_that_reads_or_waits_for_something_else_has_not_waited_before() {
        let start = Instant::now();
        let mut detector = StallDetector::new();
        sweeps(&mut detector, start, Some(WaitsFor::Writing), [0]);
        sweeps(&mut detector, start, None, [9]);
        let others = [
            Some(WaitsFor::Writing),
            Some(WaitsFor::Handlers),
            Some(WaitsFor::Writing),
        ];
        for (second, waits_for) in (10..).zip(others) {
            assert_eq!(
                sweeps(&mut detector, start, waits_for, [second * 2]),
                [StallVerdict::None]
            );
        }
    }
}
