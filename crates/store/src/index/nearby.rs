//! Hashes that keep numbers that follow each other next to each other.
//!
//! Messages come, and mostly go, in the order of their numbers; a table that scatters them pays with a miss of the cache
//! for each. Here sixteen in a row share a place in the table. The numbers are the broker's own, so no client can choose
//! them to collide.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashes of numbers that follow each other.
pub(super) type Nearby = BuildHasherDefault<NearbyHasher>;

/// How many numbers in a row stay together, in bits.
pub(super) const ROW_BITS: u32 = 4;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NearbyHasher(u64);

impl Hasher for NearbyHasher {
    fn write_u64(&mut self, number: u64) {
        // The table takes its place from the low bits, and a tag from the high ones.
        let row = number >> ROW_BITS;
        let mixed = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = mixed ^ mixed >> 32;
        let within = number & ((1 << ROW_BITS) - 1);
        self.0 = (mixed << ROW_BITS | within) ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93) << 57;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 << 8 | u64::from(byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
