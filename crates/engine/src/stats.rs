//! What a shard can tell of itself.
//!
//! Counters that only grow, and the sizes of its tables. Those of several shards add up, retained messages aside, which
//! every shard holds.

/// Counts of one shard: the first four are now, the rest since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Accepted connections.
    pub connections: u64,
    /// Sessions, connected or not.
    pub sessions: u64,
    /// Subscriptions of all sessions.
    pub subscriptions: u64,
    /// Retained messages.
    pub retained: u64,
    /// PUBLISH packets received.
    pub messages_received: u64,
    /// PUBLISH packets handed to connections.
    pub messages_sent: u64,
    /// Messages that were not delivered to a session, or not taken from a client.
    pub dropped: Dropped,
    /// Messages whose Message Expiry Interval passed before they could be delivered.
    pub messages_expired: u64,
    /// Connections refused or ended for a fault of the client.
    pub faults: u64,
    /// Publishes and subscriptions that permissions denied.
    pub denials: u64,
    /// Subscriptions refused since the session has as many as it may.
    pub subscriptions_refused: u64,
    /// Messages not retained since there are as many as there may be.
    pub retained_refused: u64,
}

/// Messages that were not delivered to a session, or not taken from a client, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The session's queue was full.
    pub queue_full: u64,
    /// QoS 0 made room for other messages, or found none, as was asked for: see [`crate::SlowReader`].
    pub slow_reader: u64,
    /// The message is larger than the client takes.
    pub too_large: u64,
    /// The publisher was told that it was not taken, or not retained.
    pub refused: u64,
    /// It waited for its client in the store, and was damaged there.
    pub damaged: u64,
}

impl core::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.sessions += other.sessions;
        self.subscriptions += other.subscriptions;
        // Every shard holds all retained messages.
        self.retained = self.retained.max(other.retained);
        self.messages_received += other.messages_received;
        self.messages_sent += other.messages_sent;
        self.dropped += other.dropped;
        self.messages_expired += other.messages_expired;
        self.faults += other.faults;
        self.denials += other.denials;
        self.subscriptions_refused += other.subscriptions_refused;
        self.retained_refused += other.retained_refused;
    }
}

impl core::ops::AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.queue_full += other.queue_full;
        self.slow_reader += other.slow_reader;
        self.too_large += other.too_large;
        self.refused += other.refused;
        self.damaged += other.damaged;
    }
}

/// The fullest of each kind of bounded thing on a shard, to be compared with the [`crate::Settings`] that bound them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fullest {
    /// Messages in the longest queue of a session.
    pub queue_messages: usize,
    /// Bytes in the largest queue of a session.
    pub queue_bytes: usize,
    /// QoS 1 and 2 messages in flight to one client.
    pub inflight: usize,
    /// Encoded bytes that wait for one socket.
    pub output_bytes: usize,
}
