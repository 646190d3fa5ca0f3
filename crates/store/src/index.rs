//! What is alive, and in which batch: the index in memory.
//!
//! It holds keys and places, never values: a value that stays lies in the log, and is read when the log is cleaned or
//! opened. The batch that an entry names holds the one live copy of the record; every other copy is garbage. A message is
//! alive while records name it, so it is counted, not looked up from them. While a log is replayed the count of a message
//! may pass through zero, since the records that name it can lie behind it and before it; so nothing is forgotten until
//! [`Index::settle`].

mod bodies;
mod deliveries;
mod nearby;
pub(crate) mod place;

use crate::encoding::KeyRef;
use bodies::{Bodies, Body};
use deliveries::{Deliveries, Entry};
pub(crate) use place::{Held, Place};
use std::collections::HashMap;
use weir_codec::TopicName;
use weir_engine::{Key, SessionNumber};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What a delivery and a received packet id are counted with, whatever they take exactly: their entries are too many to
/// hold a length each.
const DELIVERY_BYTES: u32 = 20;
const RECEIVED_BYTES: u32 = 8;

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    sessions: Map<u64, Session>,
    messages: Bodies,
    retained: Map<Box<str>, (Held, u64)>,
    live_bytes: u64,
    is_replaying: bool,
}

/// The places that a change made garbage.
#[derive(Debug, Default)]
pub(crate) struct Dead {
    /// Of records with a key.
    pub(crate) records: Vec<Place>,
    /// Of messages that nothing names any more.
    pub(crate) messages: Vec<Place>,
}

/// How much of what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) sessions: usize,
    pub(crate) messages: usize,
    pub(crate) retained: usize,
}

impl Index {
    /// An empty index that is about to see a whole log.
    pub(crate) fn replaying() -> Self {
        Self {
            is_replaying: true,
            ..Self::default()
        }
    }

