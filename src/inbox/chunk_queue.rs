//! The chunks of an inbox, in order. Those of a peer that has left too many of our answers unread
//! are set aside when their turn comes, and taken up again before all that came later, when it has
//! read them.

use std::collections::{BTreeMap, VecDeque};

use super::chunk::Chunk;
use crate::id::Identity;
use crate::limits::Capacity;

/// Places for chunks that an empty inbox keeps.
const KEPT_CHUNKS: usize = 256;

/// Chunks that wait in an inbox.
#[derive(Debug, Default)]
pub(super) struct ChunkQueue {
    chunks: VecDeque<Chunk>,
    parked: Parked,
}

/// Chunks that are set aside. Those of each peer are in order, and before all of its chunks that are not.
#[derive(Debug, Default)]
pub(super) struct Parked {
    peers: BTreeMap<Identity, VecDeque<Chunk>>,
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// Those of them that were read ahead.
    pub(super) messages_ahead: usize,
    pub(super) bytes_ahead: usize,
    /// Some of these peers may have read their answers.
    relieved: bool,
}

impl ChunkQueue {
    #[inline]
    pub(super) fn push(&mut self, chunk: Chunk) {
        self.chunks.push_back(chunk);
    }

    /// Puts back what was the last to be taken of its peer's.
    pub(super) fn give_back(&mut self, chunk: Chunk) {
        if self.parked.holds(&chunk) {
            self.parked.give_back(chunk);
        } else {
            self.chunks.push_front(chunk);
        }
    }

    /// True if the queue holds nothing but parked chunks.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    #[inline]
    pub(super) fn parked(&self) -> &Parked {
        &self.parked
    }

    /// A peer has read its answers, or is gone.
    pub(super) fn relieve(&mut self) {
        self.parked.relieved = !self.parked.peers.is_empty();
    }

    /// Takes the oldest chunk.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Chunk> {
        if self.parked.relieved
            && let Some(chunk) = self.parked.take(VecDeque::pop_front)
        {
            return Some(chunk);
        }
        self.park();
        let chunk = self.chunks.pop_front();
        self.shrink_if_empty();
        chunk
    }

    /// Takes the oldest message, as a chunk of its own.
    #[inline]
    pub(super) fn take_one(&mut self) -> Option<Chunk> {
        if self.parked.relieved
            && let Some(chunk) = self.parked.take(take_one)
        {
            return Some(chunk);
        }
        self.park();
        let chunk = take_one(&mut self.chunks);
        self.shrink_if_empty();
        chunk
    }

    /// Gives back memory: a queue that thousands of peers have filled may hold one chunk at a time next.
    #[inline]
    fn shrink_if_empty(&mut self) {
        if self.chunks.is_empty() && self.chunks.capacity() > KEPT_CHUNKS {
            self.chunks = VecDeque::new();
        }
    }

    /// Takes the oldest chunk, whatever its peer owes.
    pub(super) fn take_oldest(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Takes everything.
    pub(super) fn drain(&mut self) -> Vec<Chunk> {
        let parked = std::mem::take(&mut self.parked);
        let parked = parked.peers.into_values().flatten();
        parked.chain(self.chunks.drain(..)).collect()
    }

    /// All that wait.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        let parked = self.parked.peers.values().flatten();
        parked.chain(&self.chunks)
    }

    /// Until the first chunk is one to be taken.
    #[inline]
    fn park(&mut self) {
        while let Some(first) = self.chunks.front()
            && (first.link().is_in_debt() || self.parked.holds(first))
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.parked.push(chunk);
        }
    }
}

fn take_one(chunks: &mut VecDeque<Chunk>) -> Option<Chunk> {
    let first = chunks.front_mut()?;
    if first.messages() == 1 {
        return chunks.pop_front();
    }
    Some(first.split_first())
}

impl Parked {
    /// True if several peers have more set aside than an inbox holds. One alone cannot do harm: it is
    /// not read from.
    #[inline]
    pub(super) fn is_above(&self, limits: Capacity) -> bool {
        let messages = self.messages - self.messages_ahead;
        let bytes = self.bytes - self.bytes_ahead;
        (messages > limits.messages || bytes > limits.bytes) && self.peers.len() > 1
    }

