//! Messages that wait for a session: it has no connection, or its window or its socket is full.
//!
//! Bounded in messages and bytes. When it is full the newcomer is not taken; who called decides what follows. Only *lossy*
//! messages, QoS 0 whose reader would rather lose old ones than new ones, make room for each other. They keep their places
//! among the others, so that order holds.
//!
//! A message that made room leaves a hole. Holes are swept up when they are the greater part, so nothing ever scans the queue
//! for one message.
//!
//! What waits for a client that is away need not be in memory: once the store has it, it is *parked*, and loaded again bit
//! by bit when the client takes it. The parked messages are one stretch of the queue: what was loaded is before it, what
//! came since behind it.

mod parked;

use crate::id::MessageNumber;
use crate::inflight::{Envelope, KeptIdentifiers, Sequence};
use crate::message::Message;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use parked::Stretch;
use weir_codec::{Qos, TopicName};

/// So many sums of missed messages are kept apart; of more, the one with the lowest identifier is forgotten.
const SUMS: usize = 1024;

/// So many holes are not worth sweeping up.
const FEW_HOLES: usize = 32;

/// One session's waiting messages, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// `None`: a hole. The first is none.
    waiting: VecDeque<Option<Waiting>>,
    /// The number of the first place; places are numbered on and on.
    first: u64,
    messages: usize,
    bytes: usize,
    /// What is parked; on the heap, since most have nothing.
    parked: Option<Box<Stretch>>,
    lossy: Option<Box<Lossy>>,
}

/// A message that waits, with what its session's subscriptions make of it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) content: Content,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Of QoS 0, and may be lost for others.
    is_lossy: bool,
    pub(crate) identifiers: KeptIdentifiers,
    pub(crate) sequence: Option<Sequence>,
}

/// Where a waiting message is.
#[derive(Debug)]
pub(crate) enum Content {
    Here(Arc<Message>),
    /// In the store.
    Parked {
        number: MessageNumber,
        cost_bytes: u32,
    },
}

