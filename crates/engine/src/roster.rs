//! Who is here: the connections and sessions of a shard, and the one place where a message is handed to a session.
//!
//! A delivery goes straight into the connection's output if nothing is waiting before it and window and socket have room;
//! else it waits in the session's queue, which is emptied, in order, as acknowledgements come and the transport
//! takes bytes.

use crate::cast::Cast;
use crate::connection::Connection;
use crate::dirty::Dirty;
use crate::encore::Encore;
use crate::end::End;
use crate::id::{ConnectionKey, Numbers, SessionKey};
use crate::inflight::{Awaiting, Envelope};
use crate::journal::Journal;
use crate::parking::Parking;
use crate::queue::Room;
use crate::repertoire::Repertoire;
use crate::sending::{Shape, Share, count, has_room, has_window, publish, resend};
use crate::session::Session;
use crate::settings::Settings;
use crate::slow_reader::SlowReader;
use crate::stats::Stats;
use crate::subscription::Subscription;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use slotmap::SlotMap;
use weir_codec::{Packet, Qos, TopicName};

/// The connections and sessions of a shard.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) connections: SlotMap<ConnectionKey, Connection>,
    pub(crate) sessions: SlotMap<SessionKey, Session>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stats: Stats,
    /// What this step changes in the durable state.
    pub(crate) journal: Journal,
    /// Connections with something to transmit, each once.
    pub(crate) dirty: Dirty,
    /// The encore that is on, or was last.
    pub(crate) encore: Box<Encore>,
    pub(crate) repertoire: Repertoire,
    /// Connections that are to be given more retained messages, each once, in turn.
    pub(crate) replaying: VecDeque<ConnectionKey>,
    /// The time of the last input.
    pub(crate) now: Instant,
    /// Connections that have begun to miss messages, and in which way: the log is to be told.
    pub(crate) laggards: Vec<(ConnectionKey, SlowReader)>,
    /// Connections that can't go on, and why: to be ended.
    pub(crate) doomed: Vec<(ConnectionKey, End)>,
    pub(crate) parking: Parking,
}

impl Roster {
    pub(crate) fn new(settings: Arc<Settings>, numbers: Numbers) -> Self {
        Self {
            connections: SlotMap::with_key(),
            sessions: SlotMap::with_key(),
            journal: Journal::new(settings.is_durable, numbers),
            settings,
            stats: Stats::default(),
            dirty: Dirty::default(),
            encore: Box::default(),
            repertoire: Repertoire::default(),
            replaying: VecDeque::new(),
            now: Instant::default(),
            laggards: Vec::new(),
            doomed: Vec::new(),
            parking: Parking::default(),
        }
    }

