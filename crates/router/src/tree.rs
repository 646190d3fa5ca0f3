//! The subscription tree: filters in, and for a topic everyone whose filter matches it.
//!
//! A node is a filter's prefix. Its `+` and `#` children are ids in the node; all other children of
//! all nodes are in one table, keyed by parent and level, so that a node costs no map of its own.
//! What must hold: a node exists only while it has subscribers or children; it counts on its level
//! exactly once; and every node can be reached from its parent, so that matching may climb back by
//! parent ids instead of keeping a stack. A match enters each node at most once, however many `+`
//! the filters have, since only one path leads to a node.

mod recent;

use core::cell::Cell;
use core::hash::Hash;

use hashbrown::HashTable;
use smallvec::SmallVec;
use weir_codec::{TopicFilter, TopicName};

use crate::arena::{Arena, NONE};
use crate::group::SharedGroup;
use crate::hashing::{Hashing, shrink};
use crate::levels::Levels;
use crate::path::Path;
use crate::subscribers::Subscribers;
use recent::Recent;

/// Stands where a level id would, in nodes that are their parent's `+` child. Beyond any arena's ids.
const PLUS: u32 = NONE - 1;
/// The same for `#`.
const HASH: u32 = NONE - 2;

/// Subscriptions of keys `K` (small and copyable) with values `V` (their options).
pub struct SubscriptionTree<K, V> {
    hashing: Hashing,
    root: u32,
    nodes: Arena<Node<K, V>>,
    edges: HashTable<u32>,
    levels: Levels,
    len: usize,
    recent: Cell<Recent>,
}

/// A filter that somebody subscribes to, shared subscriptions aside: a tenth of its text. Valid while anybody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(u32);

/// Where a shared group is. Valid until somebody subscribes or unsubscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId {
    node: u32,
    position: u32,
}

