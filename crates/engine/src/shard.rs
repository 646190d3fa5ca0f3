//! One shard of the broker: the state machine that all inputs go through.
//!
//! [`Shard::handle`] takes in, [`Shard::poll_effect`], [`Shard::poll_dirty`] and [`Shard::transmit`] give out, and
//! [`Shard::next_timeout`] says when to come back. Each subject has a file of its own below this one; this file holds the
//! state, the dispatch and what the outside sees.
//!
//! The caller executes effects after every `handle` and before the next input of the same connection.

mod answers;
mod connect;
mod contest;
mod durable;
mod encore;
mod end;
mod fan_out;
mod interest;
mod inventory;
mod publish;
mod reauthenticate;
mod remote;
mod restore;
mod subscribe;
#[cfg(test)]
mod tests;

use crate::connection::{Connection, Phase};
use crate::end::{End, Violation};
use crate::id::{ConnectionKey, Numbers, SessionKey, ShardId};
use crate::input::{Effect, Input};
use crate::promises::Promises;
use crate::remote::{Members, Remote};
use crate::retained::Retained;
use crate::roster::Roster;
use crate::settings::Settings;
use crate::slow_reader::SlowReader;
use crate::stats::{Fullest, Stats};
use crate::subscription::Subscription;
use crate::time::Instant;
use crate::timers::{Timer, Timers};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
pub(crate) use contest::Contest;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use weir_codec::{Output, Packet, Segment, TopicFilter, Utf8};
use weir_router::SubscriptionTree;

/// So many SUBACKs and UNSUBACKs of one connection may wait for other shards before it is not read from.
const ANSWERS_HELD: u16 = 64;

/// One of the broker's shards: all sessions whose client ids have their home here.
pub struct Shard {
    id: ShardId,
    shards: u16,
    homes: FixedState,
    roster: Roster,
    by_client_id: HashMap<Utf8, SessionKey, FixedState>,
    subscriptions: SubscriptionTree<SessionKey, Subscription>,
    /// Which other shards want a topic; for shared subscriptions also this one.
    interest: SubscriptionTree<ShardId, Members>,
    /// This shard's members of each shared subscription.
    groups: BTreeMap<TopicFilter, Members>,
    promises: Promises<answers::Answer>,
    /// For each shard, the mark of the last message of its that it is to be told of: it is told in order.
    published_until: Vec<u64>,
    retained: Retained,
    timers: Timers,
    effects: VecDeque<Effect>,
    /// Logical time: grows with every message between shards.
    clock: u64,
    assigned_ids: u64,
    seed: u64,
}

impl Shard {
    /// Shard `id` of `shards`. All shards of a broker are given the same `seed`.
    #[must_use]
    pub fn new(id: ShardId, shards: u16, settings: Settings, seed: u64) -> Self {
        let settings = Arc::new(settings);
        Self {
            id,
            shards,
            homes: FixedState::with_seed(seed),
            by_client_id: HashMap::with_hasher(FixedState::with_seed(seed.rotate_left(8))),
            subscriptions: SubscriptionTree::new(seed.rotate_left(16)),
            interest: SubscriptionTree::new(seed.rotate_left(24)),
            groups: BTreeMap::new(),
            promises: Promises::new(shards),
            published_until: alloc::vec![0; usize::from(shards)],
            retained: Retained::new(&settings, shards),
            roster: Roster::new(settings, Numbers::new(1, id, shards)),
            timers: Timers::default(),
            effects: VecDeque::new(),
            clock: 0,
            assigned_ids: 0,
            seed,
        }
    }

    /// A transport was opened. A CONNECT must be accepted by `deadline`.
    pub fn open(&mut self, now: Instant, deadline: Instant) -> ConnectionKey {
        let key = self
            .roster
            .connections
            .insert(Connection::new(now, deadline));
        let token = self.timers.set(deadline, Timer::Connection(key));
        if let Some(connection) = self.roster.connections.get_mut(key) {
            connection.timer = Some(token);
        }
        key
    }

    /// How a connection is treated when it reads slowly, unless its subscriptions say otherwise. Without this QoS 0 that
    /// finds no room is dropped, and nobody is told.
    pub fn set_slow_reader(&mut self, connection: ConnectionKey, policy: SlowReader) {
        if let Some(connection) = self.roster.connections.get_mut(connection) {
            connection.slow_reader = Some(policy);
        }
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.roster.now = now;
        let is_publish = matches!(
            &input,
            Input::Packet {
                packet: Packet::Publish(_),
                ..
            } | Input::Remote {
                remote: Remote::Publish { .. } | Remote::Run { .. },
                ..
            }
        );
        if !is_publish {
            self.roster.interrupt_encore();
        }
        match input {
            Input::Packet { connection, packet } => self.handle_packet(now, connection, packet),
            Input::Malformed {
                connection,
                error,
                version,
            } => self.handle_malformed(now, connection, error, version),
            Input::Closed { connection, lost } => self.handle_closed(now, connection, lost),
            Input::RateExceeded { .. } if fault!(RateIgnored) => {}
            Input::RateExceeded { connection } => self.end(now, connection, End::RateExceeded),
            Input::Authenticated { connection, answer } => {
                self.handle_authenticated(now, connection, answer);
            }
            Input::Challenged { connection, data } => self.handle_challenged(connection, &data),
            Input::PermissionsChanged => self.handle_permissions_changed(now),
            Input::Remote { from, remote } => self.handle_remote(now, from, remote),
            Input::Stored { ticket } => self.handle_stored(now, ticket),
            Input::StoreFull(is_full) => self.roster.journal.is_full = is_full,
            Input::Loaded { session, messages } => self.roster.loaded(session, messages, now),
            Input::Timeout => self.handle_timeout(now),
            Input::Shutdown => self.handle_shutdown(now),
        }
        self.end_doomed(now);
        self.end_step();
    }

