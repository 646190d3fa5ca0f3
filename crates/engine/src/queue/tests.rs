//! The queue against a list that does the same by looking at all of it.

use super::*;
use crate::id::MessageNumber;
use crate::message::Message;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use weir_codec::Properties;

const ROOM: Room = Room {
    messages: 40,
    bytes: 40 * 250,
    lossy_bytes: 16 * 250,
};

fn envelope(topic: &str, payload: &str, qos: Qos, identifier: u32) -> Envelope {
    let message = Message {
        number: MessageNumber::default(),
        topic: TopicName::try_from(topic).unwrap(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        properties: Properties::default(),
        qos,
        retain: false,
        expires_at: None,
    };
    Envelope {
        message: Arc::new(message),
        qos,
        retain: false,
        identifiers: (&[identifier][..]).into(),
        sequence: None,
    }
}

fn words(envelope: &Envelope) -> String {
    let payload = core::str::from_utf8(&envelope.message.payload).unwrap();
    format!("{} {payload}", envelope.message.topic.as_str())
}

/// The same, without cleverness.
#[derive(Default)]
struct Naive {
    waiting: Vec<(Envelope, bool, bool)>,
    missed: BTreeMap<u32, u64>,
}

impl Naive {
    fn bytes(&self, lossy_only: bool) -> usize {
        let counted = self
            .waiting
            .iter()
            .filter(|(_, lossy, _)| *lossy || !lossy_only);
        counted.map(|(envelope, ..)| cost_bytes(envelope)).sum()
    }

    fn fits(&self, envelope: &Envelope) -> bool {
        self.waiting.len() < ROOM.messages && self.bytes(false) + cost_bytes(envelope) <= ROOM.bytes
    }

    fn push(&mut self, envelope: Envelope) -> bool {
        let fits = self.fits(&envelope);
        if fits {
            self.waiting.push((envelope, false, false));
        }
        fits
    }

    fn miss(&mut self, envelope: &Envelope) {
        *self
            .missed
            .entry(envelope.identifiers.list()[0])
            .or_insert(0) += 1;
    }

    fn push_lossy(&mut self, envelope: Envelope, only_latest: bool) -> u64 {
        let mut lost = 0;
        let same = |(waiting, _, latest): &(Envelope, bool, bool)| {
            only_latest && *latest && waiting.message.topic == envelope.message.topic
        };
        if let Some(at) = self.waiting.iter().position(same) {
            let earlier = self.waiting[at].0.clone();
            self.miss(&earlier);
            let grows = cost_bytes(&envelope) > cost_bytes(&earlier);
            let more = cost_bytes(&envelope).wrapping_sub(cost_bytes(&earlier));
            let too_much = |sum: usize, limit| grows && sum + more > limit;
            if !too_much(self.bytes(false), ROOM.bytes)
                && !too_much(self.bytes(true), ROOM.lossy_bytes)
            {
                self.waiting[at].0 = envelope;
                return 1;
            }
            self.waiting.remove(at);
            lost += 1;
        }
        while !self.fits(&envelope) || self.bytes(true) + cost_bytes(&envelope) > ROOM.lossy_bytes {
            let Some(oldest) = self.waiting.iter().position(|(_, lossy, _)| *lossy) else {
                break;
            };
            let (oldest, ..) = self.waiting.remove(oldest);
            self.miss(&oldest);
            lost += 1;
        }
        if !self.fits(&envelope) {
            self.miss(&envelope);
            return lost + 1;
        }
        self.waiting.push((envelope, true, only_latest));
        lost
    }
}

/// Pseudo-random, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn it_holds_what_a_naive_list_holds() {
    for seed in 0..60 {
        let (mut queue, mut naive, mut dice) = (Queue::default(), Naive::default(), Dice(seed));
        let emptying = dice.roll(5);
        for step in 0..600 {
            let topic = format!("t/{}", dice.roll(12));
            let payload = format!(
                "{step}{}",
                "x".repeat(usize::try_from(dice.roll(90)).unwrap())
            );
            let identifier = u32::try_from(dice.roll(3)).unwrap();
            match dice.roll(8 + emptying) {
                0 => {
                    let envelope = envelope(&topic, &payload, Qos::AtLeastOnce, identifier);
                    assert_eq!(queue.push(envelope.clone(), ROOM), naive.push(envelope));
                }
                1..=3 => {
                    let envelope = envelope(&topic, &payload, Qos::AtMostOnce, identifier);
                    let lost = queue.push_lossy(envelope.clone(), false, ROOM);
                    assert_eq!(lost, naive.push_lossy(envelope, false));
                }
                4..=6 => {
                    let envelope = envelope(&topic, &payload, Qos::AtMostOnce, identifier);
                    let lost = queue.push_lossy(envelope.clone(), true, ROOM);
                    assert_eq!(lost, naive.push_lossy(envelope, true));
                }
                7 => {
                    let missed = queue.take_missed(&[identifier]);
                    assert_eq!(missed, naive.missed.remove(&identifier).unwrap_or(0));
                }
                8 => {
                    let keeps = |envelope: &Envelope| envelope.message.topic.as_str() != topic;
                    queue.retain(keeps);
                    naive.waiting.retain(|(envelope, ..)| keeps(envelope));
                }
                _ => {
                    let oldest = (!naive.waiting.is_empty()).then(|| naive.waiting.remove(0).0);
                    assert_eq!(queue.front().map(words), oldest.as_ref().map(words));
                    assert_eq!(queue.pop().as_ref().map(words), oldest.as_ref().map(words));
                }
            }
            let listed: Vec<_> = queue.iter().map(words).collect();
            let expected: Vec<_> = naive
                .waiting
                .iter()
                .map(|(envelope, ..)| words(envelope))
                .collect();
            assert_eq!(listed, expected, "seed {seed}, step {step}");
            assert_eq!(
                (queue.len(), queue.bytes()),
                (expected.len(), naive.bytes(false))
            );
            let holes = queue.waiting.len() - queue.messages;
            assert!(holes <= queue.messages + FEW_HOLES + 1, "{holes} holes");
        }
    }
}

#[test]
fn a_stream_of_lossy_messages_behind_one_that_waits_takes_no_more_and_more_memory() {
    let mut queue = Queue::default();
    assert!(queue.push(envelope("first", "x", Qos::AtLeastOnce, 0), ROOM));
    for n in 0..100_000 {
        let topic = format!("t/{}", n % 50);
        let _ = queue.push_lossy(envelope(&topic, "x", Qos::AtMostOnce, 0), n % 3 == 0, ROOM);
    }
    assert!(queue.waiting.len() <= 2 * ROOM.messages + FEW_HOLES);
    let lossy = queue.lossy.as_ref().unwrap();
    assert!(lossy.places.len() <= queue.waiting.len() && lossy.latest.len() <= queue.len());
    assert_eq!(queue.pop().as_ref().map(words).as_deref(), Some("first x"));
}

#[test]
fn sums_of_missed_messages_are_bounded() {
    let mut queue = Queue::default();
    for identifier in 1..=2000 {
        queue.miss(&[identifier], 1);
    }
    assert_eq!(queue.lossy.as_ref().unwrap().missed.len(), SUMS);
    queue.drop_at_most_once();
    assert_eq!(queue.take_missed(&[2000]), 0);
}