/// What one matching filter asks for.
pub enum Matched<'t, K, V> {
    /// Each of these gets the message.
    Each(&'t [(K, V)]),
    /// Exactly one member of this group gets the message (section 4.8.2).
    OneOf(&'t SharedGroup<K, V>),
}

impl<K: Copy + Eq + Hash, V> SubscriptionTree<K, V> {
    /// An empty tree. The seed keys its hash tables and should be a secret; it changes no result and no order.
    pub fn new(seed: u64) -> Self {
        let hashing = Hashing::new(seed);
        Self {
            hashing,
            root: NONE,
            nodes: Arena::new(),
            edges: HashTable::new(),
            levels: Levels::new(),
            len: 0,
            recent: Cell::default(),
        }
    }

    /// Subscribes `key`, or replaces the value it subscribed with and returns the old one [MQTT-3.8.4-3].
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) -> Option<V> {
        self.recent.take();
        if self.root == NONE {
            self.root = self.nodes.insert(Node::below(NONE, NONE));
        }
        let node = filter
            .filter()
            .split('/')
            .fold(self.root, |node, level| self.descend(node, level));
        let subscribers = &mut self.nodes.get_mut(node)?.subscribers;
        let old = subscribers.insert(filter, key, value, &self.hashing);
        self.len += usize::from(old.is_none());
        old
    }

    /// Ends a subscription and returns its value.
    pub fn remove(&mut self, filter: &TopicFilter, key: K) -> Option<V> {
        let id = self.find(filter)?;
        self.remove_at(id, filter.share_name(), key)
    }

    /// The same for a filter by its id, which costs no look at its text.
    pub fn remove_by_id(&mut self, id: FilterId, key: K) -> Option<V> {
        self.remove_at(id.0, None, key)
    }

    /// The value of a subscription.
    pub fn get(&self, filter: &TopicFilter, key: K) -> Option<&V> {
        self.nodes
            .get(self.find(filter)?)?
            .subscribers
            .find(filter, key, &self.hashing)
    }

    /// The id of a filter that somebody subscribes to.
    pub fn id(&self, filter: &TopicFilter) -> Option<FilterId> {
        self.find(filter).map(FilterId)
    }

    /// The filter with this id.
    pub fn filter(&self, id: FilterId) -> Option<TopicFilter> {
        let mut levels: SmallVec<[&str; 16]> = SmallVec::new();
        let mut node = self.nodes.get(id.0)?;
        while let Some(parent) = self.nodes.get(node.parent) {
            levels.push(match node.level {
                PLUS => "+",
                HASH => "#",
                level => str::from_utf8(self.levels.text(level)?).ok()?,
            });
            node = parent;
        }
        levels.reverse();
        TopicFilter::try_from(levels.join("/").as_str()).ok()
    }

    /// Everyone who has exactly this filter, shared subscriptions aside.
    pub fn subscribers(&self, filter: &TopicFilter) -> &[(K, V)] {
        self.id(filter).map_or(&[], |id| self.subscribers_by_id(id))
    }

    /// The same for a filter by its id.
    pub fn subscribers_by_id(&self, id: FilterId) -> &[(K, V)] {
        let node = self.nodes.get(id.0);
        node.map_or(&[], |node| node.subscribers.each())
    }

    /// Where the shared group with this whole filter, `$share/{ShareName}/{filter}`, is.
    pub fn group_id(&self, filter: &TopicFilter) -> Option<GroupId> {
        let name = filter.share_name()?;
        let node = self.find(filter)?;
        let subscribers = &self.nodes.get(node)?.subscribers;
        let position = subscribers.group_position(name, &self.hashing)?;
        Some(GroupId { node, position })
    }

    /// The shared group that is there.
    #[inline]
    pub fn group(&self, id: GroupId) -> Option<&SharedGroup<K, V>> {
        let node = self.nodes.get(id.node)?;
        node.subscribers.groups().get(id.position as usize)
    }

    /// Hands over everyone whose filter matches, each matching filter once [MQTT-3.3.2-3], [MQTT-4.7.1-1],
    /// [MQTT-4.7.1-2], [MQTT-4.7.2-1]. Nothing is allocated for topics of up to 32 levels.
    pub fn matches<'t>(&'t self, topic: &TopicName, mut visit: impl FnMut(Matched<'t, K, V>)) {
        let topic = topic.as_str();
        let mut recent = self.recent.take();
        if recent.is_of(topic) {
            recent.nodes().for_each(|id| self.visit(id, &mut visit));
        } else {
            recent.begin(topic);
            self.walk(topic, |id| {
                recent.note(id);
                self.visit(id, &mut visit);
            });
        }
        self.recent.set(recent);
    }

    /// The number of subscriptions: pairs of a filter and a key.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody subscribes to anything.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Nodes and distinct levels held, which is what the tree's memory is made of.
    pub fn footprint(&self) -> (usize, usize) {
        (self.nodes.len(), self.levels.len())
    }

    fn remove_at(&mut self, id: u32, share_name: Option<&str>, key: K) -> Option<V> {
        let subscribers = &mut self.nodes.get_mut(id)?.subscribers;
        let removed = subscribers.remove(share_name, key, &self.hashing)?;
        self.recent.take();
        self.len -= 1;
        self.prune(id);
        Some(removed)
    }

    /// Finds the nodes of all filters that match; some have nothing but children.
    fn walk(&self, topic: &str, mut found: impl FnMut(u32)) {
        let shallowest_wildcard = usize::from(topic.starts_with('$'));
        let mut path = Path::new(topic, &self.levels, &self.hashing);
        let (mut id, mut depth) = (self.root, 0);
        while let Some(node) = self.nodes.get(id) {
            let wild = depth >= shallowest_wildcard;
            if wild && node.hash != NONE {
                found(node.hash);
            }
            let below = match path.level(depth) {
                None => {
                    found(id);
                    NONE
                }
                Some(level) => match self.child(id, node, level) {
                    NONE if wild => node.plus,
                    child => child,
                },
            };
            (id, depth) = match below {
                NONE => self.climb(id, depth, shallowest_wildcard),
                below => (below, depth + 1),
            };
        }
    }

    /// After everything below `id` was seen: the nearest `+` branch still to see, or `NONE` at the root.
    fn climb(&self, mut id: u32, mut depth: usize, shallowest_wildcard: usize) -> (u32, usize) {
        while let Some((node, parent)) = self
            .nodes
            .get(id)
            .and_then(|node| Some((node, self.nodes.get(node.parent)?)))
        {
            if node.level != PLUS && parent.plus != NONE && depth > shallowest_wildcard {
                return (parent.plus, depth);
            }
            id = node.parent;
            depth -= 1;
        }
        (NONE, 0)
    }

    fn visit<'t>(&'t self, id: u32, visit: &mut impl FnMut(Matched<'t, K, V>)) {
        let Some(node) = self.nodes.get(id) else {
            return;
        };
        if !node.subscribers.each().is_empty() {
            visit(Matched::Each(node.subscribers.each()));
        }
        for group in node.subscribers.groups() {
            visit(Matched::OneOf(group));
        }
    }

    /// The node of a filter.
    fn find(&self, filter: &TopicFilter) -> Option<u32> {
        let mut id = self.root;
        for text in filter.filter().split('/') {
            let node = self.nodes.get(id)?;
            id = match text {
                "+" => node.plus,
                "#" => node.hash,
                text => self.child(id, node, self.levels.find(text.as_bytes(), &self.hashing)),
            };
        }
        (id != NONE).then_some(id)
    }

    /// The child for a level that is no wildcard.
    fn child(&self, id: u32, node: &Node<K, V>, level: u32) -> u32 {
        if node.children == 0 || level == NONE {
            return NONE;
        }
        let is_it = |&child: &u32| {
            self.nodes
                .get(child)
                .is_some_and(|child| (child.parent, child.level) == (id, level))
        };
        self.edges
            .find(self.hashing.of_edge(id, level), is_it)
            .copied()
            .unwrap_or(NONE)
    }

    /// The child for a level of a filter, made if need be.
    fn descend(&mut self, id: u32, text: &str) -> u32 {
        let level = match text {
            "+" => PLUS,
            "#" => HASH,
            text => self.levels.find(text.as_bytes(), &self.hashing),
        };
        let Some(node) = self.nodes.get(id) else {
            return NONE;
        };
        let child = match level {
            PLUS => node.plus,
            HASH => node.hash,
            level => self.child(id, node, level),
        };
        if child != NONE {
            return child;
        }
        match level {
            PLUS | HASH => self.add_child(id, level),
            _ => {
                let level = self.levels.acquire(text.as_bytes(), &self.hashing);
                self.add_child(id, level)
            }
        }
    }

    fn add_child(&mut self, id: u32, level: u32) -> u32 {
        let child = self.nodes.insert(Node::below(id, level));
        let Some(node) = self.nodes.get_mut(id) else {
            return NONE;
        };
        match level {
            PLUS => node.plus = child,
            HASH => node.hash = child,
            _ => {
                node.children += 1;
                let (nodes, hashing) = (&self.nodes, &self.hashing);
                self.edges
                    .insert_unique(hashing.of_edge(id, level), child, |&other| {
                        edge_hash(nodes, other, hashing)
                    });
            }
        }
        child
    }

    /// Frees a node that nobody needs, and then its ancestors for the same reason.
    fn prune(&mut self, mut id: u32) {
        while let Some(node) = self.nodes.get(id).filter(|node| node.is_vacant()) {
            let (parent, level) = (node.parent, node.level);
            self.unlink(id, parent, level);
            self.nodes.remove(id);
            id = parent;
        }
        let (nodes, hashing) = (&self.nodes, &self.hashing);
        shrink(&mut self.edges, |&child| edge_hash(nodes, child, hashing));
    }

    fn unlink(&mut self, id: u32, parent: u32, level: u32) {
        let Some(node) = self.nodes.get_mut(parent) else {
            self.root = NONE;
            return;
        };
        match level {
            PLUS => node.plus = NONE,
            HASH => node.hash = NONE,
            _ => {
                node.children -= 1;
                if let Ok(edge) = self
                    .edges
                    .find_entry(self.hashing.of_edge(parent, level), |&child| child == id)
                {
                    edge.remove();
                }
                self.levels.release(level, &self.hashing);
            }
        }
    }
}

/// A prefix of filters. Ids are `NONE` where there is nothing.
struct Node<K, V> {
    parent: u32,
    level: u32,
    plus: u32,
    hash: u32,
    /// Children in the table of edges: neither `+` nor `#`.
    children: u32,
    subscribers: Subscribers<K, V>,
}

impl<K: Copy + Eq + Hash, V> Node<K, V> {
    fn below(parent: u32, level: u32) -> Self {
        Self {
            parent,
            level,
            ..Self::default()
        }
    }

    fn is_vacant(&self) -> bool {
        self.children == 0 && self.plus == NONE && self.hash == NONE && self.subscribers.is_empty()
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self {
            parent: NONE,
            level: NONE,
            plus: NONE,
            hash: NONE,
            children: 0,
            subscribers: Subscribers::default(),
        }
    }
}

fn edge_hash<K, V>(nodes: &Arena<Node<K, V>>, id: u32, hashing: &Hashing) -> u64 {
    nodes
        .get(id)
        .map_or(0, |node| hashing.of_edge(node.parent, node.level))
}

#[cfg(test)]
mod tests;
