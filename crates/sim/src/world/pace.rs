//! What becomes of a client that sends more than it may: it rests, and may be told to go.
//!
//! Rates are the runtime's matter, and no clock of theirs is here: now and then somebody is over them. What counts is what
//! the engine sees of it: nothing for a while, signs that the client is not silent, and then perhaps that it has to go,
//! with packets unread.

use super::{Event, World};
use crate::client::LinkId;
use crate::oracle::Told;
use weir_engine::{Input, Instant};

/// How often a client that rests is taken for heard of.
const NAP_MILLIS: u64 = 500;

impl World<'_> {
    pub(super) fn slow_down(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        let rest_millis = link.random.pick(&[200, 2000, 8000]);
        let is_too_long = link.random.percent(50);
        link.rests_until = self.now + rest_millis;
        self.rest(id);
        if is_too_long {
            let at = self.now + rest_millis;
            self.put(at, Event::RateExceeded { link: id });
        }
    }

    pub(super) fn rest(&mut self, id: LinkId) {
        let until = self.links[id].rests_until;
        if self.now >= until {
            return self.read(id);
        }
        if let Some((shard, key)) = self.links[id].place {
            let now = Instant::from_millis(self.now);
            self.hosts[shard].shard.heard(now, key);
            self.oracle.heard(self.now, id);
        }
        let at = until.min(self.now + NAP_MILLIS);
        self.put(at, Event::Rest { link: id });
    }

    pub(super) fn exceed_rate(&mut self, link: LinkId) {
        if let Some((shard, connection)) = self.links[link].place {
            let told = Told::RateExceeded { link };
            self.tell(shard, &told, Input::RateExceeded { connection });
        }
    }
}
