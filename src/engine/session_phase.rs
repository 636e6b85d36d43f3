//! Phases of an admitted connection, from its first message to its end.

use crate::wire::Oversize;

/// Phase of an admitted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionPhase {
    /// Messages go both ways.
    Running,
    /// Writing has failed. What the peer had sent before is still read; waiting for room has a time limit.
    WriteFailed,
    /// Our side has ended the connection.
    Aborted,
    /// Everything is written, and the writing side is being ended. The time limit holds for the next phase, too.
    ShuttingDown,
    /// The writing side has ended. The peer has until the time limit to end its own.
    Discarding,
}

/// Reason why the writer of a running connection stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriterEnd {
    /// Everything is written that was to be written.
    Finished,
    /// Our side has closed the link.
    LinkClosed,
    /// The transport has failed.
    Failed,
}

/// Result of one call of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReaderEvent {
    /// Nothing more has arrived.
    Waiting,
    /// There is no room for more.
    Paused,
    /// Other tasks go first.
    Yielded,
    /// Something was read, and there may be more.
    Progress,
    /// All that had arrived was read.
    Drained,
    /// The peer ended its stream between two frames.
    Ended,
    /// The peer ended its stream inside a frame.
    Truncated,
    /// The peer announced a frame above the limit.
    Oversize(Oversize),
}

/// Next step of the connection after its reader was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionStep {
    /// Write and read again.
    Continue,
    /// Wait to be woken.
    Wait,
    /// Wait to be woken, but not beyond the time limit: then the connection ends as one that could not be
    /// written to.
    WaitUntilLimit,
    /// The connection has ended.
    End(SessionEnd),
}

/// Reason for the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// Writing had failed, and what the peer had sent is read.
    WriteFailed,
    /// The peer ended its stream inside a frame.
    Truncated,
    /// The peer closed the connection.
    ClosedByPeer,
    /// We closed the connection.
    ClosedByUs,
    /// The peer announced a frame above the limit.
    Oversize(Oversize),
}

impl SessionPhase {
    /// The writer of a running connection has stopped.
    #[must_use]
    pub(crate) const fn after_writing(self, end: WriterEnd) -> Self {
        match (self, end) {
            (Self::Running, WriterEnd::Finished) => Self::ShuttingDown,
            (Self::Running, WriterEnd::LinkClosed) => Self::Aborted,
            (Self::Running, WriterEnd::Failed) => Self::WriteFailed,
            (later, _) => later,
        }
    }

    /// The writing side has ended. An error counts as well: the peer is gone then, and has ended its side too.
    #[must_use]
    pub(crate) const fn after_shutdown(self) -> Self {
        match self {
            Self::ShuttingDown => Self::Discarding,
            other => other,
        }
    }

    /// The reader was called.
    pub(crate) const fn handle_read(self, event: ReaderEvent) -> SessionStep {
        match (event, self) {
            (ReaderEvent::Progress, _) => SessionStep::Continue,
            (ReaderEvent::Drained, Self::Running) => SessionStep::Wait,
            (ReaderEvent::Drained, _) => SessionStep::Continue,
            (ReaderEvent::Paused, Self::WriteFailed) => SessionStep::WaitUntilLimit,
            (ReaderEvent::Waiting, Self::WriteFailed) => SessionStep::End(SessionEnd::WriteFailed),
            (ReaderEvent::Waiting | ReaderEvent::Paused | ReaderEvent::Yielded, _) => {
                SessionStep::Wait
            }
            (ReaderEvent::Oversize(frame), _) => SessionStep::End(SessionEnd::Oversize(frame)),
            (ReaderEvent::Truncated, _) => SessionStep::End(SessionEnd::Truncated),
            (ReaderEvent::Ended, Self::Running | Self::WriteFailed) => {
                SessionStep::End(SessionEnd::ClosedByPeer)
            }
            (ReaderEvent::Ended, Self::Aborted | Self::ShuttingDown | Self::Discarding) => {
                SessionStep::End(SessionEnd::ClosedByUs)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SessionPhase; 5] = [
        SessionPhase::Running,
        SessionPhase::WriteFailed,
        SessionPhase::Aborted,
        SessionPhase::ShuttingDown,
        SessionPhase::Discarding,
    ];

    #[test]
    fn the_writer_ends_a_running_connection_and_changes_no_other() {
        let ends = [
            (WriterEnd::Finished, SessionPhase::ShuttingDown),
            (WriterEnd::LinkClosed, SessionPhase::Aborted),
            (WriterEnd::Failed, SessionPhase::WriteFailed),
        ];
        for (end, next) in ends {
            assert_eq!(SessionPhase::Running.after_writing(end), next);
            for phase in &ALL[1..] {
                assert_eq!(phase.after_writing(end), *phase);
            }
        }
    }

    #[test]
    fn what_arrives_after_the_writing_side_has_ended_is_discarded() {
        let after = ALL.map(SessionPhase::after_shutdown);
        let expected = [
            SessionPhase::Running,
            SessionPhase::WriteFailed,
            SessionPhase::Aborted,
            SessionPhase::Discarding,
            SessionPhase::Discarding,
        ];
        assert_eq!(after, expected);
    }

    /// The step of each phase, in the order of [`ALL`].
    fn steps(event: ReaderEvent) -> [SessionStep; 5] {
        ALL.map(|phase| phase.handle_read(event))
    }

    #[test]
    fn the_stream_of_a_peer_that_cannot_be_written_to_is_read_to_its_end() {
        use SessionStep::{Continue, End, Wait, WaitUntilLimit};
        assert_eq!(steps(ReaderEvent::Progress), [Continue; 5]);
        assert_eq!(
            steps(ReaderEvent::Drained),
            [Wait, Continue, Continue, Continue, Continue]
        );
        assert_eq!(
            steps(ReaderEvent::Waiting),
            [Wait, End(SessionEnd::WriteFailed), Wait, Wait, Wait]
        );
        assert_eq!(
            steps(ReaderEvent::Paused),
            [Wait, WaitUntilLimit, Wait, Wait, Wait]
        );
        assert_eq!(steps(ReaderEvent::Yielded), [Wait; 5]);
    }

    #[test]
    fn whoever_ended_its_stream_first_has_closed_the_connection() {
        let end = |ends: [SessionEnd; 5]| ends.map(SessionStep::End);
        assert_eq!(
            steps(ReaderEvent::Ended),
            end([
                SessionEnd::ClosedByPeer,
                SessionEnd::ClosedByPeer,
                SessionEnd::ClosedByUs,
                SessionEnd::ClosedByUs,
                SessionEnd::ClosedByUs,
            ])
        );
        assert_eq!(
            steps(ReaderEvent::Truncated),
            end([SessionEnd::Truncated; 5])
        );
        let frame = Oversize {
            announced: 9,
            limit: 8,
        };
        assert_eq!(
            steps(ReaderEvent::Oversize(frame)),
            end([SessionEnd::Oversize(frame); 5])
        );
    }
}
