//! Seeded hashing for all tables of one tree.
//!
//! Topics are chosen by strangers, so every bit the hash depends on comes from the tree's seed, the
//! shared part too: with the fixed shared part that most seedable hashers use, strings that collide
//! for one seed collide for all. The tables are plain `HashTable`s that are handed hashes from here,
//! and no order of visits ever depends on a hash.

use core::hash::{Hash, Hasher};

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;

pub(crate) struct Hashing {
    shared: SharedSeed,
    own: u64,
}

impl Hashing {
    pub(crate) fn new(seed: u64) -> Self {
        let shared = SharedSeed::from_u64(seed);
        let own = FoldHasher::with_seed(seed, &shared).finish() ^ seed.rotate_left(32);
        Self { shared, own }
    }

    pub(crate) fn of<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        let mut hasher = self.hasher();
        value.hash(&mut hasher);
        hasher.finish()
    }

    /// The hash of a level's text.
    pub(crate) fn of_text(&self, text: &[u8]) -> u64 {
        let mut hasher = self.hasher();
        hasher.write(text);
        hasher.finish()
    }

    /// The hash of an edge of the tree: a parent node and the level below it.
    pub(crate) fn of_edge(&self, parent: u32, level: u32) -> u64 {
        let mut hasher = self.hasher();
        hasher.write_u64(u64::from(parent) << 32 | u64::from(level));
        hasher.finish()
    }

    fn hasher(&self) -> FoldHasher<'_> {
        FoldHasher::with_seed(self.own, &self.shared)
    }
}

/// Gives memory back after a removal once a table is nearly empty; amortised, a removal stays constant.
pub(crate) fn shrink<T>(table: &mut HashTable<T>, hash_of: impl Fn(&T) -> u64) {
    if table.capacity() > 64 && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_every_hash() {
        let (one, same, other) = (Hashing::new(1), Hashing::new(1), Hashing::new(2));
        assert_eq!(one.of_text(b"sport"), same.of_text(b"sport"));
        assert_eq!(one.of_edge(7, 9), same.of_edge(7, 9));
        assert_eq!(one.of(&7u64), same.of(&7u64));
        assert_ne!(one.of_text(b"sport"), other.of_text(b"sport"));
        assert_ne!(one.of_edge(7, 9), other.of_edge(7, 9));
        assert_ne!(one.of_edge(7, 9), one.of_edge(9, 7));
    }
}
