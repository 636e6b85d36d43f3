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
        // They stand one directly behind the other: only the last ACK may be in the next read. A message that was sent again
        // meanwhile may be refused twice.
        let times = |ids: &[MessageId], id: &MessageId| ids.iter().filter(|it| *it == id).count();
        self.refused = refused
            .last()
            .copied()
            .filter(|id| times(&found.acks, id) < times(&refused, id));
        let others = found.acks.iter().filter(|id| !refused.contains(id));
        others.copied().collect()
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::super::frame_scan::FoundExtensions;
    use super::*;
    use crate::wire::NotHandled;

    const fn id(number: u8) -> MessageId {
        MessageId::from_bytes([number; 16])
    }

    /// A read with these in the order of their kinds.
    fn read(refused: &[u8], acks: &[u8]) -> Found {
        let refused = refused.iter();
        Found {
            acks: acks.iter().map(|number| id(*number)).collect(),
            extensions: Some(Box::new(FoundExtensions {
                refused: refused
                    .map(|number| (id(*number), NotHandled::Busy))
                    .collect(),
                ..FoundExtensions::default()
            })),
            ..Found::default()
        }
    }

    #[test]
    fn the_ack_behind_each_refusal_says_nothing_wherever_a_read_ends() {
        let mut state = RareState::default();
        assert_eq!(state.acknowledged(&read(&[1, 2], &[1, 9])), [id(9)]);
        assert_eq!(state.acknowledged(&read(&[], &[2, 3])), [id(3)]);
        assert_eq!(state.acknowledged(&read(&[], &[2])), [id(2)]);
        // It was sent again, and refused again.
        assert_eq!(state.acknowledged(&read(&[1, 2, 1], &[1, 2])), []);
        assert_eq!(state.acknowledged(&read(&[], &[1, 4])), [id(4)]);
    }
}
