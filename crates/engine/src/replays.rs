//! The new subscriptions of one session that are still to be given retained messages.
//!
//! Each SUBSCRIBE has a replay of its own, also where filters are the same [MQTT-3.8.4-4], [MQTT-3.8.4-5]. Only a client that
//! has more of them waiting than it may have subscriptions loses one: the new replay of a filter then takes the place
//! of its earlier ones, so that there are never more than that.
//!
//! Messages that go out with QoS 0, which is nearly all, are copied from where they are kept straight into the output.

use crate::cast::Cast;
use crate::id::{ConnectionKey, SessionKey};
use crate::retained::{KeptMessage, Replay, Retained};
use crate::roster::Roster;
use crate::sending::{count, has_room, has_window, publish_alone};
use crate::subscription::Subscription;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use weir_codec::{Qos, TopicFilter};

/// Steps of replays in one turn, of all together.
const REPLAY_STEPS: usize = 8;

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

impl Roster {
    /// The work of one turn on replays, a step for each connection in turn: however many messages are looked at in vain,
    /// nobody else waits for long.
    pub(crate) fn replay(&mut self, retained: &Retained) {
        for _ in 0..REPLAY_STEPS {
            let Some(key) = self.replaying.pop_front() else {
                return;
            };
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.is_replaying = false;
            let Some(to) = connection.session() else {
                continue;
            };
            let now = self.now;
            // Held up by the window, it goes on when acknowledgements come.
            if self.wants_replay(key, to) && self.replay_step(key, to, retained, now) {
                self.pump(key, now);
            }
        }
    }

    /// Whether retained messages are to be looked up for the connection now.
    pub(crate) fn wants_replay(&self, key: ConnectionKey, to: SessionKey) -> bool {
        let (Some(session), Some(connection)) = (self.sessions.get(to), self.connections.get(key))
        else {
            return false;
        };
        let waiting = !session.queue.is_empty() || !session.resend.is_empty();
        !session.replays.is_empty() && !waiting && has_room(&self.settings, connection)
    }

    /// Sends retained messages as far as window and socket have room, so that a replay never fills the queue: there is no
    /// telling how much it is. Returns whether it went as far as it may in one step.
    fn replay_step(
        &mut self,
        key: ConnectionKey,
        to: SessionKey,
        retained: &Retained,
        now: Instant,
    ) -> bool {
        let next = self
            .sessions
            .get_mut(to)
            .and_then(|session| session.replays.pop());
        let Some((place, mut replay)) = next else {
            return false;
        };
        let subscription = replay.subscription;
        let found = retained.page(&place.0, &replay, now);
        let mut taken = 0;
        while let Some(rest) = found.messages.get(taken..)
            && let Some(message) = rest.first()
        {
            let plain = self.replay_plain(key, to, &subscription, rest, now);
            taken += plain;
            if plain > 0 {
                continue;
            }
            if !self.is_free(key, to, message.qos().min(subscription.qos)) {
                break;
            }
            if let Some(message) = message.to_message() {
                let mut cast = Cast::kept(message, now);
                // [MQTT3-3.3.1-8]: a retained message sent for a new subscription carries RETAIN 1.
                let identifiers = subscription.identifiers();
                self.deliver(to, &subscription, identifiers, true, &mut cast);
            }
            taken += 1;
        }
        let is_held_up = taken < found.messages.len();
        if replay.go_on(found, taken)
            && let Some(session) = self.sessions.get_mut(to)
        {
            session.replays.put_back(place, replay);
        }
        !is_held_up
    }

    /// Sends retained messages that go out with QoS 0, from where they are kept straight into the connection's output, as
    /// far as there is room; returns with how many of them it is done.
    fn replay_plain(
        &mut self,
        key: ConnectionKey,
        to: SessionKey,
        subscription: &Subscription,
        messages: &[KeptMessage<'_>],
        now: Instant,
    ) -> usize {
        let (Some(session), Some(connection)) =
            (self.sessions.get_mut(to), self.connections.get_mut(key))
        else {
            return 0;
        };
        // What a client missed is told with a delivery that has a frame of its own.
        if session.queue.has_missed() || fault!(DeliveredAboveGranted) {
            return 0;
        }
        let mut done = 0;
        for message in messages {
            if message.qos().min(subscription.qos) != Qos::AtMostOnce
                || !has_room(&self.settings, connection)
            {
                break;
            }
            let may_receive = |topic| session.may_receive(&topic);
            if !session.checks_deliveries || message.topic_name().is_some_and(may_receive) {
                // Not before: who is marked without need is handed out, and comes back here at once.
                self.dirty.mark(key, connection);
                let sent = publish_alone(connection, message, subscription.identifiers(), now);
                count(&mut self.stats, sent);
            }
            done += 1;
        }
        done
    }

    /// Whether a message of this QoS would go out at once.
    fn is_free(&self, key: ConnectionKey, to: SessionKey, qos: Qos) -> bool {
        let (Some(session), Some(connection)) = (self.sessions.get(to), self.connections.get(key))
        else {
            return false;
        };
        has_room(&self.settings, connection) && has_window(&self.settings, session, connection, qos)
    }
}
