//! What a client may publish, subscribe to and receive: rules over topics, as mosquitto's ACL file has them.
//!
//! A topic is decided in four steps, and the first that says anything counts: the user's own `deny`, the user's own
//! permission, a pattern's `deny`, a pattern's permission. Nothing said is a denial. A client's name takes the place of `%c`
//! and `%u` level by level, as it is: a name with `/`, `+` or `#` in it never widens a rule.

mod coverage;
mod explain;
mod file;
mod index;
mod permissions;
mod rule;

pub use explain::{Explanation, explain_publish, explain_subscribe};
pub(crate) use file::Acl;
pub(crate) use permissions::{Granted, Rules};

/// What somebody wants to do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Subscribe to it and receive from it.
    Read,
    /// Publish to it.
    Write,
}

/// How early in the four steps something is decided; the earliest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    OwnDeny,
    OwnAllow,
    PatternDeny,
    PatternAllow,
    /// Nobody said anything.
    Unsaid,
}

impl Step {
    pub(crate) fn allows(self) -> bool {
        matches!(self, Self::OwnAllow | Self::PatternAllow)
    }
}

#[cfg(test)]
mod tests;
