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
    /// Messages not delivered since a queue was full or a client's Maximum Packet Size too small.
    pub messages_dropped: u64,
    /// Messages whose Message Expiry Interval passed before they could be delivered.
    pub messages_expired: u64,
    /// Connections refused or ended for a fault of the client.
    pub faults: u64,
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
        self.messages_dropped += other.messages_dropped;
        self.messages_expired += other.messages_expired;
        self.faults += other.faults;
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
