//! What a client may do, decided by whoever authenticated it.
//!
//! The engine asks at every PUBLISH, SUBSCRIBE and will; an answer must therefore be quick and must not wait. A delivery
//! is asked about only where a subscription matches more than its client may receive, so that everybody else pays
//! nothing for it.

use alloc::string::String;
use alloc::sync::Arc;
use weir_codec::{TopicFilter, TopicName};

/// What one authenticated client may do.
pub trait Permissions: core::fmt::Debug + Send + Sync {
    /// Whether it may publish to `topic`, its will included.
    fn may_publish(&self, topic: &TopicName) -> bool;

    /// How much of what `filter` matches it may receive.
    fn may_subscribe(&self, filter: &TopicFilter) -> Coverage;

    /// Whether a message published to `topic` may be delivered to it. Asked only while it holds a subscription that was
    /// granted in [`Coverage::Part`].
    fn may_receive(&self, topic: &TopicName) -> bool {
        let _ = topic;
        true
    }

    /// What became of these permissions since they were granted.
    fn refreshed(&self) -> Refreshed {
        Refreshed::Unchanged
    }

    /// The rule that forbids this, for the log; empty where there is none to name.
    fn rule(&self, asked: Asked<'_>) -> String {
        let _ = asked;
        String::new()
    }
}

/// How much of what a filter matches a client may receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Everything.
    Whole,
    /// Some: the subscription is granted, and each delivery is asked about.
    Part,
    /// Nothing: the subscription is refused.
    Nothing,
}

/// What became of permissions.
#[derive(Clone, Debug)]
pub enum Refreshed {
    /// They still hold.
    Unchanged,
    /// These have taken their place.
    Changed(Arc<dyn Permissions>),
    /// Their holder would not be let in any more.
    Withdrawn,
}

/// What a rule is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// To publish to this topic.
    Publish(&'a TopicName),
    /// To subscribe to this filter.
    Subscribe(&'a TopicFilter),
    /// To be delivered a message of this topic.
    Receive(&'a TopicName),
}

/// Everything is allowed.
#[derive(Clone, Copy, Debug)]
pub struct AllowAll;

impl Permissions for AllowAll {
    fn may_publish(&self, _: &TopicName) -> bool {
        true
    }

    fn may_subscribe(&self, _: &TopicFilter) -> Coverage {
        Coverage::Whole
    }
}
