//! One application message, immutable and shared by everyone it is for.
//!
//! A message that has just arrived is made of slices of the read buffer it came in. Whoever keeps it (retained,
//! queued, in flight) keeps a [`Message::detached`] copy instead, since a kept 100-byte payload would pin the whole
//! buffer; a large message has its memory for itself.

use crate::id::MessageNumber;
use crate::time::Instant;
use bytes::Bytes;
use weir_codec::{Properties, Qos, TopicName};

/// An application message on its way from a publisher to everyone with interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number in the durable state, if it comes to be there.
    pub number: MessageNumber,
    /// Where it was published.
    pub topic: TopicName,
    /// The application's bytes.
    pub payload: Bytes,
    /// The publisher's properties, passed on untouched and in order [MQTT-3.3.2-17].
    pub properties: Properties,
    /// The QoS it was published with.
    pub qos: Qos,
    /// The publisher's RETAIN flag.
    pub retain: bool,
    /// When the Message Expiry Interval has passed; `None`: never.
    pub expires_at: Option<Instant>,
}

/// A message of which only the store has the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its number.
    pub number: MessageNumber,
    /// What [`Message::cost_bytes`] says of it.
    pub cost_bytes: u32,
}

impl Message {
    /// The same message, sharing nothing with a read buffer that others came in: a copy, unless it is large.
    #[must_use]
    pub fn detached(&self) -> Self {
        let (topic, properties, payload) =
            weir_codec::detached(&self.topic, &self.properties, &self.payload);
        Self {
            topic,
            payload,
            properties,
            ..*self
        }
    }

    /// The bytes this message is counted with in every queue: what it carries plus what holding it costs.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        let carried_bytes =
            self.topic.as_str().len() + self.payload.len() + self.properties.encoded().len();
        Self::cost_of(carried_bytes)
    }

    /// [`Message::cost_bytes`] of one whose topic, payload and properties take so many bytes together.
    #[must_use]
    pub const fn cost_of(carried_bytes: usize) -> usize {
        const HOLDING_BYTES: usize = 192;
        carried_bytes.saturating_add(HOLDING_BYTES)
    }

    /// Whether its publisher may go on from it, see [`crate::encore`].
    pub(crate) const fn may_have_encore(&self) -> bool {
        matches!(self.qos, Qos::AtMostOnce) && !self.retain
    }

    /// Whether the Message Expiry Interval has passed [MQTT-3.3.2-5].
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The Message Expiry Interval to send: what was received minus the time spent waiting here, in seconds
    /// [MQTT-3.3.2-6].
    #[must_use]
    pub fn remaining_expiry_seconds(&self, now: Instant) -> Option<u32> {
        let at = self.expires_at?;
        let waited = match fault!(ExpiryNotReduced) {
            true => 0,
            false => now.as_millis(),
        };
        let left = at.millis_since(Instant::from_millis(waited));
        Some(u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX))
    }
}
