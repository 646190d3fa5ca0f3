//! Answers, given at once or when what they promise has happened.
//!
//! PUBACK, PUBREC, PUBREL and PUBCOMP wait for the store where it has something to keep, and for other shards that the
//! message went to; none of one connection overtakes another [MQTT-4.6.0-2], [MQTT-4.6.0-3], [MQTT-4.6.0-4]. SUBACK waits
//! until every shard knows as well. CONNACK of a session that lasts waits until the session does, and what the session
//! is sent waits for CONNACK. Nothing else waits.

use super::Shard;
use crate::connection::Connection;
use crate::id::{ConnectionKey, SessionKey, ShardId};
use crate::inflight::Awaiting;
use crate::input::{Effect, Welcome};
use crate::journal::Unsent;
use crate::promises::{Debtor, Until};
use crate::remote::Remote;
use crate::retained::Replay;
use crate::sending::send_unsent;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use weir_codec::{ConnAck, Packet, TopicFilter};

/// What may have to wait.
#[derive(Debug)]
pub(super) enum Answer {
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Acknowledgement {
        connection: ConnectionKey,
        packet: Packet,
    },
    /// SUBACK or UNSUBACK, and then the retained messages of the new subscriptions.
    Subscribed {
        connection: ConnectionKey,
        packet: Packet,
        replays: Vec<(TopicFilter, Replay)>,
    },
    /// CONNACK, and then what waits for the client.
    Welcome {
        connection: ConnectionKey,
        connack: Box<ConnAck>,
        welcome: Box<Welcome>,
    },
    /// A QoS 2 message.
    Publish(Unsent),
    /// What another shard is told of a message it handed over.
    Published { to: ShardId },
}

impl Shard {
    /// Acknowledges, when all that was asked for in this step is done.
    pub(super) fn acknowledge_with(&mut self, now: Instant, key: ConnectionKey, packet: Packet) {
        let mark = self.mark_of_step();
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        if mark == 0 && connection.acks_held == 0 || fault!(AckedBeforeKept) {
            return self.roster.send(key, &packet);
        }
        connection.held_until = connection.held_until.max(mark);
        connection.acks_held += 1;
        let mark = connection.held_until;
        let answer = Answer::Acknowledgement {
            connection: key,
            packet,
        };
        self.hold(now, mark, Until::Delivered, answer);
    }

    /// Answers SUBSCRIBE or UNSUBSCRIBE [MQTT-3.8.4-1], when every shard knows of every interest told so far, and the
    /// store if the session lasts.
    pub(super) fn answer_subscriber(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        packet: Packet,
        replays: Vec<(TopicFilter, Replay)>,
    ) {
        if let Some(connection) = self.roster.connections.get_mut(key) {
            connection.answers_held += 1;
        }
        let answer = Answer::Subscribed {
            connection: key,
            packet,
            replays,
        };
        if fault!(SubAckTooEarly) {
            return self.give(now, answer);
        }
        let session = self.session_of(key);
        let session = session.and_then(|session| self.roster.sessions.get(session));
        let until = match session.and_then(|session| session.number) {
            Some(_) if !fault!(SubAckBeforeKept) => Until::KeptAndKnown,
            Some(_) => Until::Known,
            None => Until::Known,
        };
        self.hold(now, self.mark_so_far(), until, answer);
    }

    /// Welcomes a client. A session that lasts is welcomed when everything that was changed of it so far is durable.
    pub(super) fn welcome(
        &mut self,
        now: Instant,
        (key, session): (ConnectionKey, SessionKey),
        connack: ConnAck,
        welcome: Box<Welcome>,
    ) {
        let journal = &self.roster.journal;
        let session = self.roster.sessions.get(session);
        let mark = match session.and_then(|session| session.number) {
            _ if fault!(WelcomedBeforeKept) => 0,
            // Who comes to read is let in, whatever the store can take; but not before what it will be sent again is
            // kept, or it would know a QoS 2 message by a packet id that a crash forgets.
            _ if journal.is_full => session.map_or(0, |session| session.ids_mark),
            Some(_) => self.mark_so_far(),
            None if journal.is_empty() => 0,
            None => self.promises.step(),
        };
        let answer = Answer::Welcome {
            connection: key,
            connack: Box::new(connack),
            welcome,
        };
        self.hold(now, mark, Until::Kept, answer);
    }

    /// Tells the shard that handed over a message that it is delivered here, when that lasts.
    pub(super) fn confirm_publish(&mut self, now: Instant, to: ShardId) {
        let step = match self.roster.journal.is_empty() {
            true => 0,
            false => self.promises.step(),
        };
        let Some(until) = self.published_until.get_mut(usize::from(to.0)) else {
            return;
        };
        *until = (*until).max(step);
        let (mark, until) = match () {
            () if fault!(DeliveredBeforeKept) => (0, Until::Kept),
            () if fault!(ShardsWaitInCircle) => (*until, Until::Delivered),
            () => (*until, Until::Kept),
        };
        self.hold(now, mark, until, Answer::Published { to });
    }

