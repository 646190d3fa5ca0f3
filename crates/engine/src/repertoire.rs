//! The encores that publishers may go on with: the one that is on, or was last, and those that others have interrupted.
//!
//! Each rests on who has interest and who may do what. Any change of a subscription, of another shard's interest or of
//! permissions ends them all: changes are counted where they are made, and an encore holds while the count is what it was.
//! Whatever else may have changed is looked at when it goes on.
//!
//! Interrupted encores have a bounded number of places. A publisher has one to itself, as long as there are not too many, for
//! the topic of late. A topic to which it comes back has one of as many others, which are dealt out by a hash; so have the
//! topics of other shards. Those of late displace earlier ones: forgetting one costs the next message to its topic the long
//! way, and nothing else. A topic to which nobody comes back is not worth a place: its memory serves the next.

use crate::encore::Encore;
use crate::id::SessionKey;
use crate::message::Message;
use crate::roster::Roster;
use crate::sending::Share;
use crate::subscription::Subscription;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::mem;
use foldhash::fast::FixedState;
use slotmap::Key;
use weir_codec::TopicName;

/// So many publishers may interrupt each other, and so many further topics.
const PUBLISHERS: usize = 1024;

const PLACES: usize = 2 * PUBLISHERS;

/// So many members there may be in all interrupted encores.
const MEMBERS: usize = 1 << 16;

/// The interrupted encores.
#[derive(Debug, Default)]
pub(crate) struct Repertoire {
    /// The place of the encore that is on, or was last.
    at: Place,
    places: Vec<Option<Box<Encore>>>,
    members: usize,
    changes: u64,
    topics: FixedState,
    /// The further topics that were published to last, by a part of their hashes.
    candidates: Vec<u32>,
}

/// Where an encore is, if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(usize);

impl Roster {
    /// Who has interest, or who may do what, is about to change, or has just changed.
    #[inline]
    pub(crate) fn end_encores(&mut self) {
        self.interrupt_encore();
        self.repertoire.changes += 1;
    }

    /// Something happens that is no encore.
    #[inline]
    pub(crate) fn interrupt_encore(&mut self) {
        self.encore
            .interrupt(&mut self.dirty, &mut self.connections);
    }

    /// What this session may go on with: what it published last, or to its first topic if others have published since. And
    /// the most bytes of a packet that goes on.
    #[inline]
    pub(crate) fn encore_of(&self, publisher: SessionKey) -> Option<(&TopicName, usize)> {
        let encore = self.encore_at(self.place_of(publisher))?;
        Some((encore.topic(Some(publisher))?, encore.most_bytes()))
    }

    /// Whether the publisher goes on with its last message, or messages of other shards do. If so, what is at hand from now on
    /// is that encore, and it is on.
    #[inline]
    pub(crate) fn resumes(&mut self, publisher: Option<SessionKey>, topic: &TopicName) -> bool {
        let (place, is_there) = self.find(publisher, topic);
        is_there && self.resumes_at(place)
    }

    /// The same for a session that goes on with its [topic](Roster::encore_of).
    #[inline]
    pub(crate) fn resumes_of(&mut self, publisher: SessionKey) -> bool {
        let place = self.place_of(publisher);
        self.topic_at(place, Some(publisher)).is_some() && self.resumes_at(place)
    }

    /// A message goes out which may be the first of several.
    pub(crate) fn begin_encore(&mut self, publisher: Option<SessionKey>, topic: &TopicName) {
        self.interrupt_encore();
        let place = match self.find(publisher, topic) {
            (place, false) if place.is_of_a_topic() => self.repertoire.new_place(publisher, topic),
            (place, _) => place,
        };
        self.turn_to(place);
        self.encore.begin();
    }

    /// A session was handed the message, and perhaps its share of the segment.
    #[inline]
    pub(crate) fn note(
        &mut self,
        session: SessionKey,
        subscription: &Subscription,
        share: Option<Share>,
        message: &Message,
    ) {
        let content = (message, &self.dirty.segment);
        self.encore.note(session, subscription, share, content);
    }