    /// Bytes came from the client, whole packets or not: it is alive.
    pub fn heard(&mut self, now: Instant, connection: ConnectionKey) {
        if let Some(connection) = self.roster.connections.get_mut(connection) {
            connection.heard_at = now;
        }
    }

    /// The transport gave a sign of life that is no packet, such as the answer to a WebSocket ping. It does not count for
    /// the Keep Alive.
    pub fn alive(&mut self, now: Instant, connection: ConnectionKey) {
        if let Some(connection) = self.roster.connections.get_mut(connection) {
            connection.answered_at = now;
        }
    }

    /// Whether the next packet of this connection may be handed over. Not while its CONNECT is being decided, and not
    /// while it takes nothing of what it is sent: who does not read is not read from.
    #[must_use]
    pub fn accepts_packets(&self, connection: ConnectionKey) -> bool {
        let Some(connection) = self.roster.connections.get(connection) else {
            return false;
        };
        match connection.phase {
            Phase::AwaitingConnect { .. } => true,
            Phase::Authenticating { is_challenged, .. } => is_challenged,
            Phase::Connected(_) => {
                let settings = &self.roster.settings;
                connection.is_welcomed
                    && connection.output.len() <= 2 * settings.outbox_bytes
                    && connection.answers_held < ANSWERS_HELD
                    && connection.acks_held < settings.receive_maximum
            }
            Phase::Closing => false,
        }
    }

    /// Whether somebody is connected with this client id.
    #[must_use]
    pub fn is_connected(&self, client_id: &Utf8) -> bool {
        let session = self.by_client_id.get(client_id);
        let session = session.and_then(|key| self.roster.sessions.get(*key));
        session.is_some_and(|session| session.connection.is_some())
    }

