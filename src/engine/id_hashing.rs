//! Hashing of message ids, which peers choose.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes ids by one multiplication, keyed for each connection, because peers choose them.
#[derive(Debug, Clone)]
pub(super) struct IdHashing([u64; 2]);

impl Default for IdHashing {
    fn default() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(1), random.hash_one(2)])
    }
}

impl BuildHasher for IdHashing {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        let keys = self.0;
        IdHasher { keys, hash: 0 }
    }
}

#[derive(Debug)]
pub(super) struct IdHasher {
    keys: [u64; 2],
    hash: u64,
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for half in bytes.chunks(16) {
            let mut id = [0; 16];
            id[..half.len()].copy_from_slice(half);
            let id = u128::from_le_bytes(id);
            let [first, second] = self.keys;
            let product = u128::from((id >> 64) as u64 ^ first ^ self.hash)
                .wrapping_mul(u128::from(id as u64 ^ second));
            self.hash = (product >> 64) as u64 ^ product as u64;
        }
    }

    /// All ids are of one length.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.hash
    }
}
