//! The same again: a publisher that goes on with the topic it has just published to.
//!
//! What was decided about its last message, whether it may publish there, who has interest, who can have it at once and in
//! which encoding, holds for the next one as long as nothing else happens in the shard. So the next packets are only put
//! behind the last in the turn's segment, once for each choir: those who are sent the same bytes; where these are the
//! publisher's own, all packets of a read as they came. Whatever happens that is no encore ends it before anything else is
//! done; only then each member's stretch grows by what was added.

use crate::cast::is_same;
use crate::connection::Connection;
use crate::id::{ConnectionKey, SessionKey, ShardId};
use crate::message::Message;
use crate::sending::Share;
use crate::subscription::Subscription;
use alloc::vec::Vec;
use core::mem;
use slotmap::SlotMap;
use smallvec::SmallVec;
use weir_codec::{Properties, PublishHead, Run, Segment, Stretch, TopicName};
use weir_router::GroupId;

/// A segment of this size is not added to any more.
const SEGMENT_BYTES: usize = 8 << 20;

/// What a packet has beside topic, properties and payload, at most.
const FRAME_BYTES: usize = 32;

/// Who was given the last message.
#[derive(Debug, Default)]
pub(crate) struct Encore {
    /// The first message; `None`: there is no encore.
    of: Option<First>,
    choirs: Vec<Choir>,
    rest: Rest,
    /// Somebody was given it who is not noted here.
    is_incomplete: bool,
    /// Memory of earlier choirs.
    spares: Vec<Vec<ConnectionKey>>,
}

/// Who gets it beside the choirs.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Those who were not given a share, and have to be asked again.
    pub(crate) others: Vec<(SessionKey, Subscription)>,
    /// The other shards that want it.
    pub(crate) shards: SmallVec<[ShardId; 8]>,
    /// The shared subscriptions of this one; no subscription changes while there is an encore.
    pub(crate) groups: SmallVec<[GroupId; 2]>,
}

/// The message that others go on from.
#[derive(Debug)]
struct First {
    /// Whose it was, `None` on another shard.
    publisher: Option<SessionKey>,
    topic: TopicName,
    properties: Properties,
    payload_bytes: usize,
}

/// Connections that are sent the same bytes.
#[derive(Debug)]
struct Choir {
    members: Vec<ConnectionKey>,
    /// Where the first message stands.
    first: Stretch,
    /// What was added since.
    added: Option<Stretch>,
    /// The most that was in the output of one of them.
    output_bytes: usize,
    /// The least that one of them takes.
    max_packet_bytes: usize,
}

impl Encore {
    /// A message goes out, which may be the first of several.
    pub(crate) fn begin(&mut self) {
        debug_assert!(self.of.is_none(), "what was added is not handed out yet");
        self.is_incomplete = false;
        self.rest.others.clear();
        self.rest.shards.clear();
        self.rest.groups.clear();
        for mut choir in self.choirs.drain(..) {
            choir.members.clear();
            self.spares.push(choir.members);
        }
    }

    /// A session was handed the message, and perhaps its share of the segment.
    #[inline]
    pub(crate) fn note(
        &mut self,
        session: SessionKey,
        subscription: &Subscription,
        share: Option<Share>,
    ) {
        let Some(share) = share else {
            return self.rest.others.push((session, *subscription));
        };
        match self
            .choirs
            .iter_mut()
            .find(|choir| choir.first == share.stretch)
        {
            Some(choir) => choir.join(share),
            None => {
                let members = self.spares.pop().unwrap_or_default();
                self.choirs.push(Choir::of(share, members));
            }
        }
    }

    /// Whether anybody was given a share.
    pub(crate) fn has_choirs(&self) -> bool {
        !self.choirs.is_empty()
    }

    /// The message goes there, too.
    pub(crate) fn note_shards(&mut self, shards: &[ShardId]) {
        self.rest.shards.extend_from_slice(shards);
    }

    /// A member of this group gets it.
    pub(crate) fn note_group(&mut self, group: GroupId) {
        self.rest.groups.push(group);
    }

