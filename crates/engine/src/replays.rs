//! The new subscriptions of one session that are still to be given retained messages.
//!
//! Each SUBSCRIBE has a replay of its own, also where filters are the same [MQTT-3.8.4-4], [MQTT-3.8.4-5]. Only a client that
//! has more of them waiting than it may have subscriptions loses one: the new replay of a filter then takes the place
//! of its earlier ones, so that there are never more than that.
//!
//! Messages that go out with QoS 0, which is nearly all, go from where they are kept straight into the output, and those that
//! lie beside each other at once.

use crate::cast::Cast;
use crate::id::{ConnectionKey, SessionKey};
use crate::retained::{Kept, KeptMessage, Progress, Replay, Retained};
use crate::roster::Roster;
use crate::sending::{count, has_room, has_window, publish_alone};
use crate::subscription::Subscription;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::ControlFlow;
use weir_codec::{Qos, TopicFilter};
use weir_router::Contents;

/// Connections whose replays go on in one turn.
const REPLAY_STEPS: usize = 4;

/// Topics that they look at together.
const REPLAY_LOOKS: usize = 1024;

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
        let mut looks_left = REPLAY_LOOKS;
        for _ in 0..REPLAY_STEPS {
            if looks_left == 0 {
                return;
            }
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
            if self.wants_replay(key, to)
                && self.replay_step((key, to), retained, now, &mut looks_left)
            {
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
        (key, to): (ConnectionKey, SessionKey),
        retained: &Retained,
        now: Instant,
        looks_left: &mut usize,
    ) -> bool {
        let next = self
            .sessions
            .get_mut(to)
            .and_then(|session| session.replays.pop());
        let Some((place, mut replay)) = next else {
            return false;
        };
        let subscription = replay.subscription;
        let takes_packets = self.takes_packets(key, to);
        let give = |kept: Kept<'_>| match kept {
            Kept::Packets(packets) => self.give_packets(key, &packets),
            Kept::Message(message) => self.give_retained((key, to), &subscription, message),
        };
        let progress = retained.page(&place.0, &mut replay, takes_packets, now, looks_left, give);
        if progress != Progress::Done
            && let Some(session) = self.sessions.get_mut(to)
        {
            session.replays.put_back(place, replay);
        }
        progress != Progress::HeldUp
    }

    /// Whether packets can go to a client as they are kept: nobody before 5.0 says how large one may be, nothing is asked
    /// of each, and what a client missed is told with a delivery that has a frame of its own.
    fn takes_packets(&self, key: ConnectionKey, to: SessionKey) -> bool {
        let (Some(session), Some(connection)) = (self.sessions.get(to), self.connections.get(key))
        else {
            return false;
        };
        !connection.version.is_v5()
            && !session.checks_deliveries
            && !session.queue.has_missed()
            && !fault!(DeliveredAboveGranted)
    }

    /// Sends packets as they are kept, if the socket has room.
    fn give_packets(&mut self, key: ConnectionKey, packets: &Contents<'_>) -> ControlFlow<()> {
        let connection = self.connections.get_mut(key);
        let Some(connection) = connection.filter(|it| has_room(&self.settings, it)) else {
            return ControlFlow::Break(());
        };
        // Not before: who is marked without need is handed out, and comes back here at once.
        self.dirty.mark(key, connection);
        match packets.share() {
            Some(bytes) => connection.output.link(bytes),
            None => connection.output.put(packets.bytes()),
        }
        self.stats.messages_sent += packets.count() as u64;
        ControlFlow::Continue(())
    }

    /// Sends a retained message for a new subscription, if window and socket have room.
    #[inline]
    fn give_retained(
        &mut self,
        (key, to): (ConnectionKey, SessionKey),
        subscription: &Subscription,
        message: KeptMessage<'_>,
    ) -> ControlFlow<()> {
        let (Some(session), Some(connection)) =
            (self.sessions.get_mut(to), self.connections.get_mut(key))
        else {
            return ControlFlow::Break(());
        };
        let qos = message.qos().min(subscription.qos);
        if !has_room(&self.settings, connection)
            || !has_window(&self.settings, session, connection, qos)
        {
            return ControlFlow::Break(());
        }
        let identifiers = subscription.identifiers();
        let is_plain = qos == Qos::AtMostOnce && !session.queue.has_missed();
        if !is_plain || fault!(DeliveredAboveGranted) {
            if let Some(message) = message.to_message() {
                let mut cast = Cast::kept(message, self.now);
                // [MQTT3-3.3.1-8]: a retained message sent for a new subscription carries RETAIN 1.
                self.deliver(to, subscription, identifiers, true, &mut cast);
            }
            return ControlFlow::Continue(());
        }
        let may_receive = |topic| session.may_receive(&topic);
        if session.checks_deliveries && !message.topic_name().is_some_and(may_receive) {
            return ControlFlow::Continue(());
        }
        self.dirty.mark(key, connection);
        let sent = publish_alone(connection, &message, identifiers, self.now);
        count(&mut self.stats, sent);
        ControlFlow::Continue(())
    }
}