    /// Adds a control packet to a connection's output, whatever its quota [MQTT-3.3.4-10], [MQTT-4.9.0-3]. One that
    /// is larger than the client takes can't be left out, so the connection ends [MQTT-3.1.2-24].
    pub(crate) fn send(&mut self, key: ConnectionKey, packet: &Packet) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if !connection.takes(packet) {
            self.doomed.push((key, End::AnswerTooLarge));
            return;
        }
        self.dirty.mark(key, connection);
        connection.send(packet);
    }

    /// Whether the session has a connection.
    pub(crate) fn is_online(&self, key: SessionKey) -> bool {
        self.sessions
            .get(key)
            .is_some_and(|session| session.connection.is_some())
    }

    /// Whether the session may be given a message of this topic.
    pub(crate) fn may_receive(&self, key: SessionKey, topic: &TopicName) -> bool {
        self.sessions
            .get(key)
            .is_some_and(|session| session.may_receive(topic))
    }

    /// Hands a message to a session [MQTT-4.5.0-1], at the lower of its QoS and the QoS granted [MQTT-3.8.4-8],
    /// [MQTT-4.8.2-3], behind what waits already [MQTT-4.6.0-5], [MQTT-4.6.0-6], on behalf of its `subscription` (or
    /// all that match, merged). Returns what it was given of the turn's segment.
    pub(crate) fn deliver(
        &mut self,
        to: SessionKey,
        subscription: &Subscription,
        identifiers: &[u32],
        retain: bool,
        cast: &mut Cast<'_>,
    ) -> Option<Share> {
        let session = self.sessions.get_mut(to)?;
        if !session.may_receive(&cast.message().topic) {
            return None;
        }
        let mut qos = cast.message().qos.min(subscription.qos);
        if fault!(DeliveredAboveGranted) {
            qos = cast.message().qos;
        }
        let mut shape = Shape {
            qos,
            retain,
            sequence: None,
            missed: 0,
        };
        let Some(key) = session.connection else {
            if qos != Qos::AtMostOnce || fault!(QosZeroForAbsent) {
                self.enqueue(to, &shape, identifiers, None, cast);
            }
            return None;
        };
        let connection = self.connections.get_mut(key)?;
        let next = session.queue.is_empty() && session.resend.is_empty();
        if (next || fault!(QueueOvertaken))
            && has_room(&self.settings, connection)
            && has_window(&self.settings, session, connection, qos)
        {
            shape.sequence = session.next_sequence(qos);
            if shape.sequence.is_some() {
                self.journal.put_message(&cast.keep());
            }
            shape.missed = missed_before(session, qos, identifiers);
            self.dirty.mark(key, connection);
            let (journal, segment) = (&mut self.journal, &mut self.dirty.segment);
            let sent = publish(
                (journal, segment),
                session,
                (key, connection),
                &shape,
                identifiers,
                cast,
            );
            count(&mut self.stats, sent);
            Share::of(sent, key, connection)
        } else {
            let policy = connection.slow_reader_of(subscription);
            self.enqueue(to, &shape, identifiers, policy, cast);
            None
        }
    }

    /// What has been waiting for this connection moves up: what is to be sent again, the queue; retained messages
    /// take turns.
    pub(crate) fn pump(&mut self, key: ConnectionKey, now: Instant) {
        let Some(to) = self.connections.get(key).and_then(Connection::session) else {
            return;
        };
        if let (Some(session), Some(connection)) =
            (self.sessions.get(to), self.connections.get_mut(key))
            && session.has_nothing_waiting()
        {
            connection.caught_up = true;
            return;
        }
        self.pump_resend(key, to, now);
        self.pump_queue(key, to, now);
        self.load(to);
        if self.wants_replay(key, to)
            && let Some(connection) = self.connections.get_mut(key)
            && !connection.is_replaying
        {
            connection.is_replaying = true;
            self.replaying.push_back(key);
        }
    }

    /// A connection takes up its session: what was in flight is sent again, as far as window and socket have room
    /// [MQTT-4.4.0-1]. A PUBREL needs no room in the window, so it is not held up by a PUBLISH before it [MQTT-4.9.0-3].
    pub(crate) fn resume(&mut self, key: ConnectionKey, now: Instant) {
        let Some(to) = self.connections.get(key).and_then(Connection::session) else {
            return;
        };
        let (Some(session), Some(connection)) =
            (self.sessions.get_mut(to), self.connections.get_mut(key))
        else {
            return;
        };
        if fault!(NothingSentAgain) {
            return;
        }
        session.inflight.uncount();
        let ids: Vec<_> = session.inflight.iter().map(|(id, _)| id).collect();
        let mut is_held_up = false;
        for id in ids {
            let is_release = matches!(session.inflight.awaiting(id), Some(Awaiting::Release(_)));
            is_held_up |= !is_release && !has_room(&self.settings, connection);
            if (is_held_up && !is_release)
                || !resend(&mut self.journal, session, connection, id, now)
            {
                is_held_up = true;
                session.resend.push_back(id);
            }
        }
        self.dirty.mark(key, connection);
    }

    fn pump_resend(&mut self, key: ConnectionKey, to: SessionKey, now: Instant) {
        let (Some(session), Some(connection)) =
            (self.sessions.get_mut(to), self.connections.get_mut(key))
        else {
            return;
        };
        while let Some(id) = session.resend.front().copied() {
            if !has_room(&self.settings, connection)
                || !resend(&mut self.journal, session, connection, id, now)
            {
                return;
            }
            session.resend.pop_front();
            self.dirty.mark(key, connection);
        }
    }

    fn pump_queue(&mut self, key: ConnectionKey, to: SessionKey, now: Instant) {
        let (Some(session), Some(connection)) =
            (self.sessions.get_mut(to), self.connections.get_mut(key))
        else {
            return;
        };
        if !session.resend.is_empty() {
            return;
        }
        while let Some(qos) = session.queue.front().map(|waiting| waiting.qos) {
            if !has_room(&self.settings, connection)
                || !has_window(&self.settings, session, connection, qos)
            {
                return;
            }
            let Some(envelope) = session.queue.pop() else {
                return;
            };
            if envelope.message.is_expired(now) && !fault!(ExpiredDelivered) {
                self.stats.messages_expired += 1;
                self.journal
                    .delete_delivery(session.number, envelope.sequence);
                continue;
            }
            self.dirty.mark(key, connection);
            let Dirty { segment, trail, .. } = &mut self.dirty;
            let mut cast = Cast::waited(envelope.message, now, trail);
            let mut shape = Shape {
                qos,
                retain: envelope.retain,
                sequence: envelope.sequence,
                missed: 0,
            };
            let identifiers = envelope.identifiers.list();
            shape.missed = missed_before(session, qos, identifiers);
            let sent = publish(
                (&mut self.journal, segment),
                session,
                (key, connection),
                &shape,
                identifiers,
                &mut cast,
            );
            count(&mut self.stats, sent);
        }
        connection.caught_up = true;
    }

    /// Puts a message into the session's queue; `policy` says what may be lost for it if it is one of QoS 0.
    fn enqueue(
        &mut self,
        to: SessionKey,
        shape: &Shape,
        identifiers: &[u32],
        policy: Option<SlowReader>,
        cast: &mut Cast<'_>,
    ) {
        let Some(session) = self.sessions.get_mut(to) else {
            return;
        };
        let policy = policy.filter(|_| shape.qos == Qos::AtMostOnce);
        let room = room(&self.settings);
        let lossy = match policy {
            Some(SlowReader::LatestPerTopic | SlowReader::DropOldest) => policy,
            _ => None,
        };
        // What is not kept need not be copied out of the read buffer.
        if lossy.is_none() && !session.queue.takes(cast.message().cost_bytes(), room) {
            return self.turn_down(to, shape.qos, identifiers, policy, 1);
        }
        let envelope = Envelope {
            message: cast.keep(),
            qos: shape.qos,
            retain: shape.retain,
            identifiers: identifiers.into(),
            sequence: session.next_sequence(shape.qos),
        };
        if let Some(policy) = lossy {
            let only_latest = policy == SlowReader::LatestPerTopic;
            let lost = session.queue.push_lossy(envelope, only_latest, room);
            return self.count_lost(to, policy, lost);
        }
        if let Some(sequence) = envelope.sequence
            && !fault!(QueuedNotRecorded)
        {
            self.journal.put_message(&envelope.message);
            self.journal.put_delivery(session.number, &envelope, None);
            if session.connection.is_none() && fault!(ParkedTooEarly) {
                session.queue.push(envelope);
                return session.queue.park(sequence);
            }
            if session.connection.is_none() {
                self.parking.note(self.journal.mark, to, sequence);
            }
        }
        session.queue.push(envelope);
    }

    /// Whether a QoS 0 message of this cost would only be dropped for a session: it is away, or its queue is full and is to keep
    /// what it has.
    pub(crate) fn is_in_vain(
        &self,
        to: SessionKey,
        subscription: &Subscription,
        topic: &TopicName,
        cost_bytes: usize,
    ) -> bool {
        let Some(session) = self.sessions.get(to) else {
            return true;
        };
        let connection = session.connection.and_then(|key| self.connections.get(key));
        connection.is_none_or(|connection| {
            let policy = connection.slow_reader_of(subscription);
            matches!(policy, None | Some(SlowReader::DropNewest))
                && !session.queue.is_empty()
                && !session.queue.takes(cost_bytes, room(&self.settings))
                && session.may_receive(topic)
        })
    }

    /// Drops so many QoS 0 messages that would be [in vain](Roster::is_in_vain).
    pub(crate) fn drop_in_vain(&mut self, to: SessionKey, subscription: &Subscription, count: u64) {
        let key = self.sessions.get(to).and_then(|session| session.connection);
        if let Some(connection) = key.and_then(|key| self.connections.get(key)) {
            let policy = connection.slow_reader_of(subscription);
            let identifiers = subscription.identifiers();
            self.turn_down(to, Qos::AtMostOnce, identifiers, policy, count);
        }
    }

    /// The queue is full, and nothing in it is given up for so many new messages.
    fn turn_down(
        &mut self,
        to: SessionKey,
        qos: Qos,
        identifiers: &[u32],
        policy: Option<SlowReader>,
        count: u64,
    ) {
        match (policy, self.sessions.get_mut(to)) {
            (Some(policy @ SlowReader::DropNewest), Some(session)) => {
                session.queue.miss(identifiers, count);
                self.count_lost(to, policy, count);
            }
            _ => self.refuse(to, qos, policy, count),
        }
    }

    /// The queue is full. Losing a QoS 1 or 2 message silently would break its promise: a client that is here is told, as
    /// is one that wants QoS 0 to be treated so. Not one that is still taking what waited for it before it came: to end its
    /// connection would keep it from ever catching up.
    fn refuse(&mut self, to: SessionKey, qos: Qos, policy: Option<SlowReader>, count: u64) {
        self.stats.dropped.queue_full += count;
        let must_end = qos != Qos::AtMostOnce || policy == Some(SlowReader::Disconnect);
        let connection = self.sessions.get(to).and_then(|session| session.connection);
        if let (Some(key), true) = (connection, must_end)
            && !fault!(FullQueueUntold)
            && self.connections.get(key).is_some_and(|it| it.caught_up)
        {
            self.doomed.push((key, End::QueueFull));
        }
    }

    fn count_lost(&mut self, to: SessionKey, policy: SlowReader, lost: u64) {
        self.stats.dropped.slow_reader += lost;
        let key = self.sessions.get(to).and_then(|session| session.connection);
        if let Some(key) = key
            && let Some(connection) = self.connections.get_mut(key)
        {
            if connection.missed == 0 && lost > 0 {
                self.laggards.push((key, policy));
            }
            connection.missed += lost;
        }
    }
}

pub(crate) fn room(settings: &Settings) -> Room {
    Room {
        messages: settings.queue_messages,
        bytes: settings.queue_bytes,
        lossy_bytes: settings.slow_reader_bytes,
    }
}

/// How many messages of its subscription the client missed before this one; it is told with QoS 0 only.
fn missed_before(session: &mut Session, qos: Qos, identifiers: &[u32]) -> u64 {
    match qos {
        Qos::AtMostOnce => session.queue.take_missed(identifiers),
        _ => 0,
    }
}
