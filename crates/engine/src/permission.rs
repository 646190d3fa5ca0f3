//! What a client may do, decided by whoever authenticated it.
//!
//! The engine asks at every PUBLISH, SUBSCRIBE and will; an answer must therefore be quick and must not wait.

use weir_codec::{TopicFilter, TopicName};

/// What one authenticated client may do.
pub trait Permissions: core::fmt::Debug + Send + Sync {
    /// Whether it may publish to `topic`, its will included.
    fn may_publish(&self, topic: &TopicName) -> bool;
    /// Whether it may subscribe to `filter`.
    fn may_subscribe(&self, filter: &TopicFilter) -> bool;
}

/// Everything is allowed.
#[derive(Clone, Copy, Debug)]
pub struct AllowAll;

impl Permissions for AllowAll {
    fn may_publish(&self, _: &TopicName) -> bool {
        true
    }

    fn may_subscribe(&self, _: &TopicFilter) -> bool {
        true
    }
}