/// The lossy ones among the waiting messages, and what was lost of them.
#[derive(Debug, Default)]
struct Lossy {
    /// Their places, oldest first; some may be holes.
    places: VecDeque<u64>,
    /// The places of those that a newer message of the topic takes over.
    latest: BTreeMap<TopicName, u64>,
    bytes: usize,
    /// What the client is still to be told of: how many messages it missed, by Subscription Identifier.
    missed: BTreeMap<u32, u64>,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// Of it for lossy messages; one may go over it.
    pub(crate) lossy_bytes: usize,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether nothing waits, and nothing is to be told of what was lost.
    pub(crate) fn has_nothing_to_say(&self) -> bool {
        self.messages == 0 && self.lossy.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    /// The bytes its messages are counted with.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is room for a message that is counted with so many bytes.
    pub(crate) fn takes(&self, cost_bytes: usize, room: Room) -> bool {
        self.has_room(cost_bytes, room) || fault!(QueueUnbounded)
    }

    /// Adds what it takes.
    pub(crate) fn push(&mut self, envelope: Envelope) {
        self.add(Waiting::new(envelope, false));
    }

    /// Adds a lossy `envelope`, in the place of the one before of its topic if it is of those of which `only_latest` counts.
    /// Returns how many messages are lost for it, itself perhaps.
    pub(crate) fn push_lossy(&mut self, envelope: Envelope, only_latest: bool, room: Room) -> u64 {
        let cost = envelope.message.cost_bytes();
        let mut lost = 0;
        if only_latest && let Some(place) = self.place_of(&envelope.message.topic) {
            if let Some(earlier) = self.replace(place, envelope.clone(), room) {
                if !fault!(LatestForgotten) {
                    self.miss(earlier.identifiers.list(), 1);
                }
                return 1;
            }
            lost += self.lose(place);
        }
        while !self.has_lossy_room(cost, room) && self.lose_oldest() {
            lost += 1;
        }
        self.sweep();
        if !self.has_room(cost, room) {
            self.miss(envelope.identifiers.list(), 1);
            return lost + 1;
        }
        let place = self.first + self.waiting.len() as u64;
        let lossy = self.lossy.get_or_insert_default();
        lossy.places.push_back(place);
        lossy.bytes += cost;
        if only_latest {
            lossy.latest.insert(envelope.message.topic.clone(), place);
        }
        self.add(Waiting::new(envelope, true));
        lost
    }

    /// Makes room for what will be added, and no more.
    pub(crate) fn expect(&mut self, messages: usize) {
        self.waiting.reserve_exact(messages);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().flatten()
    }

    pub(crate) fn front(&self) -> Option<&Waiting> {
        self.waiting.front()?.as_ref()
    }

    /// Takes the first message, unless it is parked.
    pub(crate) fn pop(&mut self) -> Option<Envelope> {
        let envelope = match self.is_parked(self.first) {
            true if fault!(ParkedOvertaken) => self.take(self.end() - 1)?.opened()?,
            true => return None,
            false => self.take(self.first)?.opened()?,
        };
        if let Some(lossy) = &mut self.lossy {
            while lossy
                .places
                .front()
                .is_some_and(|place| *place < self.first)
            {
                lossy.places.pop_front();
            }
        }
        if self.waiting.is_empty() {
            // A queue that was long once must not hold its memory for ever.
            self.waiting = VecDeque::new();
        }
        Some(envelope)
    }

    /// Remembers that the client missed so many messages that would have carried these identifiers.
    pub(crate) fn miss(&mut self, identifiers: &[u32], count: u64) {
        let missed = &mut self.lossy.get_or_insert_default().missed;
        *missed.entry(sum_of(identifiers)).or_insert(0) += count;
        if missed.len() > SUMS {
            missed.pop_first();
        }
    }

    /// Whether the client missed messages and was not told.
    pub(crate) fn has_missed(&self) -> bool {
        let lossy = self.lossy.as_ref();
        lossy.is_some_and(|lossy| !lossy.missed.is_empty())
    }

    /// How many messages the client missed before one with these identifiers, to be told with it.
    pub(crate) fn take_missed(&mut self, identifiers: &[u32]) -> u64 {
        let missed = self.lossy.as_mut().map(|lossy| &mut lossy.missed);
        missed
            .and_then(|missed| missed.remove(&sum_of(identifiers)))
            .unwrap_or(0)
    }

    /// Forgets QoS 0 messages, and what was lost of them: they do not outlive the connection.
    pub(crate) fn drop_at_most_once(&mut self) {
        self.retain(|waiting, _| waiting.qos != Qos::AtMostOnce);
        self.lossy = None;
    }

    /// Forgets all messages but these, and the parked ones: who may have those is asked when they are loaded.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&Waiting, &Message) -> bool) {
        for place in self.first..self.end() {
            if self
                .at(place)
                .is_some_and(|waiting| match &waiting.content {
                    Content::Here(message) => !keeps(waiting, message),
                    Content::Parked { .. } => false,
                })
            {
                let _ = self.take(place);
            }
        }
        self.close_ranks();
    }

    fn has_room(&self, cost: usize, room: Room) -> bool {
        self.messages < room.messages && self.bytes + cost <= room.bytes
    }

    fn has_lossy_room(&self, cost: usize, room: Room) -> bool {
        let lossy_bytes = self.lossy.as_ref().map_or(0, |lossy| lossy.bytes);
        self.has_room(cost, room) && lossy_bytes + cost <= room.lossy_bytes
    }

