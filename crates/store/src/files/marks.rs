//! Where some of a segment's batches begin, so that one of them is found without reading what is before it.
//!
//! There is a mark where a batch begins and none has for a while, and one behind every hole; so from the mark before a
//! batch all frames up to it follow each other, within a few kilobytes.

use crate::Position;

/// From one mark to the next, in bytes, at least.
const MARK_BYTES: u64 = 16 << 10;

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    /// Of its frame, in the file.
    pub(super) offset: u64,
}

/// The marks of a segment, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// A batch begins here, behind the one before.
    pub(super) fn push(&mut self, position: Position, offset: u64) {
        let last = self.0.last();
        if last.is_none_or(|last| offset >= last.offset + MARK_BYTES) {
            self.0.push(Mark { position, offset });
        }
    }

    /// A batch begins here, behind a hole.
    pub(super) fn resume(&mut self, position: Position, offset: u64) {
        self.0.push(Mark { position, offset });
    }

    /// The last one that is not behind the batch at `position`.
    pub(super) fn before(&self, position: Position) -> Option<Mark> {
        let behind = self.0.partition_point(|it| it.position <= position);
        self.0.get(behind.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_near_and_no_hole_lies_between() {
        let mut marks = Marks::default();
        for position in 0..1000 {
            marks.push(Position(position), 40 + position * 100);
        }
        marks.resume(Position(1005), 101_000);
        marks.push(Position(1006), 101_100);
        assert!(marks.0.len() < 9, "{}", marks.0.len());
        for position in 0..1000 {
            let mark = marks.before(Position(position)).unwrap();
            assert!((mark.offset..mark.offset + MARK_BYTES).contains(&(40 + position * 100)));
        }
        for position in [1005, 1006] {
            let mark = marks.before(Position(position)).unwrap();
            assert_eq!(mark.position, Position(1005));
        }
    }
}