    /// Whether anything is asked of the world.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// The next thing asked of the world.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether there is something to do without any further input: something to transmit, or retained messages to
    /// look up.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        let roster = &self.roster;
        !roster.dirty.is_empty() || roster.encore.has_added() || !roster.replaying.is_empty()
    }

    /// The next connection that has something to transmit; each is named once a turn. The `None` at the end is the end of
    /// the turn: what was handed out must have been written by then, since the [segment](Shard::segment) is emptied, and
    /// some more retained messages are looked up, to be transmitted in the next turn, if [`Shard::is_dirty`].
    pub fn poll_dirty(&mut self) -> Option<ConnectionKey> {
        self.roster.interrupt_encore();
        let Some(key) = self.roster.dirty.next() else {
            self.roster.dirty.end_turn(&mut self.roster.connections);
            self.roster.replay(&self.retained);
            self.end_doomed(self.roster.now);
            self.end_step();
            return None;
        };
        if let Some(connection) = self.roster.connections.get_mut(key) {
            connection.dirty = false;
        }
        Some(key)
    }

    /// Moves what a connection has to send into `out`, and lets what waited for the room move up:
    /// if that is anything, the connection is dirty again. What is in `out` is done with, and its memory used again.
    /// What is moved there shares the [segment](Shard::segment).
    pub fn transmit(&mut self, now: Instant, connection: ConnectionKey, out: &mut Output) {
        self.roster.interrupt_encore();
        if let Some(connection) = self.roster.connections.get_mut(connection) {
            self.roster.dirty.exchange(connection, out);
        }
        self.roster.now = now;
        self.roster.pump(connection, now);
        self.end_doomed(now);
        self.end_step();
        if let Some(state) = self.roster.connections.get_mut(connection)
            && !state.output.is_empty()
        {
            self.roster.dirty.mark(connection, state);
        }
    }

    /// What outputs have in common in this turn.
    #[must_use]
    pub fn segment(&self) -> &Segment {
        &self.roster.dirty.segment
    }

    /// When [`Input::Timeout`] is due, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What there is to count.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            sessions: self.roster.sessions.len() as u64,
            subscriptions: self.subscriptions.len() as u64,
            retained: self.retained.len() as u64,
            ..self.roster.stats
        }
    }

    /// Everything the shard holds, as one number per table: after all clients are gone and forgotten, what it was before.
    #[must_use]
    pub fn footprint(&self) -> [usize; 8] {
        [
            self.roster.connections.len(),
            self.roster.sessions.len(),
            self.by_client_id.len(),
            self.subscriptions.len(),
            self.interest.len(),
            self.groups.len(),
            self.retained.len(),
            self.timers.len(),
        ]
    }

    /// How far the limits on single sessions and connections are used up. Looks at all of them.
    #[must_use]
    pub fn fullest(&self) -> Fullest {
        let mut fullest = Fullest::default();
        for session in self.roster.sessions.values() {
            fullest.queue_messages = fullest.queue_messages.max(session.queue.len());
            fullest.queue_bytes = fullest.queue_bytes.max(session.queue.bytes());
            fullest.inflight = fullest.inflight.max(session.inflight.len());
        }
        for connection in self.roster.connections.values() {
            fullest.output_bytes = fullest.output_bytes.max(connection.output.len());
        }
        fullest
    }

    /// A client that is connected sent packets which are taken in together; returns its session.
    fn hear(&mut self, now: Instant, connection: ConnectionKey) -> Option<SessionKey> {
        self.roster.now = now;
        let connection = self.roster.connections.get_mut(connection)?;
        connection.heard_at = now;
        connection.session()
    }

    fn handle_packet(&mut self, now: Instant, key: ConnectionKey, packet: Packet) {
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        connection.heard_at = now;
        let session = match connection.phase {
            Phase::Connected(session) => session,
            Phase::AwaitingConnect { .. } => {
                return match packet {
                    Packet::Connect(connect) => self.connect(now, key, connect),
                    other => self.end(
                        now,
                        key,
                        End::Violation(Violation::Unexpected(other.name())),
                    ),
                };
            }
            Phase::Authenticating {
                is_challenged: true,
                ..
            } => return self.receive_before_connack(now, key, packet),
            // [MQTT-3.1.4-6]
            Phase::Authenticating { .. } | Phase::Closing => return,
        };
        match packet {
            Packet::Publish(publish) => self.receive_publish(now, key, session, &publish),
            Packet::PubAck(ack) => self.receive_puback(now, key, session, &ack),
            Packet::PubRec(ack) => self.receive_pubrec(now, key, session, &ack),
            Packet::PubRel(ack) => self.receive_pubrel(now, key, session, &ack),
            Packet::PubComp(ack) => self.receive_pubcomp(now, key, session, &ack),
            Packet::Subscribe(subscribe) => self.receive_subscribe(now, key, session, &subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                self.receive_unsubscribe(now, key, session, &unsubscribe);
            }
            // [MQTT-3.12.4-1]: a PINGREQ is answered.
            Packet::PingReq => self.roster.send(key, &Packet::PingResp),
            Packet::Disconnect(disconnect) => {
                self.receive_disconnect(now, key, session, &disconnect);
            }
            // [MQTT-3.1.0-2]: a second CONNECT is a protocol error.
            Packet::Connect(_) => self.end(now, key, End::Violation(Violation::SecondConnect)),
            Packet::Auth(auth) => self.receive_auth(now, key, session, &auth),
            other => self.end(
                now,
                key,
                End::Violation(Violation::Unexpected(other.name())),
            ),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Connection(key) => self.connection_timer(now, key),
                Timer::Credentials(_) if fault!(CredentialsNeverExpire) => {}
                Timer::Credentials(key) => self.end(now, key, End::CredentialsExpired),
                Timer::Session(key) => self.session_timer(now, key),
                Timer::Retained(topic) => {
                    if self.retained.tidy(&topic) {
                        self.roster.stats.messages_expired += 1;
                        self.forget_retained(&topic);
                    }
                }
            }
        }
    }

    fn connection_timer(&mut self, now: Instant, key: ConnectionKey) {
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        connection.timer = None;
        match connection.phase {
            Phase::AwaitingConnect { .. } | Phase::Authenticating { .. } => {
                if !fault!(ConnectTimeoutForgotten) {
                    self.end(now, key, End::ConnectTimeout);
                }
            }
            Phase::Connected(_) => self.check_keep_alive(now, key),
            Phase::Closing => {}
        }
    }

    /// [MQTT-3.1.2-22]: a client that was silent for one and a half times its Keep Alive is disconnected.
    fn check_keep_alive(&mut self, now: Instant, key: ConnectionKey) {
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        let Some(silence_millis) = connection.silence_millis else {
            return;
        };
        let due = connection.heard_at.plus_millis(silence_millis);
        if due <= now {
            return self.end(now, key, End::KeepAliveTimeout);
        }
        connection.timer = Some(self.timers.set(due, Timer::Connection(key)));
    }
}

/// The members of a list, taken out one by one, so that the list's owner can be changed meanwhile.
fn drain<T>(list: &mut Vec<T>) -> impl Iterator<Item = T> + use<T> {
    core::mem::take(list).into_iter()
}