    /// What the live records are counted with.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(crate) fn census(&self) -> Census {
        Census {
            sessions: self.sessions.len(),
            messages: self.messages.len(),
            retained: self.retained.len(),
        }
    }

    /// Where the live copy is; `None` if there is none.
    pub(crate) fn place(&self, key: KeyRef<'_>) -> Option<Place> {
        let place = match key {
            KeyRef::Message(number) => self.messages.find(number)?.place,
            KeyRef::Session(number) => self.sessions.get(&number)?.record.place,
            KeyRef::Will(number) => self.sessions.get(&number)?.will.place,
            KeyRef::Subscription(number, filter) => {
                self.sessions.get(&number)?.subscriptions.get(filter)?.place
            }
            KeyRef::Received(number, id) => self.sessions.get(&number)?.received(id)?,
            KeyRef::Delivery(number, sequence) => {
                self.sessions.get(&number)?.deliveries.find(sequence)?.place
            }
            KeyRef::Retained(topic) => self.retained.get(topic)?.0.place,
        };
        (place != Place::NONE).then_some(place)
    }

    /// The live copy of the record with `key`, `len` bytes long, is now at `place`; it names this message, or 0.
    pub(crate) fn put(
        &mut self,
        key: KeyRef<'_>,
        names: u64,
        len: usize,
        place: Place,
        dead: &mut Dead,
    ) {
        let held = Held {
            place,
            bytes: cost(key, len),
        };
        self.live_bytes += u64::from(held.bytes);
        self.hold(names);
        let (replaced, named) = self.replace(key, names, held);
        self.live_bytes -= u64::from(replaced.bytes);
        if replaced.place != Place::NONE {
            dead.records.push(replaced.place);
        }
        self.release(named, dead);
    }

    /// The record with `key` is gone; with a session everything of it.
    pub(crate) fn delete(&mut self, key: KeyRef<'_>, dead: &mut Dead) {
        match key {
            KeyRef::Message(_) => {}
            KeyRef::Session(number) => self.delete_session(number, dead),
            KeyRef::Retained(topic) => {
                if let Some((held, named)) = self.retained.remove(topic) {
                    self.bury(held, named, dead);
                }
            }
            _ => {
                let session = self.sessions.get_mut(&key.number());
                if let Some((held, named)) = session.and_then(|it| it.remove(key)) {
                    self.bury(held, named, dead);
                }
            }
        }
    }

    /// The live copy was moved to `place`.
    pub(crate) fn relocate(&mut self, key: KeyRef<'_>, place: Place) {
        let session = self.sessions.get_mut(&key.number());
        let found = match key {
            KeyRef::Message(number) => self.messages.find_mut(number).map(|body| &mut body.place),
            KeyRef::Retained(topic) => self
                .retained
                .get_mut(topic)
                .map(|(held, _)| &mut held.place),
            _ => session.and_then(|it| it.place_mut(key)),
        };
        if let Some(found) = found {
            *found = place;
        }
    }

    /// Where a message is and how long it is.
    pub(crate) fn message(&self, number: u64) -> Option<Held> {
        let body = self.messages.find(number)?;
        let held = Held {
            place: body.place,
            bytes: body.bytes,
        };
        (held.place != Place::NONE).then_some(held)
    }

    /// The batch with this serial is written, and has a message so many bytes from its front.
    pub(crate) fn locate(&mut self, number: u64, serial: u64, offset: usize) {
        if let Some(body) = self.messages.find_mut(number)
            && body.place.serial() == serial
        {
            body.place = Place::at(serial, offset);
        }
    }

    /// Whether the message itself is there, and not only records that name it.
    pub(crate) fn has_message(&self, number: u64) -> bool {
        self.place(KeyRef::Message(number)).is_some()
    }

    /// Forgets a message that was put and that nothing names.
    pub(crate) fn drop_unnamed(&mut self, number: u64, dead: &mut Dead) {
        if self.messages.find(number).is_some_and(|it| it.refs == 0) {
            self.forget_message(number, dead);
        }
    }

    /// The log has been seen to its end. Answers with what cannot be served: records of sessions that are not there, and
    /// records that name messages that are not there.
    pub(crate) fn settle(&mut self, dead: &mut Dead) -> Vec<Key> {
        self.is_replaying = false;
        let (mut freed, mut missing) = (0, 0);
        self.messages.retain(|body| {
            let is_named = body.refs > 0;
            missing += usize::from(body.place == Place::NONE);
            if !is_named {
                freed += u64::from(body.bytes);
                dead.messages.push(body.place);
            }
            is_named
        });
        self.live_bytes -= freed;
        for session in self.sessions.values_mut() {
            session.deliveries.settle();
        }
        let mut broken = self.without_session();
        if missing > 0 {
            broken.extend(self.without_message());
        }
        broken.sort_unstable();
        broken
    }

    fn without_session(&self) -> Vec<Key> {
        let missing = |(_, session): &(_, &Session)| session.record.place == Place::NONE;
        let numbers = self
            .sessions
            .iter()
            .filter(missing)
            .map(|(number, _)| number);
        numbers.map(|it| Key::Session(SessionNumber(*it))).collect()
    }

    fn without_message(&self) -> Vec<Key> {
        let is_missing = |named: u64| named != 0 && !self.has_message(named);
        let mut keys = vec![];
        for (&number, session) in &self.sessions {
            let missing = session.deliveries.iter().filter(|it| is_missing(it.names));
            if session.record.place != Place::NONE {
                keys.extend(missing.map(|it| Key::Delivery(SessionNumber(number), it.sequence)));
            }
        }
        let retained = self.retained.iter();
        let missing = retained.filter(|(_, (_, named))| is_missing(*named));
        let topics = missing.filter_map(|(topic, _)| TopicName::try_from(&**topic).ok());
        keys.extend(topics.map(Key::Retained));
        keys
    }

    fn replace(&mut self, key: KeyRef<'_>, names: u64, held: Held) -> (Held, u64) {
        match key {
            KeyRef::Message(number) => {
                let replaced = self.messages.change(number, |body| body.replace(held));
                (replaced, 0)
            }
            KeyRef::Retained(topic) => {
                let replaced = match self.retained.get_mut(topic) {
                    Some(found) => Some(std::mem::replace(found, (held, names))),
                    None => self.retained.insert(topic.into(), (held, names)),
                };
                replaced.unwrap_or_default()
            }
            _ => {
                let session = self.sessions.entry(key.number()).or_default();
                session.replace(key, names, held)
            }
        }
    }

    fn delete_session(&mut self, number: u64, dead: &mut Dead) {
        let Some(session) = self.sessions.remove(&number) else {
            return;
        };
        let held = [session.record, session.will];
        for held in held.into_iter().chain(session.subscriptions.into_values()) {
            self.bury(held, 0, dead);
        }
        for (_, place) in session.received {
            self.bury(received(place), 0, dead);
        }
        for entry in session.deliveries.iter() {
            self.bury(delivery(entry.place), entry.names, dead);
        }
    }

    fn bury(&mut self, held: Held, named: u64, dead: &mut Dead) {
        if held.place != Place::NONE {
            self.live_bytes -= u64::from(held.bytes);
            dead.records.push(held.place);
        }
        self.release(named, dead);
    }

    fn hold(&mut self, message: u64) {
        if message != 0 {
            self.messages.change(message, |body| body.refs += 1);
        }
    }

    fn release(&mut self, message: u64, dead: &mut Dead) {
        let Some(body) = self.messages.find_mut(message) else {
            return;
        };
        body.refs -= 1;
        if body.refs == 0 && !self.is_replaying {
            self.forget_message(message, dead);
        }
    }

    fn forget_message(&mut self, number: u64, dead: &mut Dead) {
        if let Some(body) = self.messages.remove(number)
            && body.place != Place::NONE
        {
            self.live_bytes -= u64::from(body.bytes);
            dead.messages.push(body.place);
        }
    }
}

