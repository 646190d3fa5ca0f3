//! The subscribers of one node: those that each get a message, and the groups that get one together.
//!
//! Nearly every filter has exactly one subscriber, so that one is stored in the node itself; the
//! second, or a shared group, moves them to a boxed side structure, and when all but one are gone
//! they move back. A node without subscribers holds nothing.

use alloc::boxed::Box;
use core::hash::Hash;

use weir_codec::TopicFilter;

use crate::group::SharedGroup;
use crate::hashing::Hashing;
use crate::roster::{Roster, narrow};

#[derive(Default)]
pub(crate) enum Subscribers<K, V> {
    #[default]
    None,
    One([(K, V); 1]),
    Many(Box<Many<K, V>>),
}

pub(crate) struct Many<K, V> {
    each: Roster<(K, V)>,
    groups: Roster<SharedGroup<K, V>>,
}

impl<K: Copy + Eq + Hash, V> Subscribers<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Those that each get every matching message.
    pub(crate) fn each(&self) -> &[(K, V)] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Many(many) => many.each.items(),
        }
    }

    pub(crate) fn groups(&self) -> &[SharedGroup<K, V>] {
        match self {
            Self::Many(many) => many.groups.items(),
            Self::None | Self::One(_) => &[],
        }
    }

    /// Where in [`groups`](Self::groups) the group with this name is.
    pub(crate) fn group_position(&self, share_name: &str, hashing: &Hashing) -> Option<u32> {
        match self {
            Self::Many(many) => many.groups.position(share_name, hashing).map(narrow),
            Self::None | Self::One(_) => None,
        }
    }

    fn group(&self, share_name: &str, hashing: &Hashing) -> Option<&SharedGroup<K, V>> {
        match self {
            Self::Many(many) => many.groups.find(share_name, hashing),
            Self::None | Self::One(_) => None,
        }
    }

    pub(crate) fn find(&self, filter: &TopicFilter, key: K, hashing: &Hashing) -> Option<&V> {
        let found = match (self, filter.share_name()) {
            (_, Some(name)) => self.group(name, hashing)?.roster().find(&key, hashing),
            (Self::Many(many), None) => many.each.find(&key, hashing),
            (Self::None | Self::One(_), None) => {
                self.each().iter().find(|(other, _)| *other == key)
            }
        };
        found.map(|(_, value)| value)
    }

    pub(crate) fn insert(
        &mut self,
        filter: &TopicFilter,
        key: K,
        value: V,
        hashing: &Hashing,
    ) -> Option<V> {
        match (core::mem::take(self), filter.share_name()) {
            (Self::None, None) => {
                *self = Self::One([(key, value)]);
                None
            }
            (Self::One([(other, old)]), None) if other == key => {
                *self = Self::One([(key, value)]);
                Some(old)
            }
            (before, share_name) => {
                let mut many = before.into_many(hashing);
                let old = match share_name {
                    None => many.each.insert((key, value), hashing),
                    Some(name) => many.insert_member(name, filter, (key, value), hashing),
                };
                *self = Self::Many(many);
                old
            }
        }
    }

    pub(crate) fn remove(
        &mut self,
        share_name: Option<&str>,
        key: K,
        hashing: &Hashing,
    ) -> Option<V> {
        match (core::mem::take(self), share_name) {
            (Self::One([(other, value)]), None) if other == key => Some(value),
            (Self::Many(mut many), share_name) => {
                let removed = match share_name {
                    None => many.each.remove(&key, hashing).map(|(_, value)| value),
                    Some(name) => many.remove_member(name, key, hashing),
                };
                *self = many.smallest();
                removed
            }
            (unchanged, _) => {
                *self = unchanged;
                None
            }
        }
    }

    fn into_many(self, hashing: &Hashing) -> Box<Many<K, V>> {
        let mut each = Roster::new();
        match self {
            Self::Many(many) => return many,
            Self::One([one]) => each.push(one, hashing),
            Self::None => {}
        }
        Box::new(Many {
            each,
            groups: Roster::new(),
        })
    }
}

impl<K: Copy + Eq + Hash, V> Many<K, V> {
    fn insert_member(
        &mut self,
        name: &str,
        filter: &TopicFilter,
        member: (K, V),
        hashing: &Hashing,
    ) -> Option<V> {
        if let Some(group) = self.groups.find_mut(name, hashing) {
            return group.insert(member, hashing);
        }
        let mut group = SharedGroup::new(filter);
        group.insert(member, hashing);
        self.groups.push(group, hashing);
        None
    }

    fn remove_member(&mut self, name: &str, key: K, hashing: &Hashing) -> Option<V> {
        let group = self.groups.find_mut(name, hashing)?;
        let removed = group.remove(key, hashing);
        if group.members().is_empty() {
            self.groups.remove(name, hashing);
        }
        removed
    }

    /// The smallest form that holds what is left.
    fn smallest(self: Box<Self>) -> Subscribers<K, V> {
        if !self.groups.items().is_empty() || self.each.items().len() > 1 {
            return Subscribers::Many(self);
        }
        match self.each.into_items().pop() {
            Some(one) => Subscribers::One([one]),
            None => Subscribers::None,
        }
    }
}
