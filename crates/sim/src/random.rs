//! Randomness that is the same everywhere.
//!
//! SplitMix64: a few lines, no state but a number, and the same numbers on every machine and in every profile. Each part
//! of the world has a generator of its own, named by the seed and by what it is for, so that taking a step out of a
//! script does not change the luck of all that follows.

/// A generator of pseudo-random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator for one purpose.
    pub(crate) fn of(seed: u64, purpose: u64, number: u64) -> Self {
        let mut random = Self(seed ^ purpose.rotate_left(40));
        random.next();
        random.0 ^= number.wrapping_mul(0xd6e8_feb8_6659_fd93);
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 if the limit is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// A number from `least` to `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of the items.
    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        let index = self.below(items.len() as u64);
        items[usize::try_from(index).unwrap_or(0)].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn purposes_do_not_share_their_luck() {
        let draw = |purpose, number| {
            let mut random = Random::of(7, purpose, number);
            [random.next(), random.next()]
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
