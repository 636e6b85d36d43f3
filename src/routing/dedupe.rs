//! Memory of the messages that peers have sent at least once lately; it outlives their connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::id::Identity;
use crate::limits::Dedupe;
use crate::link::PeerDedupe;
use crate::outbox::{KnownMessage, WindowStore};
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// Peers without a connection that are remembered at most. Inventing identities must not cost us
/// more than this, nor take more from those who are connected.
const MOST_ABSENT: usize = 4096;

/// The memories of all peers that have sent anything at least once.
#[derive(Debug)]
pub(crate) struct DedupeWindows {
    dedupe: Dedupe,
    /// Finished messages that each peer's memory may hold now.
    count: Arc<AtomicUsize>,
    peers: Mutex<HashMap<Identity, Arc<PeerDedupe>>>,
    /// Where they outlive the process, if they do.
    store: Option<WindowStore>,
}

impl DedupeWindows {
    pub(crate) fn new(dedupe: Dedupe) -> Self {
        Self {
            dedupe,
            count: Arc::new(AtomicUsize::new(dedupe.count)),
            peers: Mutex::new(HashMap::new()),
            store: None,
        }
    }

    /// From now on they are kept in a store, which had these messages, the oldest first. `wall` is the time now, by the wall
    /// clock in milliseconds.
    pub(crate) fn keep_in(&mut self, store: WindowStore, known: Vec<KnownMessage>, wall: u64) {
        self.store = Some(store);
        for message in known {
            let age = Duration::from_millis(wall.saturating_sub(message.wall));
            self.of(message.peer).restore(&message, age);
        }
        self.handle_sweep(Duration::ZERO);
    }

    /// True if they outlive the process.
    pub(crate) const fn are_stored(&self) -> bool {
        self.store.is_some()
    }

    /// Messages that are remembered.
    pub(crate) fn remembered(&self) -> usize {
        let peers = self.peers.lock();
        peers.values().map(|memory| memory.len()).sum()
    }

    /// The memory of a peer, which is new if the peer is.
    pub(crate) fn of(&self, peer: Identity) -> Arc<PeerDedupe> {
        let mut peers = self.peers.lock();
        let memory = Arc::clone(peers.entry(peer).or_insert_with(|| {
            let count = Arc::clone(&self.count);
            let memory = PeerDedupe::new(self.dedupe.window, count);
            Arc::new(match &self.store {
                Some(store) => memory.stored(store.clone(), peer),
                None => memory,
            })
        }));
        self.share_out(peers.len());
        memory
    }

    /// Forgets old messages, and peers that are gone.
    pub(crate) fn handle_sweep(&self, now: Duration) {
        let all: Vec<Arc<PeerDedupe>> = self.peers.lock().values().cloned().collect();
        for memory in all {
            memory.handle_sweep(now);
        }
        let mut peers = self.peers.lock();
        peers.retain(|_, memory| !(is_absent(memory) && memory.is_empty()));
        let mut absent: Vec<(usize, Identity)> = peers
            .iter()
            .filter(|(_, memory)| is_absent(memory))
            .map(|(peer, memory)| (memory.last_used(), *peer))
            .collect();
        if absent.len() > MOST_ABSENT {
            absent.sort_unstable();
            for (_, peer) in &absent[..absent.len() - MOST_ABSENT] {
                if let Some(memory) = peers.remove(peer) {
                    memory.forget();
                }
            }
        }
        self.share_out(peers.len());
    }

    /// Many peers share the total: then each has less than its count.
    fn share_out(&self, peers: usize) {
        let share = self.dedupe.total / peers.max(1);
        let count = self.dedupe.count.min(share.max(1));
        self.count.store(count, Ordering::Relaxed);
    }
}

/// True if nothing but the collection holds a memory: no connection, and no message in hand.
fn is_absent(memory: &Arc<PeerDedupe>) -> bool {
    Arc::strong_count(memory) == 1
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;
    use crate::engine::Sighting;
    use crate::id::MessageId;

    fn peer(n: usize) -> Identity {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Identity::from_bytes(bytes)
    }

    fn id(n: u8) -> MessageId {
        MessageId::from_bytes([n; 16])
    }

    fn memories(count: usize, total: usize) -> DedupeWindows {
        DedupeWindows::new(Dedupe::within(count, Duration::from_secs(60)).total(total))
    }

    #[test]
    fn a_peer_that_comes_back_is_remembered_and_others_are_not_taken_for_it() {
        let memories = memories(10, 100);
        let first = memories.of(peer(1));
        first.handle_arrival(Duration::ZERO, id(1));
        first.handle_finish(Duration::ZERO, &[id(1)], Ok(()));
        drop(first);
        memories.handle_sweep(Duration::from_secs(60));
        let again = memories.of(peer(1));
        let seen = again.handle_arrival(Duration::from_secs(60), id(1));
        assert_eq!(seen, Sighting::Finished(Ok(())));
        let other = memories.of(peer(2)).handle_arrival(Duration::ZERO, id(1));
        assert_eq!(other, Sighting::New);
    }

    #[test]
    fn a_peer_of_whom_nothing_is_left_to_remember_is_forgotten() {
        let memories = memories(10, 100);
        let memory = memories.of(peer(1));
        memory.handle_finish(Duration::ZERO, &[id(1)], Ok(()));
        memories.handle_sweep(Duration::from_secs(61));
        assert_eq!(memories.peers.lock().len(), 1, "it is connected");
        drop(memory);
        memories.handle_sweep(Duration::from_secs(61));
        assert!(memories.peers.lock().is_empty());
    }

    #[test]
    fn many_peers_share_the_total() {
        let memories = memories(10, 12);
        let crowd: Vec<_> = (0..4).map(|n| memories.of(peer(n))).collect();
        let ids: Vec<MessageId> = (0..10).map(id).collect();
        for memory in &crowd {
            memory.handle_finish(Duration::ZERO, &ids, Ok(()));
        }
        let remembered = |memory: &PeerDedupe| {
            let known = ids.iter().filter(|&&id| {
                memory.handle_arrival(Duration::ZERO, id) == Sighting::Finished(Ok(()))
            });
            known.count()
        };
        assert_eq!(
            crowd.iter().map(|memory| remembered(memory)).sum::<usize>(),
            12
        );
    }

    #[test]
    fn of_those_who_are_away_the_ones_away_for_longest_are_forgotten_first() {
        let memories = memories(10, usize::MAX);
        let stays = memories.of(peer(0));
        stays.handle_finish(Duration::ZERO, &[id(1)], Ok(()));
        for n in 1..=MOST_ABSENT + 2 {
            let now = Duration::from_millis(n as u64);
            memories.of(peer(n)).handle_finish(now, &[id(1)], Ok(()));
        }
        memories.handle_sweep(Duration::from_secs(10));
        let peers = memories.peers.lock();
        assert_eq!(peers.len(), MOST_ABSENT + 1);
        assert!(peers.contains_key(&peer(0)), "it is connected");
        assert!(!peers.contains_key(&peer(1)) && !peers.contains_key(&peer(2)));
    }
}