impl Dead {
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.messages.clear();
    }
}

/// What a record counts: as much in the log as in the index, so that a log without garbage is seen to have none.
pub(crate) fn cost(key: KeyRef<'_>, len: usize) -> u32 {
    match key {
        KeyRef::Delivery(..) => DELIVERY_BYTES,
        KeyRef::Received(..) => RECEIVED_BYTES,
        _ => u32::try_from(len).unwrap_or(u32::MAX),
    }
}

impl Body {
    fn replace(&mut self, held: Held) -> Held {
        Held {
            place: std::mem::replace(&mut self.place, held.place),
            bytes: std::mem::replace(&mut self.bytes, held.bytes),
        }
    }
}

/// What there is of a session. One whose record is nowhere is not there.
#[derive(Debug, Default)]
struct Session {
    record: Held,
    will: Held,
    /// By packet id.
    received: Vec<(u16, Place)>,
    subscriptions: Map<Box<str>, Held>,
    deliveries: Deliveries,
}

impl Session {
    fn received(&self, id: u16) -> Option<Place> {
        let at = self.received.binary_search_by_key(&id, |it| it.0).ok()?;
        self.received.get(at).map(|it| it.1)
    }

    fn replace(&mut self, key: KeyRef<'_>, names: u64, held: Held) -> (Held, u64) {
        match key {
            KeyRef::Will(_) => (std::mem::replace(&mut self.will, held), 0),
            KeyRef::Subscription(_, filter) => {
                let replaced = match self.subscriptions.get_mut(filter) {
                    Some(found) => std::mem::replace(found, held),
                    None => self
                        .subscriptions
                        .insert(filter.into(), held)
                        .unwrap_or_default(),
                };
                (replaced, 0)
            }
            KeyRef::Received(_, id) => (self.replace_received(id, held.place), 0),
            KeyRef::Delivery(_, sequence) => {
                let entry = Entry {
                    sequence,
                    names,
                    place: held.place,
                };
                let replaced = self.deliveries.put(entry);
                replaced.map_or_else(Default::default, |it| (delivery(it.place), it.names))
            }
            _ => (std::mem::replace(&mut self.record, held), 0),
        }
    }

    fn replace_received(&mut self, id: u16, place: Place) -> Held {
        match self.received.binary_search_by_key(&id, |it| it.0) {
            Ok(at) => match self.received.get_mut(at) {
                Some(found) => received(std::mem::replace(&mut found.1, place)),
                None => Held::default(),
            },
            Err(at) => {
                self.received.insert(at, (id, place));
                Held::default()
            }
        }
    }

    fn remove(&mut self, key: KeyRef<'_>) -> Option<(Held, u64)> {
        match key {
            KeyRef::Will(_) => Some((std::mem::take(&mut self.will), 0)),
            KeyRef::Subscription(_, filter) => Some((self.subscriptions.remove(filter)?, 0)),
            KeyRef::Received(_, id) => {
                let at = self.received.binary_search_by_key(&id, |it| it.0).ok()?;
                Some((received(self.received.remove(at).1), 0))
            }
            KeyRef::Delivery(_, sequence) => {
                let entry = self.deliveries.remove(sequence)?;
                Some((delivery(entry.place), entry.names))
            }
            _ => None,
        }
    }

    fn place_mut(&mut self, key: KeyRef<'_>) -> Option<&mut Place> {
        match key {
            KeyRef::Session(_) => Some(&mut self.record.place),
            KeyRef::Will(_) => Some(&mut self.will.place),
            KeyRef::Subscription(_, filter) => Some(&mut self.subscriptions.get_mut(filter)?.place),
            KeyRef::Received(_, id) => {
                let at = self.received.binary_search_by_key(&id, |it| it.0).ok()?;
                Some(&mut self.received.get_mut(at)?.1)
            }
            KeyRef::Delivery(_, sequence) => Some(&mut self.deliveries.find_mut(sequence)?.place),
            _ => None,
        }
    }
}

fn delivery(place: Place) -> Held {
    Held {
        place,
        bytes: DELIVERY_BYTES,
    }
}

fn received(place: Place) -> Held {
    Held {
        place,
        bytes: RECEIVED_BYTES,
    }
}