    /// The publisher may go on from its message.
    pub(crate) fn expect_encore(&mut self, publisher: Option<SessionKey>, first: &Message) {
        let changes = self.repertoire.changes;
        self.encore.expect(publisher, first, changes);
    }

    /// The place of this topic, and whether its encore is there: the publisher's own, unless that has another topic.
    #[inline]
    fn find(&self, publisher: Option<SessionKey>, topic: &TopicName) -> (Place, bool) {
        if let Some(own) = publisher.map(Place::of) {
            match self.topic_at(own, publisher) {
                Some(other) if other != topic => {}
                found => return (own, found.is_some()),
            }
        }
        let place = self.repertoire.place_of_topic(publisher, topic);
        (place, self.topic_at(place, publisher) == Some(topic))
    }

    /// Where that is which the publisher may go on with.
    #[inline]
    fn place_of(&self, publisher: SessionKey) -> Place {
        match self.repertoire.at.is_of_a_topic() {
            true => self.place_at_hand(publisher),
            false => Place::of(publisher),
        }
    }

    /// The same when one of several topics was published to last; not in line, for the sake of those who have one.
    #[inline(never)]
    fn place_at_hand(&self, publisher: SessionKey) -> Place {
        let at = self.repertoire.at;
        match self.topic_at(at, Some(publisher)) {
            Some(_) => at,
            None => Place::of(publisher),
        }
    }

    #[inline]
    fn topic_at(&self, place: Place, publisher: Option<SessionKey>) -> Option<&TopicName> {
        self.encore_at(place)?.topic(publisher)
    }

    #[inline]
    fn encore_at(&self, place: Place) -> Option<&Encore> {
        let encore = match self.repertoire.at == place {
            true => &self.encore,
            false => self.repertoire.places.get(place.0)?.as_ref()?,
        };
        encore.holds(self.repertoire.changes).then_some(encore)
    }

    #[inline]
    fn resumes_at(&mut self, place: Place) -> bool {
        self.turn_to(place);
        let segment = &mut self.dirty.segment;
        self.encore.is_on()
            || self
                .encore
                .resume(&self.sessions, &self.connections, segment)
    }

    /// Interrupts what is on if it is another, and takes up what has this place.
    fn turn_to(&mut self, place: Place) {
        if self.repertoire.at == place {
            return;
        }
        self.interrupt_encore();
        self.repertoire.exchange(&mut self.encore, place);
    }
}

impl Repertoire {
    fn place_of_topic(&self, publisher: Option<SessionKey>, topic: &TopicName) -> Place {
        Place::of_topic(self.topics.hash_one((publisher, topic)))
    }

    /// The place of a further topic: a publisher's own, unless it has come back to it before others that would have the same.
    fn new_place(&mut self, publisher: Option<SessionKey>, topic: &TopicName) -> Place {
        let hash = self.topics.hash_one((publisher, topic));
        let place = Place::of_topic(hash);
        let Some(publisher) = publisher else {
            return place;
        };
        self.candidates.resize(PUBLISHERS, 0);
        let part = (hash >> 32) as u32;
        let last = self.candidates.get_mut(place.0 - PUBLISHERS);
        match last.is_some_and(|last| mem::replace(last, part) == part) {
            true => place,
            false => Place::of(publisher),
        }
    }

    /// Puts away what was on, if it can go on later, for what has this place.
    fn exchange(&mut self, encore: &mut Box<Encore>, place: Place) {
        let at = mem::replace(&mut self.at, place);
        let next = self.take(place);
        match (encore.holds(self.changes), next) {
            (true, next) => {
                let earlier = mem::replace(encore, next.unwrap_or_default());
                self.put(at, earlier);
            }
            (false, Some(next)) => *encore = next,
            // Its memory serves the next.
            (false, None) => {}
        }
    }

