//! The encores that publishers may go on with: the one that is on, or was last, and those that others have interrupted.
//!
//! Each rests on who has interest and who may do what. Any change of a subscription, of another shard's interest or of
//! permissions ends them all: changes are counted where they are made, and an encore holds while the count is what it was.
//! Whatever else may have changed is looked at when it goes on.
//!
//! Interrupted encores have a bounded number of places, in which the publishers of late displace earlier ones. Forgetting one
//! costs the next message of its publisher the long way, and nothing else.

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

/// So many publishers may interrupt each other.
const PLACES: usize = 1024;

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
}

/// Where a publisher's encore is, if it has one.
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

    /// What this session may go on with.
    #[inline]
    pub(crate) fn encore_of(&self, publisher: SessionKey) -> Option<&TopicName> {
        self.encore_at(Place::of(publisher))?.topic(Some(publisher))
    }

    /// Whether the publisher goes on with its last message, or messages of other shards do. If so, what is at hand from now on
    /// is that encore, and it is on.
    #[inline]
    pub(crate) fn resumes(&mut self, publisher: Option<SessionKey>, topic: &TopicName) -> bool {
        let place = self.repertoire.place(publisher, topic);
        let encore = self.encore_at(place);
        let is_of = encore.is_some_and(|it| it.topic(publisher) == Some(topic));
        is_of && self.resumes_at(place)
    }

    /// The same for a session that goes on with its [topic](Roster::encore_of).
    #[inline]
    pub(crate) fn resumes_of(&mut self, publisher: SessionKey) -> bool {
        self.encore_of(publisher).is_some() && self.resumes_at(Place::of(publisher))
    }

    /// A message goes out which may be the first of several.
    pub(crate) fn begin_encore(&mut self, publisher: Option<SessionKey>, topic: &TopicName) {
        self.interrupt_encore();
        let place = self.repertoire.place(publisher, topic);
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
    #[inline]
    fn place(&self, publisher: Option<SessionKey>, topic: &TopicName) -> Place {
        match publisher {
            Some(publisher) => Place::of(publisher),
            None => Place(self.topics.hash_one(topic) as usize % PLACES),
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
    #[inline]
    fn of(publisher: SessionKey) -> Self {
        Self(publisher.data().as_ffi() as u32 as usize % PLACES)
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
