//! What matched the last topic: a publisher goes on with its topic, and a read brings many of its messages.
//!
//! What must hold: it is forgotten whenever a subscription comes or goes, so it says nothing but what a walk through the tree
//! would. Long topics and those that many filters match are not remembered: so it takes no memory beside the tree's, and
//! little time where every message has another topic.

use smallvec::SmallVec;

const TOPIC_BYTES: usize = 64;

const NODES: usize = 8;

/// The last topic, and the nodes of the filters that match it.
#[derive(Default)]
pub(super) struct Recent {
    /// Empty, as no topic is, when nothing is remembered.
    topic: SmallVec<[u8; TOPIC_BYTES]>,
    nodes: SmallVec<[u32; NODES]>,
}

impl Recent {
    /// Whether it knows what matches the topic.
    pub(super) fn is_of(&self, topic: &str) -> bool {
        self.topic.as_slice() == topic.as_bytes()
    }

    /// What matches, in the order in which it was found.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().copied()
    }

    /// Another topic is looked up.
    pub(super) fn begin(&mut self, topic: &str) {
        self.topic.clear();
        self.nodes.clear();
        if topic.len() <= TOPIC_BYTES {
            self.topic.extend_from_slice(topic.as_bytes());
        }
    }

    /// This matches it, too.
    pub(super) fn note(&mut self, node: u32) {
        match self.nodes.len() < NODES {
            true => self.nodes.push(node),
            false => self.topic.clear(),
        }
    }
}