    /// The place behind the last.
    fn end(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    fn at(&self, place: u64) -> Option<&Waiting> {
        let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.waiting.get(index)?.as_ref()
    }

    fn at_mut(&mut self, place: u64) -> Option<&mut Waiting> {
        let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.waiting.get_mut(index)?.as_mut()
    }

    /// Where the message waits that a newer one of this topic takes the place of.
    fn place_of(&self, topic: &TopicName) -> Option<u64> {
        self.lossy.as_ref()?.latest.get(topic).copied()
    }

    /// Puts a message in the place of an earlier one, which is returned; `None`: there is no room for it.
    fn replace(&mut self, place: u64, envelope: Envelope, room: Room) -> Option<Waiting> {
        let before = self.at(place)?.cost_bytes();
        let after = envelope.message.cost_bytes();
        let lossy = self.lossy.as_mut()?;
        let bytes = self.bytes - before + after;
        let lossy_bytes = lossy.bytes - before + after;
        // What makes the queue no fuller always can.
        if after > before && (bytes > room.bytes || lossy_bytes > room.lossy_bytes) {
            return None;
        }
        lossy.bytes = lossy_bytes;
        self.bytes = bytes;
        let waiting = self.at_mut(place)?;
        Some(core::mem::replace(waiting, Waiting::new(envelope, true)))
    }

    /// Takes the oldest lossy message out; returns whether there was one.
    fn lose_oldest(&mut self) -> bool {
        while let Some(lossy) = &mut self.lossy
            && !fault!(OldestKept)
            && let Some(place) = lossy.places.pop_front()
        {
            if self.lose(place) > 0 {
                return true;
            }
        }
        false
    }

    /// Takes a message out that the client will miss; returns how many that is.
    fn lose(&mut self, place: u64) -> u64 {
        let Some(waiting) = self.take(place) else {
            return 0;
        };
        self.miss(waiting.identifiers.list(), 1);
        1
    }

    fn add(&mut self, waiting: Waiting) {
        self.bytes += waiting.cost_bytes();
        self.messages += 1;
        self.waiting.push_back(Some(waiting));
    }

    fn take(&mut self, place: u64) -> Option<Waiting> {
        let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
        let waiting = self.waiting.get_mut(index)?.take()?;
        let cost = waiting.cost_bytes();
        self.messages -= 1;
        if !fault!(QueueForgetsRoom) {
            self.bytes -= cost;
        }
        if let (true, Some(lossy)) = (waiting.is_lossy, &mut self.lossy) {
            lossy.bytes -= cost;
            if let Content::Here(message) = &waiting.content
                && lossy.latest.get(&message.topic) == Some(&place)
            {
                lossy.latest.remove(&message.topic);
            }
        }
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        self.trim_stretch();
        Some(waiting)
    }

    fn sweep(&mut self) {
        if self.waiting.len() - self.messages > self.messages + FEW_HOLES {
            self.close_ranks();
        }
    }

    /// Closes all holes: who stands behind one gets another place.
    fn close_ranks(&mut self) {
        let end = self.end();
        let ranks = core::mem::take(&mut self.waiting);
        let mut lossy = self.lossy.as_mut();
        if let Some(lossy) = &mut lossy {
            lossy.places.clear();
        }
        let mut stretch = self.parked.as_mut();
        for (before, waiting) in (self.first..).zip(ranks) {
            let now = self.first + self.waiting.len() as u64;
            if let Some(stretch) = &mut stretch {
                stretch.moved(before, now);
            }
            let Some(waiting) = waiting else {
                continue;
            };
            if let (true, Some(lossy), Content::Here(message)) =
                (waiting.is_lossy, &mut lossy, &waiting.content)
            {
                lossy.places.push_back(now);
                let latest = lossy.latest.get_mut(&message.topic);
                if let Some(place) = latest.filter(|place| **place == before) {
                    *place = now;
                }
            }
            self.waiting.push_back(Some(waiting));
        }
        let now = self.end();
        if let Some(stretch) = &mut self.parked {
            stretch.moved(end, now);
        }
    }
}

impl Waiting {
    fn new(envelope: Envelope, is_lossy: bool) -> Self {
        Self {
            content: Content::Here(envelope.message),
            qos: envelope.qos,
            retain: envelope.retain,
            is_lossy,
            identifiers: envelope.identifiers,
            sequence: envelope.sequence,
        }
    }

    /// The number of its message.
    pub(crate) fn number(&self) -> MessageNumber {
        match &self.content {
            Content::Here(message) => message.number,
            Content::Parked { number, .. } => *number,
        }
    }

    /// The message and what goes with it; `None`: it is parked.
    fn opened(self) -> Option<Envelope> {
        let Content::Here(message) = self.content else {
            return None;
        };
        Some(Envelope {
            message,
            qos: self.qos,
            retain: self.retain,
            identifiers: self.identifiers,
            sequence: self.sequence,
        })
    }

    /// What it is counted with in the queue.
    fn cost_bytes(&self) -> usize {
        match &self.content {
            Content::Here(message) => message.cost_bytes(),
            Content::Parked { cost_bytes, .. } => *cost_bytes as usize,
        }
    }
}

/// Messages are counted for their subscription: by its identifier, those without one together.
fn sum_of(identifiers: &[u32]) -> u32 {
    identifiers.first().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
