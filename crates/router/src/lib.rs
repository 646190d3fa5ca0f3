//! Who wants this topic: the subscription tree, its shared groups, and the retained tree.
//!
//! This crate owns matching and nothing else. It knows no packets, sessions or time: a subscriber is
//! a small copyable key, what it asked for is a value the caller chose, and a match is handed to a
//! closure. Three things always hold. The same operations give the same order of visits, whatever
//! the seed. Matching allocates nothing for topics of ordinary depth and never recurses, so that no
//! topic of 65,535 bytes can exhaust a stack. What is removed is gone: nodes, levels and groups are
//! freed with their last user, so that churn costs no memory. The seed keys every hash table, so that
//! a client that chooses topics can't choose collisions.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod arena;
mod group;
mod hashing;
mod levels;
mod order;
mod path;
mod retained;
mod roster;
mod subscribers;
mod tree;

pub use group::SharedGroup;
pub use retained::{Content, Contents, Page, RetainedTopic, RetainedTopics, RetainedTree};
pub use tree::{FilterId, GroupId, Matched, SubscriptionTree};
