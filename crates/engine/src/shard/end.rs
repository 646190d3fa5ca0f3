//! How connections and sessions end: the last packet, the will, the session's expiry.
//!
//! Every end goes through [`Shard::end`], once: it tells the client why, releases the session, and asks the world to
//! close the transport. A session then lives on without a connection, or ends at once.

use super::{Shard, drain};
use crate::connection::{Connection, Phase};
use crate::end::{End, Lost, Violation};
use crate::id::{ConnectionKey, MessageNumber, SessionKey};
use crate::input::{Effect, Report};
use crate::session::{Session, Will};
use crate::time::Instant;
use crate::timers::Timer;
use alloc::boxed::Box;
use alloc::string::ToString;
use weir_codec::{
    ConnAck, DecodeError, Disconnect, Packet, PacketType, Properties, Property, ReasonCode, Version,
};

impl Shard {
    /// Ends a connection: tells the client, releases its session, asks for the transport to be closed, which it is
    /// whether the client could be told or not [MQTT-4.13.2-1], [MQTT-3.2.2-7], [MQTT-3.14.4-2]. Nothing follows
    /// [MQTT-3.14.4-1].
    pub(super) fn end(&mut self, now: Instant, key: ConnectionKey, end: End) {
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        if matches!(connection.phase, Phase::Closing) {
            return;
        }
        self.timers.clear(connection.timer.take());
        self.timers.clear(connection.credentials_timer.take());
        let farewell = farewell(connection, end).filter(|it| connection.takes(it));
        if let Some(farewell) = farewell.filter(|_| !fault!(FarewellForgotten)) {
            self.roster.send(key, &farewell);
        }
        self.roster.stats.faults += u64::from(end.is_fault());
        self.effects.push_back(Effect::Close {
            connection: key,
            end,
        });
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        let missed = connection.missed;
        if let Phase::Connected(session) = core::mem::replace(&mut connection.phase, Phase::Closing)
        {
            self.roster.stats.connections -= 1;
            if missed > 0 {
                self.report(session, Report::Missed(missed));
            }
            self.release_session(now, session, end);
        }
    }

    /// [MQTT-3.1.4-1], [MQTT-4.13.1-1]
    pub(super) fn handle_malformed(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        error: DecodeError,
        version: Option<Version>,
    ) {
        if let (Some(connection), Some(version)) = (self.roster.connections.get_mut(key), version) {
            // A CONNECT that went wrong is refused in its own version.
            connection.version = version;
        }
        self.end(now, key, End::Malformed(error));
    }

    /// The transport is gone: so is the connection. If nobody ended it before, this is its end.
    pub(super) fn handle_closed(&mut self, now: Instant, key: ConnectionKey, lost: Lost) {
        self.end(now, key, End::Lost(lost));
        self.roster.connections.remove(key);
    }

    pub(super) fn receive_disconnect(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        disconnect: &Disconnect,
    ) {
        if let Some(seconds) = disconnect.properties.session_expiry_interval()
            && let Some(session) = self.roster.sessions.get_mut(session)
        {
            // Section 3.14.2.2.2: an expiry of 0 at CONNECT can't be raised at DISCONNECT.
            if !session.has_expiry && seconds > 0 {
                return self.end(now, key, End::Violation(Violation::SessionExpiryRaised));
            }
            session.expiry_seconds = seconds.min(self.roster.settings.session_expiry_max_seconds);
        }
        self.end(now, key, End::Disconnected(disconnect.reason));
    }

    pub(super) fn handle_shutdown(&mut self, now: Instant) {
        let connections: alloc::vec::Vec<_> = self.roster.connections.keys().collect();
        for key in connections
            .into_iter()
            .skip(usize::from(fault!(ShutdownForgetsOne)))
        {
            self.end(now, key, End::Shutdown);
        }
    }

    /// Connections that something made impossible while it was delivered to them are told so and ended.
    #[inline]
    pub(super) fn end_doomed(&mut self, now: Instant) {
        if !self.roster.laggards.is_empty() || !self.roster.doomed.is_empty() {
            self.see_to_doomed(now);
        }
    }

