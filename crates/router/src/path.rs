//! The levels of one topic as ids, looked up at most once each and only as deep as the tree goes.
//!
//! Matching comes back to the same depth again and again, for every branch that a `+` opened, while
//! a topic may have tens of thousands of levels of which the tree knows the first three. So the ids
//! are found lazily and kept, in place for topics of up to 32 levels; only a deeper topic in an
//! equally deep tree puts them on the heap.

use smallvec::SmallVec;

use crate::hashing::Hashing;
use crate::levels::Levels;

const INLINE_LEVELS: usize = 32;

pub(crate) struct Path<'a> {
    /// What of the topic was not looked up yet; nothing behind its last level.
    rest: Option<&'a [u8]>,
    ids: SmallVec<[u32; INLINE_LEVELS]>,
    levels: &'a Levels,
    hashing: &'a Hashing,
}

impl<'a> Path<'a> {
    pub(crate) fn new(topic: &'a str, levels: &'a Levels, hashing: &'a Hashing) -> Self {
        Self {
            rest: Some(topic.as_bytes()),
            ids: SmallVec::new(),
            levels,
            hashing,
        }
    }

    /// The id of the level at a depth, `NONE` if no filter has it; nothing if the topic ends above.
    pub(crate) fn level(&mut self, depth: usize) -> Option<u32> {
        while self.ids.len() <= depth {
            let text = self.next_text()?;
            self.ids.push(self.levels.find(text, self.hashing));
        }
        self.ids.get(depth).copied()
    }

    fn next_text(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let Some(border) = rest.iter().position(|byte| *byte == b'/') else {
            return self.rest.take();
        };
        self.rest = rest.get(border + 1..);
        rest.get(..border)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::NONE;

    #[test]
    fn empty_levels_count_and_a_topic_ends_after_its_last() {
        let (mut levels, hashing) = (Levels::new(), Hashing::new(1));
        let (empty, sport) = (
            levels.acquire(b"", &hashing),
            levels.acquire(b"sport", &hashing),
        );
        let mut path = Path::new("/sport//tennis", &levels, &hashing);
        assert_eq!(path.level(3), Some(NONE));
        assert_eq!(
            (path.level(0), path.level(1), path.level(2)),
            (Some(empty), Some(sport), Some(empty))
        );
        assert_eq!((path.level(4), path.level(4)), (None, None));
    }
}
