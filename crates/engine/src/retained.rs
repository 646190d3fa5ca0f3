//! Retained messages: one a topic, the same on every shard.
//!
//! Every shard holds all of them, so a new subscription is served where it is made. Two shards may set one topic at the
//! same moment and hear of each other in opposite order; each value therefore carries a stamp (logical time, shard), the
//! higher one wins everywhere, and a deletion leaves its stamp behind for a while so that an older value can't come back.
//!
//! A subscription made while a value is set gets it once: values of before the subscription are replayed as
//! retained, later ones were delivered live. `arrival` tells them apart.
//!
//! Nearly all of them are small and plain: they lie side by side in the tree, as the packets that a replay copies in order.
//! One that is large or has properties is kept as it is.

mod kept;

use crate::id::{MessageNumber, ShardId};
use crate::message::Message;
use crate::settings::Settings;
use crate::subscription::Subscription;
use crate::time::Instant;
use crate::timers::{Timer, TimerToken, Timers};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::ControlFlow;
pub(crate) use kept::{Kept, KeptMessage};
use kept::{Mark, write_packet};
use weir_codec::{Qos, TopicFilter, TopicName};
use weir_router::{Content, Page, RetainedTopic, RetainedTree};

/// Which of two values of one topic is the later one.
pub(crate) type Stamp = (u64, ShardId);

/// How long a deletion is remembered: longer than any message between shards is under way.
const TOMBSTONE_SECONDS: u32 = 60;

/// So many deletions are remembered at most; of more, the oldest are forgotten early.
const TOMBSTONES: usize = 16_384;

/// And their topics together have so many bytes at most.
const TOMBSTONES_BYTES: usize = 4 << 20;

/// A payload is copied into the trees of all shards if the copies together have no more bytes than this; they share a larger one.
const COPIES_BYTES: usize = 1024;

/// The retained messages of all topics.
pub(crate) struct Retained {
    tree: RetainedTree<Mark, Entry>,
    /// Where the packet of a plain message is written, for the tree to copy.
    packet: Vec<u8>,
    /// The largest payload that is copied.
    plain_bytes: usize,
    messages: usize,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
    arrivals: u64,
    /// Deletions that are remembered, oldest first; one that was overtaken by a new value is still listed.
    tombstones: VecDeque<(TopicName, u64)>,
    tombstone_bytes: usize,
    max_tombstones: usize,
}

/// What a topic has beside its mark and its content, which is the packet of a message that is plain, and else the topic.
#[derive(Debug)]
struct Entry {
    number: MessageNumber,
    /// A message that is not plain; a deletion has none.
    whole: Option<Arc<Message>>,
    stamp: Stamp,
    /// Looks at the topic again when its message expires or its deletion is old.
    timer: Option<TimerToken>,
}

/// A new subscription's wish for the retained messages that match it.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) subscription: Subscription,
    after: Option<Box<str>>,
    before_arrival: u64,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Everything was given out.
    Done,
    /// There may be more.
    More,
    /// There is more, but it was not wanted now.
    HeldUp,
}

