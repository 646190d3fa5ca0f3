//! The new subscriptions of one session that are still to be given retained messages.
//!
//! Each SUBSCRIBE has a replay of its own, also where filters are the same [MQTT-3.8.4-4], [MQTT-3.8.4-5]. Only a client that
//! has more of them waiting than it may have subscriptions loses one: the new replay of a filter then takes the place
//! of its earlier ones, so that there are never more than that.

use crate::retained::Replay;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use weir_codec::TopicFilter;

/// One session's replays, by filter and then in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    waiting: BTreeMap<(TopicFilter, u64), Replay>,
    /// How many were ever asked for.
    asked: u64,
}

impl Replays {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a replay; `most` is how many subscriptions the session may have.
    pub(crate) fn add(&mut self, filter: TopicFilter, replay: Replay, most: usize) {
        if self.waiting.len() >= most {
            self.remove(&filter);
        }
        self.asked += 1;
        self.waiting.insert((filter, self.asked), replay);
    }

    /// Takes out the replay that is to go on; [`Replays::put_back`] if it is not done.
    pub(crate) fn pop(&mut self) -> Option<((TopicFilter, u64), Replay)> {
        self.waiting.pop_first()
    }

    pub(crate) fn put_back(&mut self, key: (TopicFilter, u64), replay: Replay) {
        self.waiting.insert(key, replay);
    }

    /// Forgets the replays of a filter.
    pub(crate) fn remove(&mut self, filter: &TopicFilter) {
        let all = (filter.clone(), 0)..=(filter.clone(), u64::MAX);
        let keys: Vec<_> = self
            .waiting
            .range(all)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.waiting.remove(&key);
        }
    }
}
