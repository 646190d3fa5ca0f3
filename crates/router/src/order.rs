//! The order of retained topics: level by level, so that everything below a prefix stands together.
//!
//! As plain bytes "a!b" would stand between "a" and "a/b", since '!' comes before '/'. Here '/' comes
//! before every other byte, so the topics "a", "a/..." form one run that can be entered and left by a
//! seek. Topics share long prefixes, so equal bytes are skipped in blocks.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::cmp::Ordering;

/// The least byte after '/': a prefix with this appended is the first place behind all topics below the prefix.
pub(crate) const BEHIND: u8 = 1;

const BLOCK_BYTES: usize = 32;

/// A place in the order of levels, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InOrder(pub(crate) Box<str>);

/// What is compared; a borrowed form, so that a lookup needs no topic of its own.
pub(crate) trait Place {
    fn bytes(&self) -> &[u8];
}

impl Place for InOrder {
    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Place for &[u8] {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl<'a> Borrow<dyn Place + 'a> for InOrder {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.bytes(), other.bytes())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for InOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.bytes(), other.bytes())
    }
}

impl PartialOrd for InOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub(crate) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let mut blocks = one.chunks(BLOCK_BYTES).zip(other.chunks(BLOCK_BYTES));
    match blocks.find(|(one, other)| one != other) {
        Some((one, other)) => compare_bytes(one, other),
        None => one.len().cmp(&other.len()),
    }
}

fn compare_bytes(one: &[u8], other: &[u8]) -> Ordering {
    let differ = one.iter().zip(other).find(|(one, other)| one != other);
    match differ {
        Some((one, other)) => rank(*one).cmp(&rank(*other)),
        None => one.len().cmp(&other.len()),
    }
}

/// U+0000 is in no topic [MQTT-1.5.4-2], so its rank is free for '/'.
fn rank(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_levels(one: &str, other: &str) -> Ordering {
        one.split('/').cmp(other.split('/'))
    }

    #[test]
    fn a_prefix_stands_before_what_is_below_it_and_that_before_its_siblings() {
        let in_order = [
            "", "/", "/a", "a", "a/", "a//b", "a/b", "a/b/c", "a\u{1}", "a!", "a!/b", "b",
        ];
        assert!(
            in_order.is_sorted_by(
                |one, other| compare(one.as_bytes(), other.as_bytes()) == Ordering::Less
            )
        );
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_lists_of_levels(
            shared in "[a/]{0,40}", one in "[a/!\u{1}é]{0,40}", other in "[a/!\u{1}é]{0,40}",
        ) {
            let (one, other) = (alloc::format!("{shared}{one}"), alloc::format!("{shared}{other}"));
            prop_assert_eq!(compare(one.as_bytes(), other.as_bytes()), by_levels(&one, &other));
        }
    }
}
