//! One connection: what lives exactly as long as the transport.
//!
//! ```text
//! AwaitingConnect --CONNECT--> Authenticating --granted--> Connected --+
//!        |                          |                                   |
//!        +--------------------------+----------- any end --------------+--> Closing --transport gone--> (removed)
//! ```
//! A CONNECT whose home is another shard leaves from AwaitingConnect: the transport moves and the connection is
//! removed here.

use crate::aliases::{InboundAliases, OutboundAliases};
use crate::id::SessionKey;
use crate::shard::Contest;
use crate::slow_reader::SlowReader;
use crate::subscription::Subscription;
use crate::time::Instant;
use crate::timers::TimerToken;
use alloc::boxed::Box;
use weir_codec::{Connect, Output, Packet, Utf8, Version};

/// Where a connection stands, named by what it awaits.
#[derive(Debug)]
pub(crate) enum Phase {
    AwaitingConnect {
        deadline: Instant,
    },
    Authenticating {
        connect: Box<Connect>,
        assigned: bool,
        /// Whether it is the client's turn, to answer a challenge.
        is_challenged: bool,
    },
    Connected(SessionKey),
    Closing,
}

/// The enhanced authentication of a connection, from its CONNECT on.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The Authentication Method of CONNECT, the only one from then on [MQTT-4.12.0-5].
    pub(crate) method: Utf8,
    /// Where authenticating again stands.
    pub(crate) renewal: Renewal,
}

/// Where authenticating again stands, named by whose turn it is.
///
/// ```text
/// Idle --AUTH 0x19--> Judged --more--> Challenged --AUTH 0x18--> Judged --granted--> Idle
///                        +------------------------- refused --> DISCONNECT
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Idle,
    Judged,
    Challenged,
}

/// One client's transport, seen from the engine.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    pub(crate) version: Version,
    /// The client's Maximum Packet Size, in bytes [MQTT-3.1.2-24].
    pub(crate) max_packet_bytes: u32,
    /// The client's Receive Maximum, and how much of it is left [MQTT-4.9.0-1].
    pub(crate) send_quota_maximum: u16,
    pub(crate) send_quota: u16,
    /// The client's Request Problem Information [MQTT-3.1.2-29].
    pub(crate) problem_information: bool,
    /// One and a half times the Keep Alive, in milliseconds; `None`: no limit.
    pub(crate) silence_millis: Option<u64>,
    pub(crate) heard_at: Instant,
    /// When the transport last gave a sign of life that is no packet.
    pub(crate) answered_at: Instant,
    /// What it took to get the session, if there was somebody to take it from.
    pub(crate) contest: Option<Box<Contest>>,
    pub(crate) timer: Option<TimerToken>,
    pub(crate) aliases_in: InboundAliases,
    pub(crate) aliases_out: OutboundAliases,
    /// The enhanced authentication that CONNECT began.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// For when the credentials expire.
    pub(crate) credentials_timer: Option<TimerToken>,
    /// What becomes of QoS 0 messages that find it slow, unless a subscription says otherwise; `None`: what finds no room is
    /// dropped, and nobody is told.
    pub(crate) slow_reader: Option<SlowReader>,
    /// QoS 0 messages that it missed since it was too slow.
    pub(crate) missed: u64,
    /// Denials the log was told of.
    pub(crate) denials_told: u8,
    /// Whether CONNACK was sent: nothing goes before it.
    pub(crate) is_welcomed: bool,
    /// SUBACKs and UNSUBACKs that wait until what they promise has happened.
    pub(crate) answers_held: u16,
    /// Other acknowledgements that wait.
    pub(crate) acks_held: u16,
    /// The mark of the last answer that waits: none overtakes another.
    pub(crate) held_until: u64,
    /// Encoded packets that the transport has not taken yet.
    pub(crate) output: Output,
    /// The bytes of the QoS 2 messages that go there when their packet ids are kept.
    pub(crate) unsent_bytes: usize,
    /// Whether the connection stands in the list of those with something to transmit.
    pub(crate) dirty: bool,
    /// Whether it stands in the list of those that are to be given more retained messages.
    pub(crate) is_replaying: bool,
    /// Whether everything that waited for the client when it came has been sent.
    pub(crate) caught_up: bool,
}

impl Connection {
    pub(crate) fn new(now: Instant, deadline: Instant) -> Self {
        Self {
            phase: Phase::AwaitingConnect { deadline },
            version: Version::V3_1_1,
            max_packet_bytes: u32::MAX,
            send_quota_maximum: 0,
            send_quota: 0,
            problem_information: true,
            silence_millis: None,
            heard_at: now,
            answered_at: now,
            contest: None,
            timer: None,
            aliases_in: InboundAliases::default(),
            aliases_out: OutboundAliases::default(),
            exchange: None,
            credentials_timer: None,
            slow_reader: None,
            missed: 0,
            denials_told: 0,
            is_welcomed: false,
            answers_held: 0,
            acks_held: 0,
            held_until: 0,
            output: Output::new(),
            unsent_bytes: 0,
            dirty: false,
            is_replaying: false,
            caught_up: false,
        }
    }

    /// The session, once the connection is accepted and until it ends.
    pub(crate) fn session(&self) -> Option<SessionKey> {
        match self.phase {
            Phase::Connected(session) => Some(session),
            _ => None,
        }
    }

    /// What becomes of a subscription's QoS 0 messages that find it slow.
    #[inline]
    pub(crate) fn slow_reader_of(&self, subscription: &Subscription) -> Option<SlowReader> {
        subscription.slow_reader.or(self.slow_reader)
    }

    /// The bytes that are in its output, or go there for certain.
    #[inline]
    pub(crate) fn used_bytes(&self) -> usize {
        self.output.len() + self.unsent_bytes
    }

    /// Whether the client takes a packet of this size.
    pub(crate) fn takes(&self, packet: &Packet) -> bool {
        let limit = self.max_packet_bytes;
        // Few clients have a limit, so few packets have to be measured.
        limit == u32::MAX
            || packet
                .encoded_bytes(self.version)
                .is_ok_and(|bytes| bytes <= limit as usize)
    }

    /// Adds a control packet to what is to be transmitted. It always fits: control packets are never dropped.
    pub(crate) fn send(&mut self, packet: &Packet) {
        // The engine builds no packet that its own encoder refuses; if it did, nothing would be written.
        let encoded = self.output.encode(packet, self.version);
        debug_assert!(encoded.is_ok(), "{packet:?}: {encoded:?}");
    }

    /// PUBACK, PUBCOMP or a refusing PUBREC came: one more message may be in flight, never more than at the start.
    pub(crate) fn restore_send_quota(&mut self) {
        self.send_quota = self
            .send_quota
            .saturating_add(1)
            .min(self.send_quota_maximum);
    }
}
