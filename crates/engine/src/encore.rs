//! The same again: a publisher that goes on with the topic it has just published to.
//!
//! What was decided about its last message, whether it may publish there, who has interest, in which encoding each can have
//! it, holds until subscriptions or permissions change, see [`crate::repertoire`]. So its next packets are only put behind
//! the last in the turn's segment, once for each choir: those who are sent the same bytes; where these are the publisher's
//! own, all packets of a read as they came. Whatever happens that is no encore interrupts it before anything else is done;
//! only then each member's stretch grows by what was added. It goes on, in this turn or a later one, if every member can again
//! be given a message at once: connection, output and queue of each are looked at.

mod choir;

use crate::connection::Connection;
use crate::dirty::Dirty;
use crate::id::{ConnectionKey, SessionKey, ShardId};
use crate::message::Message;
use crate::sending::Share;
use crate::session::Session;
use crate::subscription::Subscription;
use alloc::vec::Vec;
use choir::Choir;
use core::mem;
use slotmap::SlotMap;
use smallvec::SmallVec;
use weir_codec::{Properties, Run, Segment, Stretch, TopicName, link_bytes_for};
use weir_router::GroupId;

/// A segment of this size is not added to any more.
const SEGMENT_BYTES: usize = 8 << 20;

/// What a packet has beside topic, properties and payload, at most.
const FRAME_BYTES: usize = 32;

