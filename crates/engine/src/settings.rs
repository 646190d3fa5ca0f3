//! The limits and habits a shard is given, resolved: no options left to decide.
//!
//! Every queue, table and window in the engine is bounded by one of these. Limits on totals (sessions, retained messages)
//! are this shard's own share.

/// What a [`crate::Shard`] is configured with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest packet a client may send once accepted, in bytes; announced as Maximum Packet Size.
    pub max_packet_bytes: u32,
    /// QoS 1 and 2 messages a client may have unacknowledged towards us; announced as Receive Maximum.
    pub receive_maximum: u16,
    /// Topic aliases a client may use towards us; announced as Topic Alias Maximum.
    pub topic_alias_maximum: u16,
    /// Topic aliases we use towards a client at most, whatever it allows.
    pub outgoing_alias_maximum: u16,
    /// QoS 1 and 2 messages we have unacknowledged towards a client at most, whatever it allows.
    pub inflight_maximum: u16,
    /// Encoded bytes that wait for a socket at most; above it deliveries wait in the session's queue.
    pub outbox_bytes: usize,
    /// Messages that wait in one session's queue at most.
    pub queue_messages: usize,
    /// Bytes that wait in one session's queue at most.
    pub queue_bytes: usize,
    /// Bytes of it that QoS 0 messages which make room for each other may have; one may go over it.
    pub slow_reader_bytes: usize,
    /// Subscriptions of one session at most.
    pub max_subscriptions_per_session: usize,
    /// Levels in a topic name or filter at most.
    pub max_topic_levels: usize,
    /// Sessions on this shard at most, connected or not.
    pub max_sessions: usize,
    /// Retained messages at most.
    pub max_retained_messages: usize,
    /// Bytes of retained messages at most.
    pub max_retained_bytes: usize,
    /// Longest Session Expiry Interval granted, in seconds; `u32::MAX` lets sessions live for ever.
    pub session_expiry_max_seconds: u32,
    /// Longest Keep Alive of 5.0 clients (told as Server Keep Alive), in seconds; 0 leaves it to the client.
    pub server_keep_alive_seconds: u16,
    /// Takeovers of one client id that may follow each other; then newcomers are refused. `u32::MAX`: any number.
    pub takeovers_maximum: u32,
    /// How long nobody must ask for a client id before such a contest is forgotten, in seconds.
    pub takeover_pause_seconds: u32,
    /// Whether there is a store that keeps sessions and retained messages.
    pub is_durable: bool,
    /// Whether a 3.1 client may have a client id of more than 23 characters.
    pub tolerates_long_3_1_client_ids: bool,
    /// Whether a 5.0 client may have more QoS 2 messages unacknowledged than our Receive Maximum.
    pub tolerates_receive_maximum_exceeded: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_packet_bytes: 1 << 20,
            receive_maximum: 4096,
            topic_alias_maximum: 64,
            outgoing_alias_maximum: 64,
            inflight_maximum: 1024,
            outbox_bytes: 256 << 10,
            queue_messages: 8192,
            queue_bytes: 16 << 20,
            slow_reader_bytes: 1 << 20,
            max_subscriptions_per_session: 100_000,
            max_topic_levels: 128,
            max_sessions: 1_000_000,
            max_retained_messages: 1_000_000,
            max_retained_bytes: 1 << 30,
            session_expiry_max_seconds: 7 * 24 * 3600,
            server_keep_alive_seconds: 0,
            takeovers_maximum: u32::MAX,
            takeover_pause_seconds: 30,
            is_durable: false,
            tolerates_long_3_1_client_ids: true,
            tolerates_receive_maximum_exceeded: false,
        }
    }
}