/// The limit on retained messages is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Retained {
    pub(crate) fn new(settings: &Settings, shards: u16) -> Self {
        Self {
            tree: RetainedTree::new(),
            packet: Vec::new(),
            plain_bytes: COPIES_BYTES / usize::from(shards.max(1)),
            messages: 0,
            bytes: 0,
            max_messages: settings.max_retained_messages,
            max_bytes: settings.max_retained_bytes,
            arrivals: 0,
            tombstones: VecDeque::new(),
            tombstone_bytes: 0,
            // Nobody's older value can come back where there is nobody else.
            max_tombstones: if shards == 1 { 0 } else { TOMBSTONES },
        }
    }

    /// How many topics have a retained message.
    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    /// Whether `message` could be stored now. What makes it no fuller always can: shards that store something at the same
    /// moment may go beyond the limit together.
    pub(crate) fn check_room(&self, message: &Message) -> Result<(), Full> {
        if self.messages < self.max_messages && self.bytes + message.cost_bytes() <= self.max_bytes
        {
            return Ok(());
        }
        let replaced = self.cost_bytes(message.topic.as_str()).unwrap_or(0);
        let added = usize::from(replaced == 0);
        let bytes = self.bytes - replaced + message.cost_bytes();
        if message.payload.is_empty()
            || (added == 0 || self.messages < self.max_messages)
                && (bytes <= self.max_bytes || bytes <= self.bytes)
        {
            Ok(())
        } else {
            Err(Full)
        }
    }

    /// Sets or, with an empty payload, deletes the topic's message [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7],
    /// unless a later one is there; returns whether it did.
    pub(crate) fn set(
        &mut self,
        message: &Arc<Message>,
        stamp: Stamp,
        now: Instant,
        timers: &mut Timers,
    ) -> bool {
        let topic = &message.topic;
        let old = self.tree.get(topic.as_str());
        let old_bytes = old.as_ref().and_then(cost_bytes);
        if old.is_some_and(|old| old.value.stamp >= stamp) && !fault!(StampIgnored) {
            return false;
        }
        self.discount(old_bytes);
        self.arrivals += 1;
        let is_tombstone = message.payload.is_empty() && !fault!(DeletionKeepsMessage);
        let tidy_at = match is_tombstone {
            true => Some(now.plus_seconds(TOMBSTONE_SECONDS)),
            false => message.expires_at,
        };
        let packet = match !is_tombstone && self.is_plain(message) {
            true => write_packet(message, &mut self.packet),
            false => None,
        };
        let content = packet.unwrap_or(Content::of_topic(topic.as_str()));
        let mark = Mark {
            arrival: self.arrivals,
            plain: packet.map(|_| message.qos),
        };
        let entry = Entry {
            number: message.number,
            whole: (packet.is_none() && !is_tombstone).then(|| Arc::clone(message)),
            stamp,
            timer: tidy_at.map(|at| timers.set(at, Timer::Retained(topic.clone()))),
        };
        if let Some(old) = self.tree.insert(content, mark, entry) {
            timers.clear(old.timer);
        }
        if is_tombstone {
            self.tombstone_bytes += topic.as_str().len();
            self.tombstones.push_back((topic.clone(), self.arrivals));
            self.bury_oldest(timers);
        } else {
            self.messages += 1;
            self.bytes += message.cost_bytes();
        }
        true
    }

    /// Keeps the remembered deletions within their limits.
    fn bury_oldest(&mut self, timers: &mut Timers) {
        while self.tombstones.len() > self.max_tombstones || self.tombstone_bytes > TOMBSTONES_BYTES
        {
            let Some((topic, arrival)) = self.pop_tombstone() else {
                return;
            };
            let kept = self.tree.get(topic.as_str());
            if kept.is_some_and(|kept| kept.mark.arrival == arrival)
                && let Some(entry) = self.tree.remove(topic.as_str())
            {
                timers.clear(entry.timer);
            }
        }
    }

    fn pop_tombstone(&mut self) -> Option<(TopicName, u64)> {
        let tombstone = self.tombstones.pop_front()?;
        self.tombstone_bytes -= tombstone.0.as_str().len();
        Some(tombstone)
    }

    /// The topic's timer fired: its message has expired or its deletion is old. Returns whether a message expired.
    pub(crate) fn tidy(&mut self, topic: &TopicName) -> bool {
        let Some(old) = self.tree.get(topic.as_str()) else {
            return false;
        };
        let (old_bytes, arrival) = (cost_bytes(&old), old.mark.arrival);
        let is_tombstone = KeptMessage::of(&old).is_none();
        self.tree.remove(topic.as_str());
        self.discount(old_bytes);
        if is_tombstone {
            // Timers of deletions fire in the order of the list.
            while let Some((_, of)) = self.tombstones.front()
                && *of <= arrival
            {
                self.pop_tombstone();
            }
        }
        !is_tombstone
    }

    /// A replay of everything that is set now, for a subscription made now.
    pub(crate) fn replay(&self, subscription: Subscription) -> Replay {
        Replay {
            subscription,
            after: None,
            before_arrival: self.arrivals,
        }
    }

    /// The next part of a replay: gives messages to the subscriber, in order, as long as `give` goes on and there are
    /// `looks_left`, of which each topic takes one. Who takes packets is given them for what goes out with QoS 0.
    pub(crate) fn page<'r>(
        &'r self,
        filter: &TopicFilter,
        replay: &mut Replay,
        takes_packets: bool,
        now: Instant,
        looks_left: &mut usize,
        mut give: impl FnMut(Kept<'r>) -> ControlFlow<()>,
    ) -> Progress {
        let (before, granted) = (replay.before_arrival, replay.subscription.qos);
        let is_due = |mark: Mark| mark.arrival <= before || fault!(ReplayedThoughLive);
        // The highest QoS that goes out as 0.
        let highest = match granted {
            Qos::AtMostOnce => Qos::ExactlyOnce,
            _ => Qos::AtMostOnce,
        };
        let is_packet = |mark: Mark| mark.plain.is_some_and(|qos| qos <= highest) && is_due(mark);
        let after = replay.after.as_deref();
        let page = self.tree.page(filter, after, looks_left, |topics| {
            while topics.len() > 0 {
                // Nothing is taken that is not wanted now.
                let mut rest = topics.clone();
                if takes_packets && let Some(packets) = rest.take_together(is_packet) {
                    give(Kept::Packets(packets))?;
                } else if let Some(kept) = rest.next()
                    && is_due(kept.mark)
                    && let Some(message) = KeptMessage::of(&kept)
                    && !message.is_expired(now)
                {
                    give(Kept::Message(message))?;
                }
                *topics = rest;
            }
            ControlFlow::Continue(())
        });
        match page {
            Page::Done => Progress::Done,
            Page::More(last) => {
                replay.after = Some(last);
                Progress::More
            }
            Page::Stopped(last) => {
                replay.after = last.or(replay.after.take());
                Progress::HeldUp
            }
        }
    }

    /// All retained messages with their stamps.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (Arc<Message>, Stamp)> {
        self.tree.iter().filter_map(|kept| {
            let message = KeptMessage::of(&kept)?.to_message()?;
            Some((message, kept.value.stamp))
        })
    }

    fn cost_bytes(&self, topic: &str) -> Option<usize> {
        self.tree.get(topic).as_ref().and_then(cost_bytes)
    }

    fn is_plain(&self, message: &Message) -> bool {
        message.payload.len() <= self.plain_bytes
            && message.properties.is_empty()
            && message.expires_at.is_none()
    }

    /// A message that is counted with so many bytes is replaced or gone.
    fn discount(&mut self, bytes: Option<usize>) {
        if let Some(bytes) = bytes {
            self.messages -= 1;
            self.bytes -= bytes;
        }
    }
}

/// What a topic's message is counted with; `None`: it is deleted.
fn cost_bytes(kept: &RetainedTopic<'_, Mark, Entry>) -> Option<usize> {
    KeptMessage::of(kept).map(|message| message.cost_bytes())
}