    fn see_to_doomed(&mut self, now: Instant) {
        for (key, policy) in drain(&mut self.roster.laggards) {
            let connection = self.roster.connections.get(key);
            if let Some(session) = connection.and_then(Connection::session) {
                self.report(session, Report::Slow(policy));
            }
        }
        while !self.roster.doomed.is_empty() {
            // What it added goes before their last words.
            self.roster.interrupt_encore();
            for (key, end) in drain(&mut self.roster.doomed) {
                self.end(now, key, end);
            }
        }
    }

    /// The session has lost its connection: it ends now, or waits for its will and its expiry.
    fn release_session(&mut self, now: Instant, key: SessionKey, end: End) {
        let Some(session) = self.roster.sessions.get_mut(key) else {
            return;
        };
        session.connection = None;
        session.resend.clear();
        session.queue.drop_at_most_once();
        if fault!(WillLost) || !end.publishes_will() && !fault!(WillAfterDisconnect) {
            // [MQTT-3.14.4-3]: DISCONNECT with reason 0x00 deletes the will.
            session.will = None;
        }
        if fault!(ReceivedForgotten) {
            session.received.clear();
        }
        self.went_offline(key);
        let Some(session) = self.roster.sessions.get_mut(key) else {
            return;
        };
        if session.expiry_seconds == 0 {
            return self.remove_session(now, key);
        }
        // [MQTT-3.1.2-23]: it is kept, for its Session Expiry Interval.
        be_absent(session, now);
        self.roster.park_later(key);
        if !fault!(AbsenceNotRecorded) {
            self.record_session(key, Some(now));
        }
        self.session_timer(now, key);
    }

    /// A session without a connection: publishes its will, ends it, or says when to look again.
    pub(super) fn session_timer(&mut self, now: Instant, key: SessionKey) {
        let Some(session) = self.roster.sessions.get_mut(key) else {
            return;
        };
        session.timer = None;
        if session.connection.is_some() {
            return;
        }
        // [MQTT-3.1.2-10]: taken out, so that it is published once.
        let will = session
            .will
            .take_if(|will| will.due_at.is_some_and(|at| at <= now));
        if will.is_some() {
            self.forget_will(key);
        }
        let Some(session) = self.roster.sessions.get_mut(key) else {
            return;
        };
        if fault!(WillTwice) {
            session.will = session.will.take().or_else(|| again(will.as_deref()));
        }
        // [MQTT-4.1.0-2]
        if session.expires_at.is_some_and(|at| at <= now) {
            self.publish_will(now, key, will);
            return self.remove_session(now, key);
        }
        let waiting = session.will.as_ref().and_then(|will| will.due_at);
        let next = [waiting, session.expires_at].into_iter().flatten().min();
        session.timer = next.map(|at| self.timers.set(at, Timer::Session(key)));
        self.publish_will(now, key, will);
    }

    /// Forgets a session; a will that still waits is published: the session's end does not swallow it [MQTT-3.1.2-8].
    pub(super) fn remove_session(&mut self, now: Instant, key: SessionKey) {
        let Some(mut session) = self.roster.sessions.remove(key) else {
            return;
        };
        self.timers.clear(session.timer);
        self.by_client_id.remove(&session.client_id);
        self.forget_session(&session);
        if !fault!(SubscriptionsLeftBehind) {
            self.unsubscribe_all(key, &mut session.subscriptions);
        }
        self.publish_will(now, key, session.will);
    }

    fn publish_will(&mut self, now: Instant, of: SessionKey, will: Option<Box<Will>>) {
        let Some(mut will) = will else {
            return;
        };
        will.message.number = MessageNumber(self.roster.journal.numbers.next());
        will.message.expires_at = will.expiry_seconds.map(|seconds| now.plus_seconds(seconds));
        // A retained will that finds no room is still delivered to those who are here.
        let _ = self.publish(now, Some(of), &will.message);
    }
}