    #[inline]
    fn holds(&self, chunk: &Chunk) -> bool {
        !self.peers.is_empty() && self.peers.contains_key(&chunk.link().peer())
    }

    fn of_peer(&mut self, chunk: &Chunk) -> &mut VecDeque<Chunk> {
        self.messages += chunk.messages();
        self.bytes += chunk.cost();
        if chunk.is_read_ahead() {
            self.messages_ahead += chunk.messages();
            self.bytes_ahead += chunk.cost();
        }
        self.peers.entry(chunk.link().peer()).or_default()
    }

    #[cold]
    fn push(&mut self, chunk: Chunk) {
        self.of_peer(&chunk).push_back(chunk);
    }

    #[cold]
    fn give_back(&mut self, chunk: Chunk) {
        // Its peer may have read its answers while it was in hand.
        self.relieved = true;
        self.of_peer(&chunk).push_front(chunk);
    }

    /// Takes something of a peer that has read its answers.
    #[cold]
    fn take(&mut self, take: fn(&mut VecDeque<Chunk>) -> Option<Chunk>) -> Option<Chunk> {
        let free = self.peers.iter_mut().find_map(|(peer, chunks)| {
            let first = chunks.front()?;
            (!first.link().is_in_debt()).then_some((*peer, chunks))
        });
        let Some((peer, chunks)) = free else {
            self.relieved = false;
            return None;
        };
        let taken = take(chunks)?;
        if chunks.is_empty() {
            self.peers.remove(&peer);
        }
        self.messages -= taken.messages();
        self.bytes -= taken.cost();
        if taken.is_read_ahead() {
            self.messages_ahead -= taken.messages();
            self.bytes_ahead -= taken.cost();
        }
        Some(taken)
    }
}

#[cfg(all(test, aiomsg_loom))]
mod loom_models {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use bytes::Bytes;
    use loom::future::block_on;
    use loom::thread;

    use crate::id::Identity;
    use crate::inbox::{Chunk, Inbox};
    use crate::limits::{Capacity, DeliveryGuarantee};
    use crate::link::{Bound, Entry, Link, LinkLimits, Target, WriteBatch};
    use crate::sync::Place;
    use crate::wire;

    fn link_in_debt() -> Arc<Link> {
        let limits = LinkLimits::of(1, 64);
        let peer = Identity::from_bytes([1; 16]);
        let link = Link::without_socket(peer, 1, limits);
        while !link.is_in_debt() {
            let reply = Bytes::from_static(b"reply");
            let mut reply = Entry::new(Target::Peer(peer), DeliveryGuarantee::AtMostOnce, reply);
            link.push(&mut reply, Bound::Reply).unwrap();
        }
        Arc::new(link)
    }

    #[test]
    fn loom_what_was_set_aside_is_taken_up_when_its_peer_is_relieved() {
        loom::model(|| {
            let limits = Capacity {
                messages: 1,
                bytes: 6,
            };
            let inbox = Arc::new(Inbox::new(limits));
            let link = link_in_debt();
            let mut frame = wire::data_header(1).to_vec();
            frame.push(b'x');
            let mut place = Place::new();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(inbox.poll_reserve(&mut cx, &mut place, 6).is_ready());
            let chunk = Chunk::new(Arc::clone(&link), frame.into(), 1, 6);
            inbox.push(chunk, 6).expect("it is open");
            let writer = {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || {
                    assert!(link.close(WriteBatch::default()).relieved);
                    inbox.relieve();
                })
            };
            let mut place = Place::new();
            let taken = block_on(poll_fn(|cx| inbox.poll_take(cx, &mut place))).unwrap();
            inbox.release(&taken, taken.messages(), taken.cost());
            writer.join().unwrap();
            assert_eq!(inbox.load(), (0, 0));
        });
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
#[path = "chunk_queue_tests.rs"]
mod tests;