    /// The debtor has answered: gives what waited for it.
    pub(super) fn answered(&mut self, now: Instant, debtor: Debtor) {
        self.promises.answered(debtor);
        self.give_all(now);
    }

    /// Gives whatever waits for nothing any more.
    pub(super) fn give_all(&mut self, now: Instant) {
        while let Some(answer) = self.promises.release() {
            self.give(now, answer);
        }
    }

    fn hold(&mut self, now: Instant, mark: u64, until: Until, answer: Answer) {
        if let Some(answer) = self.promises.hold(mark, until, answer) {
            self.give(now, answer);
        }
    }

    /// The mark of everything that was asked for in this step; 0: nothing was.
    fn mark_of_step(&self) -> u64 {
        match self.promises.has_asked() || !self.roster.journal.is_empty() {
            true => self.promises.step(),
            false => 0,
        }
    }

    /// The mark of everything that was ever asked for.
    fn mark_so_far(&self) -> u64 {
        match self.mark_of_step() {
            0 => self.promises.step() - 1,
            step => step,
        }
    }

    fn give(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Acknowledgement { connection, packet } => {
                if let Some(connection) = self.roster.connections.get_mut(connection) {
                    connection.acks_held -= 1;
                }
                if self.session_of(connection).is_some() {
                    self.roster.send(connection, &packet);
                }
            }
            Answer::Subscribed {
                connection,
                packet,
                replays,
            } => self.give_subscribed(now, connection, &packet, replays),
            Answer::Welcome {
                connection,
                connack,
                welcome,
            } => self.give_welcome(now, connection, *connack, welcome),
            Answer::Publish(unsent) => self.give_publish(now, &unsent),
            Answer::Published { to } => {
                let remote = Remote::Published;
                self.effects.push_back(Effect::Forward { to, remote });
            }
        }
    }

    fn give_subscribed(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        packet: &Packet,
        replays: Vec<(TopicFilter, Replay)>,
    ) {
        if let Some(connection) = self.roster.connections.get_mut(key) {
            connection.answers_held -= 1;
        }
        let Some(of) = self.session_of(key) else {
            return;
        };
        self.roster.send(key, packet);
        if let Some(session) = self.roster.sessions.get_mut(of) {
            let most = self.roster.settings.max_subscriptions_per_session;
            for (filter, replay) in replays {
                // A subscription may have been taken back while its SUBACK waited.
                if self.subscriptions.get(&filter, of).is_some() {
                    session.replays.add(filter, replay, most);
                }
            }
        }
        self.roster.pump(key, now);
    }

    /// [MQTT-3.1.4-5], [MQTT-3.2.0-1]: CONNACK is the first thing sent, and [MQTT-3.2.0-2] the only one: nobody comes here
    /// twice.
    fn give_welcome(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        connack: ConnAck,
        welcome: Box<Welcome>,
    ) {
        if self.session_of(key).is_none() {
            return;
        }
        if let Some(connection) = self.roster.connections.get_mut(key) {
            connection.is_welcomed = true;
        }
        self.roster.send(key, &Packet::ConnAck(connack));
        self.effects.push_back(Effect::Accepted {
            connection: key,
            welcome,
        });
        self.roster.resume(key, now);
        self.roster.pump(key, now);
    }

    /// Its packet id is durable, so the message may be sent; unless the connection that it was for is gone, or it has
    /// expired meanwhile [MQTT-3.3.2-5].
    fn give_publish(&mut self, now: Instant, unsent: &Unsent) {
        let (key, id) = (unsent.connection, unsent.packet_id);
        let Some(session) = self.session_of(key) else {
            return;
        };
        let (Some(connection), Some(of)) = (
            self.roster.connections.get_mut(key),
            self.roster.sessions.get(session),
        ) else {
            return;
        };
        connection.unsent_bytes = connection.unsent_bytes.saturating_sub(unsent.bytes);
        // Even if nothing is sent: there is room for others now.
        self.roster.dirty.mark(key, connection);
        match of.inflight.awaiting(id) {
            Some(Awaiting::Publish(envelope)) if envelope.message.is_expired(now) => {
                self.roster.stats.messages_expired += 1;
                self.finish(now, key, session, id);
            }
            Some(Awaiting::Publish(envelope)) => send_unsent(connection, id, envelope, now),
            Some(Awaiting::Release(_)) | None => {}
        }
    }

    fn session_of(&self, key: ConnectionKey) -> Option<SessionKey> {
        let connection = self.roster.connections.get(key);
        connection.and_then(Connection::session)
    }
}
