//! `[limits]`: a bound on everything that a peer can make grow.
//!
//! Nothing here can be switched off, only raised: a queue without a bound is memory that somebody else chooses.
//! Where two limits only make sense together, the file may not contradict itself, and a default gives way to what is
//! written.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;

use super::error::Fault;
use super::rates::Rates;
use super::section::Section;

const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const GIB: i64 = 1024 * MIB;

/// The largest Maximum Packet Size that clients accept; the protocol itself would allow a few bytes more.
const MAX_PACKET_BYTES: i64 = 268_435_455;

/// Bounds on connections, packets, sessions, queues and retained messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections open at a time, over all listeners.
    pub(crate) max_connections: usize,
    /// Connections open at a time from one address; `None` for no limit of its own.
    pub(crate) max_connections_per_address: Option<NonZeroUsize>,
    /// Connections begun in a second from one address; `None` for no limit.
    pub(crate) max_handshakes_per_second_per_address: Option<NonZeroU32>,
    /// Connections open at a time of one user; `None` for no limit.
    pub(crate) max_connections_per_user: Option<NonZeroUsize>,
    /// Connections begun in a second by one user; `None` for no limit.
    pub(crate) max_handshakes_per_second_per_user: Option<NonZeroU32>,
    /// What one client may send in a second.
    pub(crate) of_client: Rates,
    /// What all clients of one user may.
    pub(crate) of_user: Rates,
    /// What all clients from one address may.
    pub(crate) of_address: Rates,
    /// How long a client may send more than that before its connection ends, in seconds; `None` for ever.
    pub(crate) overrun_seconds: Option<NonZeroU32>,
    /// The request line and headers of an upgrade or another HTTP request, in bytes.
    pub(crate) max_header_bytes: usize,
    /// A packet received after CONNECT was accepted; the Maximum Packet Size of CONNACK, in bytes.
    pub(crate) max_packet_bytes: u32,
    /// A packet received before, in bytes; at most `max_packet_bytes`.
    pub(crate) max_unauthenticated_packet_bytes: u32,
    /// PUBLISH packets of QoS 1 and 2 that a client may have unacknowledged; the Receive Maximum of CONNACK.
    pub(crate) receive_maximum: u16,
    /// PUBLISH packets of QoS 1 and 2 that a client is sent unacknowledged, unless its Receive Maximum is lower.
    pub(crate) inflight_maximum: u16,
    /// Aliases that a client may use; the Topic Alias Maximum of CONNACK, 0 for none.
    pub(crate) topic_alias_maximum: u16,
    /// Aliases used towards a client, unless its Topic Alias Maximum is lower; 0 for none.
    pub(crate) outgoing_topic_alias_maximum: u16,
    /// Bytes that wait to be written to one connection; one packet may go over it.
    pub(crate) outbox_bytes: usize,
    /// Messages that wait in one session.
    pub(crate) queue_messages: usize,
    /// Bytes of the messages that wait in one session.
    pub(crate) queue_bytes: usize,
    /// Bytes of them for QoS 0 messages that make room for each other.
    pub(crate) slow_reader_bytes: usize,
    /// Sessions, connected or kept; at least `max_connections`.
    pub(crate) max_sessions: usize,
    /// How long a session may be kept after its connection ended, in seconds; `u32::MAX` never expires.
    pub(crate) max_session_expiry_seconds: u32,
    /// Subscriptions of one session.
    pub(crate) max_subscriptions_per_session: usize,
    /// Takeovers of one client id that may follow each other.
    pub(crate) max_takeovers: u32,
    /// For how long a client id must be left alone before it can be taken over again, in seconds.
    pub(crate) takeover_pause_seconds: u32,
    /// Levels of a topic name or filter.
    pub(crate) max_topic_levels: usize,
    /// Retained messages.
    pub(crate) max_retained_messages: usize,
    /// Bytes of the retained messages.
    pub(crate) max_retained_bytes: usize,
}

