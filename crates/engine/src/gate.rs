//! Acknowledgements that wait for a mark to pass.
//!
//! Something numbered goes out (an interest told to the other shards, later a batch to the store), an answer says how far
//! it got, and whatever waited for that number is released, in order. Marks only grow.

use alloc::collections::VecDeque;

/// Things waiting, each for its mark.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    passed: u64,
    waiting: VecDeque<(u64, T)>,
}

impl<T> Gate<T> {
    pub(crate) const fn new() -> Self {
        Self {
            passed: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Returns `item` if `mark` has passed already, else keeps it until it does.
    pub(crate) fn hold(&mut self, mark: u64, item: T) -> Option<T> {
        if mark <= self.passed {
            return Some(item);
        }
        self.waiting.push_back((mark, item));
        None
    }

    /// Says that everything up to `mark` is done.
    pub(crate) fn pass(&mut self, mark: u64) {
        self.passed = self.passed.max(mark);
    }

    /// The next item whose mark has passed, in the order they were held.
    pub(crate) fn release(&mut self) -> Option<T> {
        let (mark, _) = self.waiting.front()?;
        if *mark > self.passed {
            return None;
        }
        self.waiting.pop_front().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;

    #[test]
    fn what_waits_is_released_in_order_when_its_mark_has_passed() {
        let mut gate = Gate::new();
        assert_eq!(gate.hold(0, "at once"), Some("at once"));
        assert_eq!(gate.hold(2, "second"), None);
        assert_eq!(gate.hold(3, "third"), None);
        gate.pass(1);
        assert_eq!(gate.release(), None);
        gate.pass(2);
        assert_eq!(gate.release(), Some("second"));
        assert_eq!(gate.release(), None);
        gate.pass(1);
        gate.pass(3);
        assert_eq!(gate.release(), Some("third"));
    }
}
