//! One message on its way to many: what the deliveries share.
//!
//! The bytes of a PUBLISH are encoded once per variant (version, with or without a packet id, alias, subscription
//! identifiers) and shared by every session that gets that variant: what is alike for all of a version stands in the turn's
//! segment, where outputs refer to it. Whoever keeps the message shares one detached copy.

use crate::aliases::Alias;
use crate::inflight::Identifiers;
use crate::message::Message;
use crate::slow_reader::MISSED;
use crate::time::Instant;
use crate::trail::Trail;
use alloc::string::ToString;
use alloc::sync::Arc;
use smallvec::SmallVec;
use weir_codec::{
    Alike, EncodeError, Properties, Property, PublishFrame, PublishHead, Segment, Stretch, Version,
    link_bytes_for,
};

/// What may differ between the encodings of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant<'a> {
    pub(crate) version: Version,
    pub(crate) has_packet_id: bool,
    pub(crate) alias: Option<Alias>,
    pub(crate) identifiers: &'a [u32],
}

impl<'a> Variant<'a> {
    /// The head of a message in this variant.
    pub(crate) fn head(&self, message: &'a Message, now: Instant) -> PublishHead<'a> {
        let expiry_seconds = message.remaining_expiry_seconds(now);
        self.head_of(message.topic.as_str(), expiry_seconds, &message.properties)
    }

    /// The head of a message with this topic, these properties and so many seconds left.
    #[inline]
    pub(crate) fn head_of(
        &self,
        topic: &'a str,
        expiry_seconds: Option<u32>,
        properties: &'a Properties,
    ) -> PublishHead<'a> {
        // A topic the client knows by its alias goes out empty (section 3.3.2.3.4).
        let known_by_alias = self.alias.is_some_and(|alias| alias.known);
        PublishHead {
            version: self.version,
            topic: if known_by_alias { "" } else { topic },
            topic_alias: self.alias.map(|alias| alias.number),
            message_expiry_interval: expiry_seconds,
            subscription_identifiers: self.identifiers,
            properties,
        }
    }
}

/// An encoding, and the variant that it is of.
#[derive(Debug)]
struct Encoding {
    version: Version,
    has_packet_id: bool,
    alias: Option<Alias>,
    identifiers: Identifiers,
    frame: PublishFrame,
}

impl Encoding {
    /// Whether it is of this variant, cheapest differences first: it is asked for each delivery.
    #[inline]
    fn is(&self, variant: &Variant<'_>) -> bool {
        self.version == variant.version
            && self.has_packet_id == variant.has_packet_id
            && self.alias == variant.alias
            && is_same(&self.identifiers, variant.identifiers)
    }
}

/// Whether two lists are the same. Nothing is not compared with nothing: where an empty slice points to is no memory, and to
/// read nothing from there with a vector's mask takes a processor as long as a hundred instructions.
pub(crate) fn is_same<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    match (one, other) {
        ([], []) => true,
        _ => one == other,
    }
}

/// One message being delivered, now, to any number of sessions.
#[derive(Debug)]
pub(crate) struct Cast<'a> {
    message: Held<'a>,
    now: Instant,
    /// How many are likely to be sent it.
    receivers: usize,
    encodings: SmallVec<[Encoding; 1]>,
    /// Where it stands in the turn's segment, without or with RETAIN.
    places: SmallVec<[(Alike, bool, Stretch); 2]>,
    /// Where others may have found it that waited for it, too.
    trail: Option<&'a mut Trail>,
}

/// A message by who holds it.
#[derive(Debug)]
enum Held<'a> {
    /// It has just arrived, and is still in its read buffer.
    Fresh(&'a Message),
    /// Detached, for whoever keeps it.
    Kept(Arc<Message>),
}

impl Held<'_> {
    /// Whether somebody else has it, too.
    fn is_shared(&self) -> bool {
        matches!(self, Self::Kept(message) if Arc::strong_count(message) > 1)
    }
}

/// So many encodings are remembered; a session with rarer wishes gets one of its own.
const SHARED_VARIANTS: usize = 16;

impl<'a> Cast<'a> {
    /// A message that has just arrived, still in its read buffer.
    pub(crate) fn fresh(message: &'a Message, now: Instant) -> Self {
        Self::of(Held::Fresh(message), now)
    }

    /// A message that was kept: it is detached already.
    pub(crate) fn kept(message: Arc<Message>, now: Instant) -> Self {
        Self::of(Held::Kept(message), now)
    }

