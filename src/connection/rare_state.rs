//! What few connections keep between two reads, so that the others are small.

use super::frame_scan::Found;
use super::held_chunk::HeldChunk;
use crate::id::MessageId;

/// Counters that show progress of a connection without room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ReaderProgress {
    pub(super) finished: usize,
    pub(super) acknowledged: u64,
}

/// What few connections keep between two reads.
#[derive(Debug, Default)]
pub(super) struct RareState {
    pub(super) progress: ReaderProgress,
    /// A message that was refused, and whose ACK is to come next.
    pub(super) refused: Option<MessageId>,
    /// What was read last, until it may be handed on.
    pub(super) held: Option<HeldChunk>,
}

impl RareState {
    /// The messages that a read acknowledges, but for those that are refused: the ACK behind a REFUSED says nothing more.
    pub(super) fn acknowledged(&mut self, found: &Found) -> Vec<MessageId> {
        let before = self.refused.take();
        let refused = found.extensions.iter().flat_map(|found| &found.refused);
        let refused: Vec<MessageId> = before
            .into_iter()
            .chain(refused.map(|(id, _)| *id))
            .collect();
        // They stand one directly behind the other: only the last ACK may be in the next read.
        self.refused = refused
            .last()
            .copied()
            .filter(|id| !found.acks.contains(id));
        let others = found.acks.iter().filter(|id| !refused.contains(id));
        others.copied().collect()
    }
}