impl Limits {
    pub(super) fn resolve(from: &Section<'_, '_>) -> Self {
        let connections = from.integer("max_connections", 100_000, 1..=10_000_000, "connections");
        let packet_bytes = from.integer("max_packet_bytes", MIB, 128..=MAX_PACKET_BYTES, "bytes");
        Self {
            max_connections: count(connections),
            max_connections_per_address: connections_of(from, "max_connections_per_address"),
            max_handshakes_per_second_per_address: handshakes_of(
                from,
                "max_handshakes_per_second_per_address",
            ),
            max_connections_per_user: connections_of(from, "max_connections_per_user"),
            max_handshakes_per_second_per_user: handshakes_of(
                from,
                "max_handshakes_per_second_per_user",
            ),
            of_client: Rates::resolve(
                from,
                "max_publishes_per_second_per_client",
                "max_bytes_per_second_per_client",
            ),
            of_user: Rates::resolve(
                from,
                "max_publishes_per_second_per_user",
                "max_bytes_per_second_per_user",
            ),
            of_address: Rates::resolve(
                from,
                "max_publishes_per_second_per_address",
                "max_bytes_per_second_per_address",
            ),
            overrun_seconds: NonZeroU32::new(from.integer(
                "overrun_seconds",
                60,
                0..=3600,
                "seconds",
            )),
            max_header_bytes: bytes(from, "max_header_bytes", 40 * KIB, 8 * KIB..=MIB),
            max_packet_bytes: u32::try_from(packet_bytes).unwrap_or(u32::MAX),
            max_unauthenticated_packet_bytes: unauthenticated(from, packet_bytes),
            receive_maximum: from.integer("receive_maximum", 4096, 1..=65_535, "messages"),
            inflight_maximum: from.integer("inflight_maximum", 1024, 1..=65_535, "messages"),
            topic_alias_maximum: aliases(from, "topic_alias_maximum"),
            outgoing_topic_alias_maximum: aliases(from, "outgoing_topic_alias_maximum"),
            outbox_bytes: bytes(from, "outbox_bytes", 256 * KIB, 4 * KIB..=GIB),
            queue_messages: from.integer("queue_messages", 8192, 1..=10_000_000, "messages"),
            queue_bytes: queue_bytes(from, packet_bytes),
            slow_reader_bytes: bytes(from, "slow_reader_bytes", MIB, 4 * KIB..=GIB),
            max_sessions: sessions(from, connections),
            max_session_expiry_seconds: expiry_seconds(from),
            max_subscriptions_per_session: subscriptions(from),
            max_takeovers: from.integer("max_takeovers", 3, 1..=1_000_000, "takeovers"),
            takeover_pause_seconds: takeover_pause(from),
            max_topic_levels: from.integer("max_topic_levels", 128, 1..=32_768, "levels"),
            max_retained_messages: retained_messages(from),
            max_retained_bytes: bytes(from, "max_retained_bytes", 256 * MIB, 4 * KIB..=1024 * GIB),
        }
    }
}

fn bytes(
    from: &Section<'_, '_>,
    key: &'static str,
    default: i64,
    range: RangeInclusive<i64>,
) -> usize {
    count(from.integer(key, default, range, "bytes"))
}

fn aliases(from: &Section<'_, '_>, key: &'static str) -> u16 {
    from.integer(key, 32, 0..=65_535, "aliases")
}

/// Zero: no limit.
fn connections_of(from: &Section<'_, '_>, key: &'static str) -> Option<NonZeroUsize> {
    let connections: i64 = from.integer(key, 0, 0..=10_000_000, "connections");
    NonZeroUsize::new(count(connections))
}

/// Zero: no limit.
fn handshakes_of(from: &Section<'_, '_>, key: &'static str) -> Option<NonZeroU32> {
    NonZeroU32::new(from.integer(key, 0, 0..=1_000_000, "handshakes"))
}

fn expiry_seconds(from: &Section<'_, '_>) -> u32 {
    from.integer(
        "max_session_expiry_seconds",
        7 * 24 * 3600,
        0..=i64::from(u32::MAX),
        "seconds",
    )
}

fn subscriptions(from: &Section<'_, '_>) -> usize {
    from.integer(
        "max_subscriptions_per_session",
        10_000,
        1..=1_000_000,
        "subscriptions",
    )
}

fn takeover_pause(from: &Section<'_, '_>) -> u32 {
    from.integer("takeover_pause_seconds", 30, 1..=3600, "seconds")
}

fn retained_messages(from: &Section<'_, '_>) -> usize {
    from.integer(
        "max_retained_messages",
        1_000_000,
        1..=1_000_000_000,
        "messages",
    )
}

/// A client that isn't known yet can't have a larger packet than one that is.
fn unauthenticated(from: &Section<'_, '_>, packet_bytes: i64) -> u32 {
    const KEY: &str = "max_unauthenticated_packet_bytes";
    let default = (64 * KIB).min(packet_bytes);
    let value = from.integer(KEY, default, 128..=MAX_PACKET_BYTES, "bytes");
    if value > packet_bytes {
        let fault = Fault::MoreThan {
            value,
            other: "max_packet_bytes",
            ceiling: packet_bytes,
        };
        from.note(KEY, fault);
    }
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A queue that can't hold the largest message would lose it each time.
fn queue_bytes(from: &Section<'_, '_>, packet_bytes: i64) -> usize {
    const KEY: &str = "queue_bytes";
    let value = from.integer(
        KEY,
        (16 * MIB).max(packet_bytes),
        4 * KIB..=64 * GIB,
        "bytes",
    );
    not_less(from, KEY, value, ("max_packet_bytes", packet_bytes))
}

/// A connection without a session is one that was let in for nothing.
fn sessions(from: &Section<'_, '_>, connections: i64) -> usize {
    const KEY: &str = "max_sessions";
    let value = from.integer(KEY, connections.max(200_000), 1..=100_000_000, "sessions");
    not_less(from, KEY, value, ("max_connections", connections))
}

fn not_less(
    from: &Section<'_, '_>,
    key: &'static str,
    value: i64,
    other: (&'static str, i64),
) -> usize {
    let (other, floor) = other;
    if value < floor {
        from.note(
            key,
            Fault::LessThan {
                value,
                other,
                floor,
            },
        );
    }
    count(value)
}

/// The range was checked; only a platform with a small address space cuts here.
fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
