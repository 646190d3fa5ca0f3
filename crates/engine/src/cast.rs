//! One message on its way to many: what the deliveries share.
//!
//! The bytes of a PUBLISH are encoded once per variant (version, with or without a packet id, alias, subscription
//! identifiers) and shared by every session that gets that variant; whoever keeps the message shares one detached copy.

use crate::aliases::Alias;
use crate::inflight::Identifiers;
use crate::message::Message;
use crate::slow_reader::MISSED;
use crate::time::Instant;
use alloc::string::ToString;
use alloc::sync::Arc;
use smallvec::SmallVec;
use weir_codec::{EncodeError, Properties, Property, PublishFrame, PublishHead, Version};

/// What may differ between the encodings of one message.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) version: Version,
    pub(crate) has_packet_id: bool,
    pub(crate) alias: Option<Alias>,
    pub(crate) identifiers: Identifiers,
}

impl Variant {
    /// Equality, cheapest differences first: it is asked for each delivery.
    #[inline]
    fn is(&self, other: &Self) -> bool {
        self.version == other.version
            && self.has_packet_id == other.has_packet_id
            && self.alias == other.alias
            && self.identifiers.len() == other.identifiers.len()
            && (self.identifiers.is_empty() || self.identifiers == other.identifiers)
    }
}

/// One message being delivered, now, to any number of sessions.
#[derive(Debug)]
pub(crate) struct Cast {
    message: Arc<Message>,
    kept: bool,
    now: Instant,
    frames: SmallVec<[(Variant, PublishFrame); 2]>,
}

/// So many encodings are remembered; a session with rarer wishes gets one of its own.
const SHARED_VARIANTS: usize = 16;

impl Cast {
    /// A message that has just arrived, still in its read buffer.
    pub(crate) fn fresh(message: Arc<Message>, now: Instant) -> Self {
        Self {
            message,
            kept: false,
            now,
            frames: SmallVec::new(),
        }
    }

    /// A message that was kept: it is detached already.
    pub(crate) fn kept(message: Arc<Message>, now: Instant) -> Self {
        Self {
            kept: true,
            ..Self::fresh(message, now)
        }
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    /// The message for somebody who keeps it: copied out of the read buffer the first time.
    pub(crate) fn keep(&mut self) -> Arc<Message> {
        if !self.kept {
            self.message = Arc::new(self.message.detached());
            self.kept = true;
        }
        Arc::clone(&self.message)
    }

    /// The message's bytes in this variant.
    pub(crate) fn frame(&mut self, variant: &Variant) -> Result<&PublishFrame, EncodeError> {
        let known = self.frames.iter().position(|(other, _)| other.is(variant));
        let index = match known {
            Some(index) => index,
            None => {
                let frame = self.encode(variant)?;
                self.frames.truncate(SHARED_VARIANTS);
                self.frames.push((variant.clone(), frame));
                self.frames.len() - 1
            }
        };
        self.frames
            .get(index)
            .map(|(_, frame)| frame)
            .ok_or(EncodeError::PacketTooLong)
    }

    /// The same for a receiver that is told how many messages it missed before this one.
    pub(crate) fn frame_telling(
        &self,
        variant: &Variant,
        missed: u64,
    ) -> Result<PublishFrame, EncodeError> {
        let mut properties = self.message.properties.clone();
        properties.push(Property::UserProperty(MISSED, &missed.to_string()));
        self.encode_with(variant, &properties)
    }

    fn encode(&self, variant: &Variant) -> Result<PublishFrame, EncodeError> {
        self.encode_with(variant, &self.message.properties)
    }

    fn encode_with(
        &self,
        variant: &Variant,
        properties: &Properties,
    ) -> Result<PublishFrame, EncodeError> {
        let message = &*self.message;
        // A topic the client knows by its alias goes out empty (section 3.3.2.3.4).
        let known_by_alias = variant.alias.is_some_and(|alias| alias.known);
        let head = PublishHead {
            version: variant.version,
            topic: if known_by_alias {
                ""
            } else {
                message.topic.as_str()
            },
            topic_alias: variant.alias.map(|alias| alias.number),
            message_expiry_interval: message.remaining_expiry_seconds(self.now),
            subscription_identifiers: &variant.identifiers,
            properties,
        };
        PublishFrame::new(&head, &message.payload, variant.has_packet_id)
    }
}
