//! Where messages that several have waited for stand in the turn's segment.
//!
//! When receivers that fell behind take what waited, they take the same messages, one receiver after the other. A message is
//! encoded for the first of them; those that come in the same turn share what it was given.
//!
//! What must always hold: what is said here is true of the segment as it is now, so both are cleared together.

use crate::id::MessageNumber;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use weir_codec::{Alike, Stretch};

/// So much room is kept for the next turn.
const KEPT_PLACES: usize = 4096;

/// The places of a turn.
#[derive(Debug, Default)]
pub(crate) struct Trail(HashMap<Footprint, Stretch, FixedState>);

/// One message in one encoding, without or with RETAIN.
type Footprint = (MessageNumber, Alike, bool);

impl Trail {
    /// Where it stands, if it does.
    pub(crate) fn find(&self, footprint: &Footprint) -> Option<Stretch> {
        match self.0.is_empty() {
            true => None,
            false => self.0.get(footprint).copied(),
        }
    }

    /// It stands there.
    pub(crate) fn note(&mut self, footprint: Footprint, stretch: Stretch) {
        self.0.insert(footprint, stretch);
    }

    /// The segment is emptied.
    pub(crate) fn clear(&mut self) {
        if !self.0.is_empty() && !fault!(TrailOutlivesTurn) {
            self.0.clear();
            self.0.shrink_to(KEPT_PLACES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_codec::{Properties, PublishHead, Segment, Version};

    #[test]
    fn a_message_is_found_in_its_encoding_until_the_turn_ends() {
        let head = PublishHead {
            version: Version::V5,
            topic: "t",
            topic_alias: None,
            message_expiry_interval: None,
            subscription_identifiers: &[],
            properties: &Properties::new(),
        };
        let (mut segment, mut trail) = (Segment::new(), Trail::default());
        let stretch = segment.publish(&head, b"x", false).unwrap();
        let (one, alike) = (MessageNumber(1), head.alike().unwrap());
        let other = Alike {
            identifier: Some(7),
            ..alike
        };
        trail.note((one, alike, false), stretch);
        assert_eq!(trail.find(&(one, alike, false)), Some(stretch));
        for footprint in [
            (MessageNumber(2), alike, false),
            (one, other, false),
            (one, alike, true),
        ] {
            assert_eq!(trail.find(&footprint), None);
        }
        trail.clear();
        assert_eq!(trail.find(&(one, alike, false)), None);
    }
}