    /// A message that has waited, perhaps for others as well.
    pub(crate) fn waited(message: Arc<Message>, now: Instant, trail: &'a mut Trail) -> Self {
        // What expires is not the same for who comes later.
        let trail = message.expires_at.is_none().then_some(trail);
        Self {
            trail,
            ..Self::kept(message, now)
        }
    }

    fn of(message: Held<'a>, now: Instant) -> Self {
        Self {
            message,
            now,
            receivers: 1,
            encodings: SmallVec::new(),
            places: SmallVec::new(),
            trail: None,
        }
    }

    /// Says that so many are likely to be sent it.
    pub(crate) fn expect(&mut self, receivers: usize) {
        self.receivers = receivers;
    }

    #[inline]
    pub(crate) fn message(&self) -> &Message {
        match &self.message {
            Held::Fresh(message) => message,
            Held::Kept(message) => message,
        }
    }

    /// The message for somebody who keeps it: copied out of the read buffer the first time.
    #[inline]
    pub(crate) fn keep(&mut self) -> Arc<Message> {
        match &self.message {
            Held::Kept(message) => Arc::clone(message),
            Held::Fresh(message) => {
                let kept = Arc::new(message.detached());
                self.message = Held::Kept(Arc::clone(&kept));
                kept
            }
        }
    }

    /// Where the message stands in the turn's `segment`, for all who get it alike; `None`: nobody else gets it so, or the
    /// payload is better linked.
    #[inline]
    pub(crate) fn stretch(
        &mut self,
        variant: &Variant<'_>,
        retain: bool,
        segment: &mut Segment,
    ) -> Option<Stretch> {
        // An alias is set once.
        if variant.has_packet_id
            || variant.alias.is_some_and(|alias| !alias.known)
            || self.message().payload.len() >= link_bytes_for(self.receivers)
        {
            return None;
        }
        let head = self.head(variant, &self.message().properties);
        let alike = head.alike()?;
        let known = self
            .places
            .iter()
            .find(|it| (it.0, it.1) == (alike, retain));
        if let Some((_, _, stretch)) = known {
            return Some(*stretch);
        }
        let footprint = (self.message().number, alike, retain);
        if let Some(stretch) = self.trail.as_ref().and_then(|it| it.find(&footprint)) {
            return Some(stretch);
        }
        let stretch = segment.publish(&head, &self.message().payload, retain)?;
        match &mut self.trail {
            None => self.places.push((alike, retain, stretch)),
            Some(trail) if self.message.is_shared() => trail.note(footprint, stretch),
            Some(_) => {}
        }
        Some(stretch)
    }

    /// The message's bytes in this variant.
    pub(crate) fn frame(&mut self, variant: &Variant<'_>) -> Result<&PublishFrame, EncodeError> {
        let known = self.encodings.iter().position(|other| other.is(variant));
        let index = match known {
            Some(index) => index,
            None => {
                let frame = self.encode(variant, &self.message().properties)?;
                self.encodings.truncate(SHARED_VARIANTS);
                self.encodings.push(Encoding {
                    version: variant.version,
                    has_packet_id: variant.has_packet_id,
                    alias: variant.alias,
                    identifiers: variant.identifiers.into(),
                    frame,
                });
                self.encodings.len() - 1
            }
        };
        let encoding = self.encodings.get(index);
        encoding
            .map(|encoding| &encoding.frame)
            .ok_or(EncodeError::PacketTooLong)
    }

    /// The same for a receiver that is told how many messages it missed before this one.
    pub(crate) fn frame_telling(
        &self,
        variant: &Variant<'_>,
        missed: u64,
    ) -> Result<PublishFrame, EncodeError> {
        let mut properties = self.message().properties.clone();
        properties.push(Property::UserProperty(MISSED, &missed.to_string()));
        self.encode(variant, &properties)
    }

    fn encode(
        &self,
        variant: &Variant<'_>,
        properties: &Properties,
    ) -> Result<PublishFrame, EncodeError> {
        let head = self.head(variant, properties);
        PublishFrame::new(&head, &self.message().payload, variant.has_packet_id)
    }

    fn head<'b>(&'b self, variant: &Variant<'b>, properties: &'b Properties) -> PublishHead<'b> {
        PublishHead {
            properties,
            ..variant.head(self.message(), self.now)
        }
    }
}