    fn take(&mut self, place: Place) -> Option<Box<Encore>> {
        let encore = self.places.get_mut(place.0)?.take()?;
        self.members -= encore.members();
        Some(encore)
    }

    fn put(&mut self, place: Place, encore: Box<Encore>) {
        let members = encore.members();
        if self.places.is_empty() || self.members + members > MEMBERS {
            self.places.clear();
            self.places.resize_with(PLACES, || None);
            self.members = 0;
        }
        if members <= MEMBERS
            && let Some(slot) = self.places.get_mut(place.0)
        {
            self.members += members;
            *slot = Some(encore);
        }
    }
}

impl Place {
    fn of_topic(hash: u64) -> Self {
        Self(PUBLISHERS + hash as usize % PUBLISHERS)
    }

    #[inline]
    fn is_of_a_topic(self) -> bool {
        self.0 >= PUBLISHERS
    }

    #[inline]
    fn of(publisher: SessionKey) -> Self {
        Self(publisher.data().as_ffi() as u32 as usize % PUBLISHERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageNumber;
    use bytes::Bytes;
    use weir_codec::{Properties, Qos};

    /// One that holds after `changes`, for so many members.
    fn encore(members: usize, changes: u64) -> Box<Encore> {
        let message = Message {
            number: MessageNumber(0),
            topic: TopicName::try_from("t").unwrap(),
            payload: Bytes::new(),
            properties: Properties::new(),
            qos: Qos::AtMostOnce,
            retain: false,
            expires_at: None,
        };
        let mut encore = Encore::with_room(members);
        encore.expect(None, &message, changes);
        Box::new(encore)
    }

    fn interrupted(repertoire: &Repertoire) -> (usize, usize) {
        let encores = repertoire.places.iter().flatten();
        (
            encores.clone().count(),
            encores.map(|it| it.members()).sum(),
        )
    }

    #[test]
    fn members_of_interrupted_encores_are_bounded() {
        let mut repertoire = Repertoire::default();
        let mut most = (0, 0);
        for n in 0..3 * PLACES {
            let mut at_hand = encore(MEMBERS / 100, 0);
            repertoire.exchange(&mut at_hand, Place((n + 1) % PLACES));
            let (encores, members) = interrupted(&repertoire);
            assert_eq!(repertoire.members, members);
            most = (encores.max(most.0), members.max(most.1));
        }
        assert!(
            (90..=100).contains(&most.0) && most.1 <= MEMBERS,
            "{most:?}"
        );
        repertoire.exchange(&mut encore(MEMBERS + 1, 0), Place(7));
        assert_eq!(interrupted(&repertoire), (0, 0));
    }

    #[test]
    fn a_further_topic_has_a_place_once_it_comes_again() {
        let mut repertoire = Repertoire::default();
        let publisher = Some(SessionKey::default());
        let topics = (0..).map(|n| TopicName::try_from(alloc::format!("{n}").as_str()).unwrap());
        let place_of = |topic: &TopicName| repertoire.place_of_topic(publisher, topic);
        let mut alike = topics.filter(|it| place_of(it) == Place(PUBLISHERS));
        let [one, other] = [alike.next().unwrap(), alike.next().unwrap()];
        drop(alike);
        for (topic, has_place) in [
            (&one, false),
            (&other, false),
            (&one, false),
            (&one, true),
            (&one, true),
            (&other, false),
        ] {
            let place = repertoire.new_place(publisher, topic);
            assert_eq!(place.is_of_a_topic(), has_place);
        }
        assert!(repertoire.new_place(None, &one).is_of_a_topic());
    }

    #[test]
    fn what_does_not_hold_is_not_kept() {
        let mut repertoire = Repertoire {
            changes: 2,
            ..Repertoire::default()
        };
        repertoire.exchange(&mut encore(1, 1), Place(1));
        repertoire.exchange(&mut encore(1, 2), Place(2));
        assert_eq!(interrupted(&repertoire), (1, 1));
    }
}
