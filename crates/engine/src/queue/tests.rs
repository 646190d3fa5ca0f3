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

fn words(message: &Message) -> String {
    let payload = core::str::from_utf8(&message.payload).unwrap();
    format!("{} {payload}", message.topic.as_str())
}

fn words_of(waiting: &Waiting) -> String {
    match &waiting.content {
        Content::Here(message) => words(message),
        Content::Parked { .. } => panic!("nothing was parked"),
    }
}

fn cost_bytes(envelope: &Envelope) -> usize {
    envelope.message.cost_bytes()
}

fn push(queue: &mut Queue, envelope: Envelope) -> bool {
    let takes = queue.takes(envelope.message.cost_bytes(), ROOM);
    if takes {
        queue.push(envelope);
    }
    takes
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
                    assert_eq!(push(&mut queue, envelope.clone()), naive.push(envelope));
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
                    let keeps = |message: &Message| message.topic.as_str() != topic;
                    queue.retain(|_, message| keeps(message));
                    naive
                        .waiting
                        .retain(|(envelope, ..)| keeps(&envelope.message));
                }
                _ => {
                    let oldest = (!naive.waiting.is_empty()).then(|| naive.waiting.remove(0).0);
                    let oldest = oldest.map(|oldest| words(&oldest.message));
                    assert_eq!(queue.front().map(words_of), oldest);
                    let popped = queue.pop();
                    assert_eq!(popped.map(|popped| words(&popped.message)), oldest);
                }
            }
            let listed: Vec<_> = queue.iter().map(words_of).collect();
            let expected: Vec<_> = naive
                .waiting
                .iter()
                .map(|(envelope, ..)| words(&envelope.message))
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
    queue.push(envelope("first", "x", Qos::AtLeastOnce, 0));
    for n in 0..100_000 {
        let topic = format!("t/{}", n % 50);
        let _ = queue.push_lossy(envelope(&topic, "x", Qos::AtMostOnce, 0), n % 3 == 0, ROOM);
    }
    assert!(queue.waiting.len() <= 2 * ROOM.messages + FEW_HOLES);
    let lossy = queue.lossy.as_ref().unwrap();
    assert!(lossy.places.len() <= queue.waiting.len() && lossy.latest.len() <= queue.len());
    let first = queue.pop().unwrap();
    assert_eq!(words(&first.message), "first x");
}

/// A message that is in the store, with the same number as its sequence.
fn kept(number: u64, payload_bytes: u64) -> Envelope {
    let payload = "x".repeat(usize::try_from(payload_bytes).unwrap());
    let mut envelope = envelope("t", &payload, Qos::AtLeastOnce, 0);
    Arc::make_mut(&mut envelope.message).number = MessageNumber(number);
    envelope.sequence = Sequence::new(number);
    envelope
}

/// Away and back at random, with answers that come late, or in between.
#[test]
fn what_is_parked_comes_back_in_its_place() {
    for seed in 0..200 {
        let (mut queue, mut dice) = (Queue::default(), Dice(seed));
        let (mut stored, mut expected) = (BTreeMap::new(), VecDeque::new());
        let (mut is_away, mut asked) = (false, Vec::new());
        for number in 1..400 {
            match dice.roll(6) {
                0..=2 => {
                    let envelope = kept(number, dice.roll(3) * 30_000);
                    stored.insert(number, Arc::clone(&envelope.message));
                    expected.push_back(number);
                    queue.push(envelope);
                    if !is_away {
                        let lossy = self::envelope("q0", "", Qos::AtMostOnce, 0);
                        queue.push_lossy(lossy, dice.roll(2) == 0, ROOM);
                    }
                }
                3 if is_away => is_away = false,
                3 => {
                    is_away = true;
                    queue.drop_at_most_once();
                }
                4 if is_away => {
                    let newest = dice.roll(number).max(1);
                    queue.park(Sequence::new(newest).unwrap());
                    let parked = |waiting: &Waiting| match waiting.content {
                        Content::Here(_) => waiting.sequence.unwrap().get() > newest,
                        Content::Parked { .. } => true,
                    };
                    let is_older = queue.parked.is_none();
                    assert!(is_older || queue.iter().all(parked), "seed {seed}");
                }
                4 => {
                    while queue.front().is_some_and(|it| it.sequence.is_none()) {
                        queue.pop();
                    }
                    if let Some(envelope) = queue.pop() {
                        let number = expected.pop_front();
                        assert_eq!(Some(envelope.message.number.0), number, "seed {seed}");
                    }
                    asked.extend(queue.next_to_load());
                }
                _ => {
                    queue.has_loaded();
                    for number in core::mem::take(&mut asked) {
                        let message = Some(Arc::clone(&stored[&number.0]));
                        if !is_away {
                            assert_eq!(queue.loaded(number, message), None);
                        }
                    }
                }
            }
            let numbers = queue.iter().filter(|it| it.sequence.is_some());
            let numbers: VecDeque<u64> = numbers.map(|it| it.number().0).collect();
            assert_eq!(numbers, expected, "seed {seed}");
            let bytes: usize = queue.iter().map(Waiting::cost_bytes).sum();
            assert_eq!(queue.bytes(), bytes, "seed {seed}");
            for place in queue.first..queue.end() {
                let Some(waiting) = queue.at(place) else {
                    continue;
                };
                let is_parked = matches!(waiting.content, Content::Parked { .. });
                assert_eq!(queue.is_parked(place), is_parked, "seed {seed}, {place}");
            }
        }
    }
}

#[test]
fn an_entry_of_a_long_queue_is_small() {
    assert_eq!(size_of::<Option<Waiting>>(), 40);
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