    /// The message goes further than is noted here.
    pub(crate) fn spoil(&mut self) {
        self.is_incomplete = true;
    }

    /// The publisher may go on from its message.
    pub(crate) fn expect(&mut self, publisher: Option<SessionKey>, first: &Message) {
        let topic = match self.is_kept() {
            true => first.topic.detached(),
            false => first.topic.clone(),
        };
        self.of = (!self.is_incomplete).then(|| First {
            publisher,
            topic,
            properties: first.properties.clone(),
            payload_bytes: first.payload.len(),
        });
    }

    /// What this session may go on with; `None` is another shard.
    pub(crate) fn topic(&self, publisher: Option<SessionKey>) -> Option<&TopicName> {
        let of = self.of.as_ref();
        of.filter(|first| first.publisher == publisher)
            .map(|first| &first.topic)
    }

    /// Whether the message may go the way of the last one, and is for its topic.
    #[inline]
    pub(crate) fn is_of(&self, publisher: Option<SessionKey>, topic: &TopicName) -> bool {
        let of = self.of.as_ref();
        of.is_some_and(|first| first.publisher == publisher && first.topic == *topic)
    }

    /// Whether every member can have one more message, of `content_bytes`.
    #[inline]
    pub(crate) fn has_room(
        &self,
        content_bytes: usize,
        outbox_bytes: usize,
        segment: &Segment,
    ) -> bool {
        let (room_bytes, max_packet_bytes) = self.room(outbox_bytes, segment);
        room_bytes > 0 && content_bytes + FRAME_BYTES <= max_packet_bytes
    }

    /// The packets at the front of the run that every member can have.
    #[inline]
    pub(crate) fn within<'a>(
        &self,
        run: Run<'a>,
        outbox_bytes: usize,
        segment: &Segment,
    ) -> Run<'a> {
        let (room_bytes, max_packet_bytes) = self.room(outbox_bytes, segment);
        run.within(room_bytes, max_packet_bytes, FRAME_BYTES)
    }

    /// Adds one more message for all choirs; returns how many sessions that is.
    pub(crate) fn add(
        &mut self,
        payload: &[u8],
        properties: &Properties,
        segment: &mut Segment,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) -> u64 {
        let Some(first) = &self.of else {
            return 0;
        };
        let choirs = self.choirs.iter_mut();
        choirs
            .map(|choir| choir.sing(first, payload, properties, segment, connections))
            .sum()
    }

    /// Adds a run that is [within](Encore::within) the room for all choirs; returns how many deliveries that is.
    pub(crate) fn add_run(
        &mut self,
        run: &Run<'_>,
        segment: &mut Segment,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) -> u64 {
        let Some(first) = &self.of else {
            return 0;
        };
        let run = &run.first(run.len().saturating_sub(usize::from(fault!(RunLosesLast))));
        let mut deliveries = 0;
        for choir in &mut self.choirs {
            if let Some(next) = segment.publish_as_it_came(choir.first, run) {
                choir.add(next, segment, connections);
                deliveries += choir.members.len() as u64 * run.len() as u64;
                continue;
            }
            for packet in run.packets() {
                let (payload, properties) = (packet.payload, &Properties::new());
                deliveries += choir.sing(first, payload, properties, segment, connections);
            }
        }
        deliveries
    }

    /// Who gets the message beside the choirs.
    #[inline]
    pub(crate) fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Whether somebody is likely to keep what goes to others than the choirs: the topic is detached then.
    pub(crate) fn is_kept(&self) -> bool {
        !self.rest.others.is_empty() || !self.rest.shards.is_empty()
    }

    /// Who gets it beside the choirs; to be [put back](Encore::put_back).
    pub(crate) fn take_rest(&mut self) -> Rest {
        mem::take(&mut self.rest)
    }

    pub(crate) fn put_back(&mut self, rest: Rest) {
        self.rest = rest;
    }

    /// It is over: what was added is given to every member.
    #[inline]
    pub(crate) fn end(
        &mut self,
        segment: &Segment,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) {
        if self.of.is_some() {
            self.of = None;
            for choir in &mut self.choirs {
                choir.hand_out(segment, connections);
            }
        }
    }

    /// The room that is left in the fullest output, and the size of the largest packet that all take.
    #[inline]
    fn room(&self, outbox_bytes: usize, segment: &Segment) -> (usize, usize) {
        let mut room = match segment.len() < SEGMENT_BYTES {
            true => (usize::MAX, usize::MAX),
            false => (0, 0),
        };
        for choir in &self.choirs {
            let used_bytes = choir.output_bytes + choir.added.map_or(0, Stretch::len);
            room.0 = room.0.min(outbox_bytes.saturating_sub(used_bytes));
            room.1 = room.1.min(choir.max_packet_bytes);
        }
        room
    }
}

