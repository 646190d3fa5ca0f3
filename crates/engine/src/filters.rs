//! The filters that one session subscribes to, in order.
//!
//! Most sessions have few, and a tree of one filter takes ten times the memory of a list; some have very many, and a list of
//! those would take too long to add to.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem;
use weir_codec::TopicFilter;

/// So many are a list.
const FEW: usize = 8;

/// A set of topic filters.
#[derive(Debug)]
pub(crate) enum Filters {
    /// Sorted.
    Few(Vec<TopicFilter>),
    Many(BTreeSet<TopicFilter>),
}

impl Filters {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(tree) => tree.len(),
        }
    }

    pub(crate) fn contains(&self, filter: &TopicFilter) -> bool {
        match self {
            Self::Few(list) => list.contains(filter),
            Self::Many(tree) => tree.contains(filter),
        }
    }

    /// Adds a filter; returns whether it is new.
    pub(crate) fn insert(&mut self, filter: TopicFilter) -> bool {
        match self {
            Self::Few(list) => {
                let Err(place) = list.binary_search(&filter) else {
                    return false;
                };
                list.reserve_exact(1);
                list.insert(place, filter);
                if list.len() > FEW {
                    *self = Self::Many(mem::take(list).into_iter().collect());
                }
                true
            }
            Self::Many(tree) => tree.insert(filter),
        }
    }

    /// Removes a filter; returns whether it was there.
    pub(crate) fn remove(&mut self, filter: &TopicFilter) -> bool {
        match self {
            Self::Few(list) => match list.binary_search(filter) {
                Ok(place) => {
                    list.remove(place);
                    true
                }
                Err(_) => false,
            },
            Self::Many(tree) => tree.remove(filter),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &TopicFilter> {
        let (list, tree) = match self {
            Self::Few(list) => (Some(list), None),
            Self::Many(tree) => (None, Some(tree)),
        };
        list.into_iter().flatten().chain(tree.into_iter().flatten())
    }
}

impl Default for Filters {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn few_and_many_are_the_same_set() {
        let (mut filters, mut tree) = (Filters::default(), BTreeSet::new());
        for step in 0..200_u32 {
            let filter = TopicFilter::try_from(&*format!("t/{}", step * 7 % 23)).unwrap();
            if step % 3 == 2 {
                assert_eq!(filters.remove(&filter), tree.remove(&filter));
            } else {
                assert_eq!(filters.insert(filter.clone()), tree.insert(filter.clone()));
            }
            assert_eq!(filters.contains(&filter), tree.contains(&filter));
            assert_eq!(filters.len(), tree.len());
            assert!(filters.iter().eq(tree.iter()));
        }
    }
}