/// Who was given a publisher's last message.
#[derive(Debug, Default)]
pub(crate) struct Encore {
    /// The message that others go on from; `None`: none may.
    of: Option<First>,
    /// Whether nothing else has happened since its last message.
    is_on: bool,
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

#[derive(Debug)]
struct First {
    /// Whose it was, `None` on another shard.
    publisher: Option<SessionKey>,
    topic: TopicName,
    /// How often anything that it rests on had changed before.
    changes: u64,
    /// A larger packet is better linked.
    most_bytes: usize,
}

impl Encore {
    /// A message goes out, which may be the first of several.
    pub(crate) fn begin(&mut self) {
        debug_assert!(!self.is_on, "what was added is not handed out yet");
        self.of = None;
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
        (message, segment): (&Message, &Segment),
    ) {
        let Some(share) = share else {
            return self.rest.others.push((session, *subscription));
        };
        match self.choirs.iter_mut().find(|choir| choir.has(&share)) {
            Some(choir) => choir.join(share),
            None => {
                let members = self.spares.pop().unwrap_or_default();
                let choir = Choir::of(share, message, segment, members);
                self.choirs.extend(choir);
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

    /// The publisher may go on from its message, which was sent after so many `changes`.
    pub(crate) fn expect(&mut self, publisher: Option<SessionKey>, first: &Message, changes: u64) {
        self.is_on = !self.is_incomplete;
        let receivers = self.choirs.iter().map(|choir| choir.members.len()).min();
        self.of = self.is_on.then(|| First {
            publisher,
            // It may be remembered longer than the publisher's other packets.
            topic: first.topic.detached(),
            changes,
            most_bytes: link_bytes_for(receivers.unwrap_or(1)),
        });
    }

    /// Whether its messages are going out, and nothing else has happened since the last.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether what it rests on is still as it was.
    #[inline]
    pub(crate) fn holds(&self, changes: u64) -> bool {
        let of = self.of.as_ref();
        of.is_some_and(|first| first.changes == changes)
    }

    /// What this session may go on with; `None` is another shard.
    #[inline]
    pub(crate) fn topic(&self, publisher: Option<SessionKey>) -> Option<&TopicName> {
        let of = self.of.as_ref();
        of.filter(|first| first.publisher == publisher)
            .map(|first| &first.topic)
    }

    /// The most bytes of a packet that goes on.
    #[inline]
    pub(crate) fn most_bytes(&self) -> usize {
        self.of.as_ref().map_or(0, |first| first.most_bytes)
    }

    /// How many members there is memory for.
    pub(crate) fn members(&self) -> usize {
        let choirs = self.choirs.iter().map(|choir| &choir.members);
        let members: usize = choirs.chain(&self.spares).map(Vec::capacity).sum();
        members + self.rest.others.capacity()
    }

    /// Goes on after something else has happened, if a message would again be every member's next, and nobody else's to whom it
    /// could go at once: who had to be asked may join a choir then. Returns whether it does.
    pub(crate) fn resume(
        &mut self,
        sessions: &SlotMap<SessionKey, Session>,
        connections: &SlotMap<ConnectionKey, Connection>,
        segment: &mut Segment,
    ) -> bool {
        let may_join = |(to, _): &(SessionKey, Subscription)| {
            let session = sessions.get(*to);
            session.is_some_and(|it| it.connection.is_some() && it.is_next())
        };
        self.is_on = !self.rest.others.iter().any(may_join)
            && self
                .choirs
                .iter_mut()
                .all(|choir| segment.admits(choir.alike) && choir.is_ready(sessions, connections));
        self.is_on
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
        dirty: &mut Dirty,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) -> u64 {
        let Some(First { topic, .. }) = &self.of else {
            return 0;
        };
        let choirs = self.choirs.iter_mut();
        choirs
            .map(|choir| choir.sing(topic, payload, properties, dirty, connections))
            .sum()
    }

    /// Adds a run that is [within](Encore::within) the room for all choirs; returns how many deliveries that is.
    pub(crate) fn add_run(
        &mut self,
        run: &Run<'_>,
        dirty: &mut Dirty,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) -> u64 {
        let Some(First { topic, .. }) = &self.of else {
            return 0;
        };
        let run = &run.first(run.len().saturating_sub(usize::from(fault!(RunLosesLast))));
        let mut deliveries = 0;
        for choir in &mut self.choirs {
            if let Some(next) = dirty.segment.publish_as_it_came(choir.alike, run) {
                choir.add(next, dirty, connections);
                deliveries += choir.members.len() as u64 * run.len() as u64;
                continue;
            }
            for packet in run.packets() {
                let (payload, properties) = (packet.payload, &Properties::new());
                deliveries += choir.sing(topic, payload, properties, dirty, connections);
            }
        }
        deliveries
    }

    /// Whether members are still to be handed what was added for them.
    #[inline]
    pub(crate) fn has_added(&self) -> bool {
        self.is_on && self.choirs.iter().any(|choir| choir.added.is_some())
    }

    /// Who gets the message beside the choirs.
    #[inline]
    pub(crate) fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Whether somebody is likely to keep what goes to others than the choirs.
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

    /// Something else happens: what was added is given to every member.
    #[inline]
    pub(crate) fn interrupt(
        &mut self,
        dirty: &mut Dirty,
        connections: &mut SlotMap<ConnectionKey, Connection>,
    ) {
        if !mem::take(&mut self.is_on) {
            return;
        }
        for choir in &mut self.choirs {
            choir.hand_out(dirty, connections);
            // The segment may be cleared before it goes on.
            if !fault!(EncoreLooksBack) {
                choir.like = None;
            }
        }
    }

    /// The room that is left in the fullest output, and the size of the largest packet that all take.
    #[inline]
    fn room(&self, outbox_bytes: usize, segment: &Segment) -> (usize, usize) {
        let mut room = match segment.len() < SEGMENT_BYTES {
            true => (usize::MAX, self.most_bytes()),
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

#[cfg(test)]
impl Encore {
    /// One with memory for so many members.
    pub(crate) fn with_room(members: usize) -> Self {
        Self {
            spares: alloc::vec![Vec::with_capacity(members)],
            ..Self::default()
        }
    }
}

impl Rest {
    /// Whether none but groups gets it.
    pub(crate) fn is_for_groups(&self) -> bool {
        self.others.is_empty() && self.shards.is_empty()
    }

    /// Whether nobody gets it.
    pub(crate) fn is_empty(&self) -> bool {
        self.others.is_empty() && self.shards.is_empty() && self.groups.is_empty()
    }
}
