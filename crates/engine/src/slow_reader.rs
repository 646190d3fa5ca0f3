//! What becomes of QoS 0 messages for a client that reads more slowly than they arrive.
//!
//! QoS 0 promises nothing, so something may be lost; what, is the choice of whoever knows what the messages mean: the client
//! for one subscription, or whoever runs the broker for a listener. QoS 1 and 2 are never chosen for: see queue.rs.

/// A way to treat a slow reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlowReader {
    /// Of each topic only the newest message waits.
    LatestPerTopic,
    /// The oldest make room for the newest.
    DropOldest,
    /// What finds no room is dropped.
    #[default]
    DropNewest,
    /// Nothing is dropped: the connection ends.
    Disconnect,
}

/// The user property of a SUBSCRIBE that chooses.
pub(crate) const WISH: &str = "weir-slow-reader";

/// The user property of a PUBLISH that says how many messages its receiver missed before it.
pub(crate) const MISSED: &str = "weir-missed";

impl SlowReader {
    /// All of them; where several subscriptions match a message, the last of them in this order decides.
    pub const ALL: [Self; 4] = [
        Self::LatestPerTopic,
        Self::DropOldest,
        Self::DropNewest,
        Self::Disconnect,
    ];

    /// Its name in a SUBSCRIBE, in the configuration and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LatestPerTopic => "latest-per-topic",
            Self::DropOldest => "drop-oldest",
            Self::DropNewest => "drop-newest",
            Self::Disconnect => "disconnect",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}