impl Rest {
    /// Whether none but groups gets it.
    pub(crate) fn is_for_groups(&self) -> bool {
        self.others.is_empty() && self.shards.is_empty()
    }

    /// Whether none but other shards gets it.
    #[inline]
    pub(crate) fn is_for_shards(&self) -> bool {
        self.others.is_empty() && self.groups.is_empty()
    }

    /// Whether nobody gets it.
    pub(crate) fn is_empty(&self) -> bool {
        self.others.is_empty() && self.shards.is_empty() && self.groups.is_empty()
    }
}

impl Choir {
    fn of(first: Share, members: Vec<ConnectionKey>) -> Self {
        let mut choir = Self {
            members,
            first: first.stretch,
            added: None,
            output_bytes: 0,
            max_packet_bytes: usize::MAX,
        };
        choir.join(first);
        choir
    }

    fn join(&mut self, share: Share) {
        self.members.push(share.connection);
        self.output_bytes = self.output_bytes.max(share.output_bytes);
        self.max_packet_bytes = self.max_packet_bytes.min(share.max_packet_bytes);
    }

    /// Adds one more message, for which there is room; returns how many sessions that is.
    fn sing(
        &mut self,
        first: &First,
        payload: &[u8],
        properties: &Properties,
        segment: &mut Segment,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) -> u64 {
        let has_same_head = payload.len() == first.payload_bytes
            && is_same(properties.encoded(), first.properties.encoded());
        // The message before could be written so.
        let next = match has_same_head {
            true => segment.publish_like(self.first, payload),
            false => write(self.first, &first.topic, properties, payload, segment),
        };
        let Some(next) = next else {
            return 0;
        };
        self.add(next, segment, connections);
        self.members.len() as u64
    }

    fn add(
        &mut self,
        next: Stretch,
        segment: &Segment,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) {
        if let Some(added) = self.added {
            self.added = added.joined(next);
            if self.added.is_some() {
                return;
            }
            // Somebody else's packet lies between.
            self.added = Some(added);
            self.hand_out(segment, connections);
        }
        self.added = Some(next);
    }

    fn hand_out(
        &mut self,
        segment: &Segment,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) {
        let Some(added) = self.added.take() else {
            return;
        };
        self.output_bytes += added.len();
        for key in self
            .members
            .iter()
            .skip(usize::from(fault!(EncoreMissesOne)))
        {
            if let Some(connection) = connections.get_mut(*key) {
                connection.output.share(segment, added);
            }
        }
    }
}

/// Appends a packet of the kind that `first` is.
fn write(
    first: Stretch,
    topic: &TopicName,
    properties: &Properties,
    payload: &[u8],
    segment: &mut Segment,
) -> Option<Stretch> {
    let alike = segment.alike(first)?;
    let head = PublishHead {
        version: alike.version,
        topic: match alike.topic_alias {
            None => topic.as_str(),
            Some(_) => "",
        },
        topic_alias: alike.topic_alias,
        message_expiry_interval: None,
        subscription_identifiers: alike.identifier.as_slice(),
        properties,
    };
    segment.publish(&head, payload, false)
}
