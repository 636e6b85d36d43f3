//! Connected peers by identity, in shards so that replies of several threads do not meet.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::id::Identity;
use crate::link::Link;
use crate::sync::Mutex;

const SHARDS: usize = 8;

/// Connected peers by identity.
#[derive(Debug)]
pub(crate) struct PeerIndex {
    hasher: RandomState,
    shards: [Mutex<HashMap<Identity, Arc<Link>>>; SHARDS],
}

impl PeerIndex {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
        }
    }

    pub(crate) fn find(&self, peer: Identity) -> Option<Arc<Link>> {
        self.shard(peer).lock().get(&peer).cloned()
    }

    pub(crate) fn insert(&self, link: &Arc<Link>) {
        let peer = link.peer();
        self.shard(peer).lock().insert(peer, Arc::clone(link));
    }

    /// Removes the peer if it is reached by this very link.
    pub(crate) fn remove(&self, link: &Link) {
        let mut shard = self.shard(link.peer()).lock();
        if shard
            .get(&link.peer())
            .is_some_and(|known| known.serial() == link.serial())
        {
            shard.remove(&link.peer());
        }
    }

    fn shard(&self, peer: Identity) -> &Mutex<HashMap<Identity, Arc<Link>>> {
        &self.shards[self.hasher.hash_one(peer) as usize % SHARDS]
    }
}