/// For a planted fault: the same will, due when the session ends.
fn again(will: Option<&Will>) -> Option<Box<Will>> {
    let due_at = None;
    let will = will?.clone();
    Some(Box::new(Will { due_at, ..will }))
}

/// The session has had no connection since then: when its will is due, and when it ends.
pub(super) fn be_absent(session: &mut Session, since: Instant) {
    session.expires_at = expiry(session, since);
    if let Some(will) = &mut session.will {
        will.due_at = Some(match fault!(WillAtOnce) {
            true => since,
            false => since.plus_seconds(will.delay_seconds),
        });
    }
}

/// When a session that lost its connection at this moment ends; `None`: never.
fn expiry(session: &Session, now: Instant) -> Option<Instant> {
    let seconds = match fault!(SessionEndsEarly) {
        true => session.expiry_seconds / 2,
        false => session.expiry_seconds,
    };
    (session.expiry_seconds != u32::MAX && !fault!(SessionNeverEnds))
        .then(|| now.plus_seconds(seconds))
}

/// The packet that tells the client why: a CONNACK before it was accepted, in 5.0 a DISCONNECT after [MQTT-3.14.0-1].
fn farewell(connection: &Connection, end: End) -> Option<Packet> {
    if !end.is_ours() {
        return None;
    }
    let is_v5 = connection.version == Version::V5;
    match connection.phase {
        Phase::Connected(_) if connection.is_welcomed => is_v5.then(|| {
            Packet::Disconnect(Disconnect {
                reason: told(end, PacketType::Disconnect),
                properties: explain(connection, end),
            })
        }),
        Phase::AwaitingConnect { .. } | Phase::Authenticating { .. } | Phase::Connected(_) => {
            refuses(connection, end).then(|| {
                // [MQTT-3.2.2-6]: no session is present where CONNECT is refused.
                Packet::ConnAck(ConnAck {
                    session_present: false,
                    reason: told(end, PacketType::ConnAck),
                    properties: if is_v5 {
                        explain(connection, end)
                    } else {
                        Properties::default()
                    },
                })
            })
        }
        Phase::Closing => None,
    }
}

/// The reason code for this packet: the end's own, or the nearest that the packet may carry.
fn told(end: End, packet: PacketType) -> ReasonCode {
    match (end.reason_code(), packet) {
        (reason, packet) if reason.allowed_in(packet, true) => reason,
        // It came to nothing for a reason of ours.
        (_, PacketType::ConnAck) => ReasonCode::ServerUnavailable,
        _ => ReasonCode::ProtocolError,
    }
}

/// Whether an end before acceptance is told with a CONNACK. A refusal is; what is not even a CONNECT is not
/// ([MQTT3-3.1.4-1], [MQTT3-3.2.2-6]: closed without a CONNACK), except for a version that we don't have [MQTT-3.1.2-2].
fn refuses(connection: &Connection, end: End) -> bool {
    match end {
        End::Refused(_) => true,
        End::Malformed(error) => {
            connection.version == Version::V5
                || error.reason_code() == ReasonCode::UnsupportedProtocolVersion
        }
        _ => !matches!(connection.phase, Phase::AwaitingConnect { .. }),
    }
}

/// Whether the client wants reasons in words [MQTT-3.1.2-29] and can take them.
fn explains(connection: &Connection) -> bool {
    const ROOM_BYTES: u32 = 256;
    connection.max_packet_bytes >= ROOM_BYTES && connection.problem_information
}

/// The Reason String, where the client wants to hear it [MQTT-3.1.2-29] and can take it [MQTT-3.14.2-3],
/// [MQTT-3.2.2-19], [MQTT-3.2.2-20]. Never a Session Expiry Interval [MQTT-3.14.2-2].
fn explain(connection: &Connection, end: End) -> Properties {
    let mut properties = Properties::default();
    if explains(connection) {
        properties.push(Property::ReasonString(&end.to_string()));
        if let End::Refused(refusal) = end
            && let Some(seconds) = refusal.retry_seconds()
        {
            let seconds = seconds.to_string();
            properties.push(Property::UserProperty("weir-retry-after-seconds", &seconds));
        }
    }
    properties
}
