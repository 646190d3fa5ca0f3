//! A shared subscription: one filter, one share name, and the members that take turns.
//!
//! Each matching message goes to exactly one member (section 4.8.2). Which one is the caller's choice,
//! since only the caller knows who is connected and has room; this gives it the members and a turn
//! that walks round them. The turn is a `Cell`, because taking one is part of matching, and matching
//! doesn't change the tree.

use core::cell::Cell;
use core::hash::Hash;

use weir_codec::TopicFilter;

use crate::hashing::Hashing;
use crate::roster::{Entry, Roster};

/// The members of one shared subscription. Never empty: the last member takes the group along.
pub struct SharedGroup<K, V> {
    filter: TopicFilter,
    members: Roster<(K, V)>,
    turn: Cell<usize>,
}

impl<K: Copy + Eq + Hash, V> SharedGroup<K, V> {
    pub(crate) fn new(filter: &TopicFilter) -> Self {
        Self {
            filter: filter.detached(),
            members: Roster::new(),
            turn: Cell::new(0),
        }
    }

    /// The whole filter, `$share/{ShareName}/{filter}`.
    pub fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// Who shares the subscription, in an order that only subscribing and unsubscribing change.
    pub fn members(&self) -> &[(K, V)] {
        self.members.items()
    }

    /// The position in [`members`](Self::members) whose turn it is; the next call gives the next one.
    pub fn next_turn(&self) -> usize {
        self.next_turn_of(self.members().len())
    }

    /// The turn, from 0, among `turns` that the caller counts in its own way (by weight, say); the next call gives the
    /// next one.
    pub fn next_turn_of(&self, turns: usize) -> usize {
        let turn = self.turn.get() % turns.max(1);
        self.turn.set(turn + 1);
        turn
    }

    pub(crate) fn roster(&self) -> &Roster<(K, V)> {
        &self.members
    }

    pub(crate) fn insert(&mut self, member: (K, V), hashing: &Hashing) -> Option<V> {
        self.members.insert(member, hashing)
    }

    pub(crate) fn remove(&mut self, key: K, hashing: &Hashing) -> Option<V> {
        self.members.remove(&key, hashing).map(|(_, value)| value)
    }
}

impl<K, V> Entry for SharedGroup<K, V> {
    type Key = str;

    fn key(&self) -> &str {
        self.filter.share_name().unwrap_or_default()
    }
}
