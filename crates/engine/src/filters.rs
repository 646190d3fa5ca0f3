//! The filters that one session subscribes to.
//!
//! The text of a filter is the router's: a session holds its id, four bytes. Only shared subscriptions are held as they are:
//! there are few. Most sessions have few filters, and a tree of one takes ten times the memory of a list; some have very
//! many, and a list of those would take too long to add to.

use crate::id::SessionKey;
use crate::subscription::Subscription;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem;
use weir_codec::TopicFilter;
use weir_router::{FilterId, SubscriptionTree};

/// So many are a list.
const FEW: usize = 8;

/// Where the filters themselves are.
pub(crate) type Tree = SubscriptionTree<SessionKey, Subscription>;

/// A set of topic filters that are in the tree.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    own: Set<FilterId>,
    shared: Set<TopicFilter>,
}

impl Filters {
    pub(crate) fn len(&self) -> usize {
        self.own.len() + self.shared.len()
    }

    /// Adds a filter that is in the tree, where it has this id.
    pub(crate) fn insert(&mut self, filter: &TopicFilter, id: FilterId) {
        if filter.share_name().is_some() {
            self.shared.insert(filter.clone());
        } else {
            self.own.insert(id);
        }
    }

    /// Removes a filter that is still in the tree.
    pub(crate) fn remove(&mut self, filter: &TopicFilter, tree: &Tree) {
        if filter.share_name().is_some() {
            self.shared.remove(filter);
        } else if let Some(id) = tree.id(filter) {
            self.own.remove(&id);
        }
    }

    /// Takes one of those out that are not shared.
    pub(crate) fn pop_own(&mut self) -> Option<FilterId> {
        self.own.pop()
    }

    /// Takes one of those out that are shared.
    pub(crate) fn pop_shared(&mut self) -> Option<TopicFilter> {
        self.shared.pop()
    }

    pub(crate) fn iter(&self, tree: &Tree) -> impl Iterator<Item = TopicFilter> {
        let own = self.own.iter().filter_map(|id| tree.filter(*id));
        own.chain(self.shared.iter().cloned())
    }

    /// Those that are shared.
    pub(crate) fn shared(&self) -> impl Iterator<Item = &TopicFilter> {
        self.shared.iter()
    }
}

/// A set, in order.
#[derive(Debug)]
enum Set<T> {
    /// Sorted.
    Few(Vec<T>),
    Many(BTreeSet<T>),
}

impl<T: Ord> Set<T> {
    fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(tree) => tree.len(),
        }
    }

    fn insert(&mut self, item: T) {
        match self {
            Self::Few(list) => {
                if let Err(place) = list.binary_search(&item) {
                    list.reserve_exact(1);
                    list.insert(place, item);
                    if list.len() > FEW {
                        *self = Self::Many(mem::take(list).into_iter().collect());
                    }
                }
            }
            Self::Many(tree) => {
                tree.insert(item);
            }
        }
    }

    fn remove(&mut self, item: &T) {
        match self {
            Self::Few(list) => {
                if let Ok(place) = list.binary_search(item) {
                    list.remove(place);
                }
            }
            Self::Many(tree) => {
                tree.remove(item);
            }
        }
    }

    fn pop(&mut self) -> Option<T> {
        match self {
            Self::Few(list) => list.pop(),
            Self::Many(tree) => tree.pop_last(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let (list, tree) = match self {
            Self::Few(list) => (Some(list), None),
            Self::Many(tree) => (None, Some(tree)),
        };
        list.into_iter().flatten().chain(tree.into_iter().flatten())
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use weir_codec::SubscriptionOptions;

    #[test]
    fn few_and_many_are_the_same_set() {
        let subscription = Subscription::new(SubscriptionOptions::default(), None, None);
        let (mut filters, mut expected) = (Filters::default(), BTreeSet::new());
        let (mut tree, key) = (Tree::new(1), SessionKey::default());
        for step in 0..400_u32 {
            let prefix = if step % 2 == 0 { "$share/g/" } else { "" };
            let filter = format!("{prefix}t/{}/+", step * 7 % 23);
            let filter = TopicFilter::try_from(&*filter).unwrap();
            if step % 3 == 2 {
                filters.remove(&filter, &tree);
                tree.remove(&filter, key);
                expected.remove(&filter);
            } else {
                tree.insert(&filter, key, subscription);
                filters.insert(&filter, tree.id(&filter).unwrap());
                expected.insert(filter);
            }
            assert_eq!(filters.len(), expected.len());
            let listed: BTreeSet<_> = filters.iter(&tree).collect();
            assert_eq!(listed, expected);
            let shared = filters.shared().all(|it| it.share_name().is_some());
            assert!(shared);
        }
        while let Some(id) = filters.pop_own() {
            assert!(expected.remove(&tree.filter(id).unwrap()));
            assert!(tree.remove_by_id(id, key).is_some());
        }
        while let Some(filter) = filters.pop_shared() {
            assert!(tree.remove(&filter, key).is_some());
            assert!(expected.remove(&filter));
        }
        assert!(tree.is_empty());
        assert!(expected.is_empty());
    }
}
