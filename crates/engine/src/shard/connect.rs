//! From CONNECT to CONNACK: the home shard, authentication, the session, what the CONNACK says.
//!
//! Until the CONNACK that accepts is enqueued nothing of the client counts: no will, no subscription, no claim on the
//! session. A refusal is a CONNACK too; see end.rs.

use super::Shard;
use super::publish::is_allowed;
use super::reauthenticate::check_expiry;
use crate::aliases::OutboundAliases;
use crate::connection::{Exchange, Phase, Renewal};
use crate::end::{End, Refusal};
use crate::id::{ConnectionKey, MessageNumber, SessionKey, ShardId};
use crate::input::{Authentication, Credentials, Effect, Grant, Welcome};
use crate::message::Message;
use crate::session::{Session, Will};
use crate::settings::Settings;
use crate::time::Instant;
use crate::timers::Timer;
use alloc::boxed::Box;
use alloc::format;
use bytes::Bytes;
use core::hash::BuildHasher;
use weir_codec::{ConnAck, Connect, Packet, Properties, Property, ReasonCode, Utf8, Version};

impl Shard {
    pub(super) fn connect(&mut self, now: Instant, key: ConnectionKey, mut connect: Box<Connect>) {
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        connection.version = connect.version;
        connection.problem_information = connect
            .properties
            .request_problem_information()
            .unwrap_or(true);
        // From the first answer on: a CONNACK that refuses has to fit too [MQTT-3.1.2-24].
        connection.max_packet_bytes = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
        if let Err(refusal) = check_client_id(&self.roster.settings, &connect) {
            return self.end(now, key, End::Refused(refusal));
        }
        let assigned = connect.client_id.is_empty();
        if assigned {
            connect.client_id = self.assign_client_id();
        }
        let home = self.home(connect.client_id.as_bytes());
        if home != self.id {
            return self.move_home(key, home, connect);
        }
        self.authenticate(key, connect, assigned);
    }

    fn authenticate(&mut self, key: ConnectionKey, connect: Box<Connect>, assigned: bool) {
        let properties = &connect.properties;
        let method = properties.authentication_method();
        let credentials = Credentials {
            client_id: connect.client_id.clone(),
            username: connect.username.clone(),
            password: connect.password.clone(),
            method: method.and_then(|method| Utf8::try_from(method).ok()),
            data: properties.authentication_data().map(Bytes::copy_from_slice),
            is_renewal: false,
        };
        let exchange = credentials.method.clone().map(|method| Exchange {
            method,
            renewal: Renewal::Judged,
        });
        if let Some(connection) = self.roster.connections.get_mut(key) {
            connection.exchange = exchange.map(Box::new);
            connection.phase = Phase::Authenticating {
                connect,
                assigned,
                is_challenged: false,
            };
        }
        self.effects.push_back(Effect::Authenticate {
            connection: key,
            credentials: Box::new(credentials),
        });
    }

    /// [MQTT-3.1.4-2]: who is not admitted is refused; [MQTT-4.12.0-1], [MQTT-4.12.0-4] also for its method or in the
    /// middle of an enhanced authentication.
    pub(super) fn handle_authenticated(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        answer: Authentication,
    ) {
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        if let Phase::Connected(session) = connection.phase {
            return self.handle_renewed(now, key, session, answer);
        }
        // The client may be gone, or given up on, by the time the answer comes.
        let (connect, assigned) = match core::mem::replace(&mut connection.phase, Phase::Closing) {
            Phase::Authenticating {
                connect, assigned, ..
            } => (connect, assigned),
            other => {
                connection.phase = other;
                return;
            }
        };
        let mut connack = self.connack(&connect, assigned);
        if let Ok(grant) = &answer {
            conclude(&mut connack.properties, &connect, grant);
        }
        let admitted = answer
            .and_then(|grant| self.check_admission(now, &connect, &grant).map(|()| grant))
            .map_err(End::Refused)
            .and_then(|grant| self.check_fits(key, &connack).map(|()| grant))
            .and_then(
                |grant| match self.check_contest(now, key, &connect.client_id) {
                    Ok(()) => Ok(grant),
                    Err(refusal) => Err(End::Refused(refusal)),
                },
            );
        match admitted {
            Ok(grant) => self.accept(now, key, &connect, grant, connack),
            Err(end) => {
                self.restore_phase(key, connect, assigned);
                self.end(now, key, end);
            }
        }
    }

    /// The CONNACK that accepts; whether a session is present is not decided yet.
    fn connack(&self, connect: &Connect, assigned: bool) -> ConnAck {
        ConnAck {
            session_present: false,
            reason: ReasonCode::Success,
            properties: match connect.version {
                Version::V5 => announcements(&self.roster.settings, connect, assigned),
                _ => Properties::default(),
            },
        }
    }

    /// [MQTT-3.1.2-24]: a client that can't be told that it is accepted is not.
    fn check_fits(&self, key: ConnectionKey, connack: &ConnAck) -> Result<(), End> {
        let connection = self.roster.connections.get(key);
        let fits = connection.is_some_and(|it| it.takes(&Packet::ConnAck(connack.clone())));
        if fits {
            Ok(())
        } else {
            Err(End::AnswerTooLarge)
        }
    }

    fn restore_phase(&mut self, key: ConnectionKey, connect: Box<Connect>, assigned: bool) {
        if let Some(connection) = self.roster.connections.get_mut(key) {
            connection.phase = Phase::Authenticating {
                connect,
                assigned,
                is_challenged: false,
            };
        }
    }

    fn check_admission(
        &self,
        now: Instant,
        connect: &Connect,
        grant: &Grant,
    ) -> Result<(), Refusal> {
        check_expiry(now, grant)?;
        if let Some(will) = &connect.will {
            if !is_allowed(&*grant.permissions, &will.topic) {
                return Err(Refusal::WillNotAuthorized);
            }
            if will.topic.depth() > self.roster.settings.max_topic_levels {
                return Err(Refusal::WillTopicInvalid);
            }
        }
        let known = self.by_client_id.get(&connect.client_id);
        let owner = known
            .and_then(|key| self.roster.sessions.get(*key))
            .and_then(|session| session.user.as_ref());
        // Whoever knows a client id must not be given another user's messages for it.
        let is_another = owner.is_some_and(|owner| Some(owner) != grant.user.as_ref());
        if is_another && !fault!(OwnerForgotten) {
            return Err(Refusal::ClientIdOfAnother);
        }
        if known.is_none() && self.roster.sessions.len() >= self.roster.settings.max_sessions {
            return Err(Refusal::TooManySessions);
        }
        let is_new = known.is_none() || connect.clean_start;
        if is_new
            && self.roster.journal.is_full
            && expiry_seconds(&self.roster.settings, connect) > 0
        {
            return Err(Refusal::StoreFull);
        }
        Ok(())
    }

    fn accept(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        connect: &Connect,
        grant: Grant,
        mut connack: ConnAck,
    ) {
        let (expires_at, user) = (grant.expires_at, grant.user.clone());
        let contest = self.contest(now, &connect.client_id);
        let (session, session_present) = self.claim_session(now, connect, grant);
        let keep_alive_seconds = keep_alive_seconds(&self.roster.settings, connect);
        self.attach(now, key, session, connect, keep_alive_seconds);
        if let Some(connection) = self.roster.connections.get_mut(key) {
            connection.contest = contest;
        }
        self.expire_at(key, expires_at);
        self.set_renewal(key, Renewal::Idle);
        // [MQTT-3.2.2-2], [MQTT-3.2.2-3]: Session Present tells whether earlier state is continued.
        connack.session_present = session_present && !fault!(SessionPresentWrong);
        self.roster.stats.connections += 1;
        let welcome = Box::new(Welcome {
            client_id: connect.client_id.clone(),
            user,
            version: connect.version,
            session_present,
            keep_alive_seconds,
        });
        self.came_online(session);
        self.welcome(now, (key, session), connack, welcome);
    }

    /// The session for this CONNECT [MQTT-3.1.4-4], found by client id [MQTT-3.1.3-2]: the present one
    /// [MQTT-3.1.2-5], or a new one [MQTT-3.1.2-6]; an earlier connection of the client id is ended.
    fn claim_session(
        &mut self,
        now: Instant,
        connect: &Connect,
        grant: Grant,
    ) -> (SessionKey, bool) {
        if let Some(present) = self.by_client_id.get(&connect.client_id).copied() {
            if let Some(earlier) = self
                .roster
                .sessions
                .get(present)
                .and_then(|session| session.connection)
            {
                // [MQTT-3.1.4-3]: the earlier connection is told 0x8E and closed.
                if !fault!(TakeoverLeavesBoth) {
                    self.end(now, earlier, End::TakenOver);
                }
            }
            // [MQTT-3.1.2-4]: Clean Start 1 discards the session that is present.
            if connect.clean_start && !fault!(CleanStartKeepsSession) {
                self.remove_session(now, present);
            }
        }
        // The session may just have ended with the earlier connection.
        if let Some(present) = self.by_client_id.get(&connect.client_id).copied()
            && let Some(session) = self.roster.sessions.get_mut(present)
        {
            session.user = grant.user;
            // It may have been allowed more when it was here last.
            self.regrant(present, &grant.permissions);
            return (present, true);
        }
        let client_id = connect.client_id.detached();
        let mut session = Session::new(client_id.clone(), grant.permissions);
        session.user = grant.user;
        let key = self.roster.sessions.insert(session);
        self.by_client_id.insert(client_id, key);
        (key, false)
    }

    fn attach(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        to: SessionKey,
        connect: &Connect,
        keep_alive_seconds: u16,
    ) {
        let settings = &self.roster.settings;
        let (Some(session), Some(connection)) = (
            self.roster.sessions.get_mut(to),
            self.roster.connections.get_mut(key),
        ) else {
            return;
        };
        self.timers.clear(session.timer.take());
        session.connection = Some(key);
        // [MQTT-4.1.0-1]: it does not end while its client is here.
        session.expires_at = None;
        session.has_expiry = connect.properties.session_expiry_interval().unwrap_or(0) > 0;
        session.expiry_seconds = expiry_seconds(settings, connect);
        if session.expiry_seconds > 0 && session.number.is_none() {
            session.number = self.roster.journal.number_session();
        }
        // [MQTT-3.1.3-9]: a will that was still waiting is not sent once the session is taken up again.
        // [MQTT-3.1.2-7]
        let old = session.will.take().filter(|_| fault!(WillKeptAtResume));
        session.will = connect.will.as_ref().map(will_of).map(Box::new).or(old);
        session.resend.clear();
        let properties = &connect.properties;
        connection.phase = Phase::Connected(to);
        let receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
        // [MQTT-4.9.0-1]: the decoder lets no 0 through.
        connection.send_quota_maximum = receive_maximum;
        connection.send_quota = receive_maximum;
        let aliases = properties
            .topic_alias_maximum()
            .unwrap_or(0)
            .min(settings.outgoing_alias_maximum);
        connection.aliases_out = OutboundAliases::new(aliases);
        self.timers.clear(connection.timer.take());
        if keep_alive_seconds > 0 {
            let mut silence_millis = u64::from(keep_alive_seconds) * 1500;
            if fault!(KeepAliveTooLong) {
                silence_millis *= 2;
            }
            if fault!(KeepAliveTooShort) {
                silence_millis = u64::from(keep_alive_seconds) * 1000;
            }
            connection.silence_millis = Some(silence_millis);
            let due = now.plus_millis(silence_millis);
            connection.timer = Some(self.timers.set(due, Timer::Connection(key)));
        }
        self.record_session(to, None);
    }

    /// The shard a client id or a topic belongs to, the same on every shard.
    pub(super) fn home(&self, name: &[u8]) -> ShardId {
        let hash = self.homes.hash_one(name);
        ShardId(u16::try_from(hash % u64::from(self.shards)).unwrap_or(0))
    }

    fn move_home(&mut self, key: ConnectionKey, to: ShardId, connect: Box<Connect>) {
        let Some(connection) = self.roster.connections.remove(key) else {
            return;
        };
        self.timers.clear(connection.timer);
        let Phase::AwaitingConnect { deadline } = connection.phase else {
            return;
        };
        self.effects.push_back(Effect::Move {
            connection: key,
            to,
            connect,
            deadline,
        });
    }

    /// [MQTT-3.1.3-6], [MQTT-3.2.2-16]: an empty client id is given one by the server; it is at home on this shard
    /// and not in use.
    fn assign_client_id(&mut self) -> Utf8 {
        loop {
            self.assigned_ids += 1;
            let mixed = self
                .homes
                .hash_one((self.seed, self.id.0, self.assigned_ids));
            let candidate =
                Utf8::try_from(format!("weir-{mixed:016x}").as_str()).unwrap_or_default();
            if self.home(candidate.as_bytes()) == self.id
                && !self.by_client_id.contains_key(&candidate)
            {
                return candidate;
            }
        }
    }
}

/// [MQTT3-3.1.3-8], [MQTT3-3.1.3-9]: which client ids are refused. 1 to 23 letters and digits always pass [MQTT-3.1.3-5].
fn check_client_id(settings: &Settings, connect: &Connect) -> Result<(), Refusal> {
    let length = connect.client_id.chars().count();
    let valid = match connect.version {
        // 3.1: between 1 and 23 characters.
        Version::V3_1 if settings.tolerates_long_3_1_client_ids => length > 0,
        Version::V3_1 => (1..=23).contains(&length),
        // [MQTT3-3.1.3-7]: empty only with Clean Session 1.
        Version::V3_1_1 => length > 0 || connect.clean_start,
        Version::V5 => true,
    };
    if valid {
        Ok(())
    } else {
        Err(Refusal::ClientIdInvalid)
    }
}

/// The Keep Alive in force: the client's, or the server's where that is shorter and the client can be told
/// [MQTT-3.2.2-22]. A client that wants its absence noticed sooner keeps its own.
fn keep_alive_seconds(settings: &Settings, connect: &Connect) -> u16 {
    let wished = connect.keep_alive_seconds;
    match (connect.version, settings.server_keep_alive_seconds) {
        (Version::V5, longest @ 1..) if wished == 0 || wished > longest => longest,
        _ => wished,
    }
}

/// The Session Expiry Interval in force. In 3.x a session with Clean Session 0 lasts as long as the server lets any last.
fn expiry_seconds(settings: &Settings, connect: &Connect) -> u32 {
    let wished = match connect.version {
        Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => u32::MAX,
    };
    wished.min(settings.session_expiry_max_seconds)
}

fn will_of(will: &weir_codec::Will) -> Will {
    let message = Message {
        number: MessageNumber::default(),
        topic: will.topic.clone(),
        payload: will.payload.clone(),
        properties: application_properties(&will.properties),
        qos: will.qos,
        // [MQTT-3.1.2-14], [MQTT-3.1.2-15]
        retain: will.retain,
        expires_at: None,
    };
    Will {
        message: message.detached(),
        delay_seconds: will.properties.will_delay_interval().unwrap_or(0),
        expiry_seconds: will.properties.message_expiry_interval(),
        due_at: None,
    }
}

/// A will's properties without those that speak to the server; the others in their order [MQTT-3.1.3-10].
fn application_properties(will: &Properties) -> Properties {
    let for_server = |property: &Property<'_>| {
        matches!(
            property,
            Property::WillDelayInterval(_) | Property::MessageExpiryInterval(_)
        )
    };
    will.iter()
        .filter(|property| !for_server(property))
        .collect()
}

/// What ends an enhanced authentication: CONNACK names its method [MQTT-4.12.0-5], and without one has none
/// [MQTT-4.12.0-6].
fn conclude(properties: &mut Properties, connect: &Connect, grant: &Grant) {
    if let Some(method) = connect.properties.authentication_method()
        && !fault!(MethodNotConcluded)
    {
        properties.push(Property::AuthenticationMethod(method));
        if let Some(data) = &grant.data {
            properties.push(Property::AuthenticationData(data));
        }
    }
}

/// What a 5.0 CONNACK announces: only what differs from what the client must assume.
fn announcements(settings: &Settings, connect: &Connect, assigned: bool) -> Properties {
    let mut properties = Properties::default();
    let wished = connect.properties.session_expiry_interval().unwrap_or(0);
    let granted = expiry_seconds(settings, connect);
    if granted != wished {
        properties.push(Property::SessionExpiryInterval(granted));
    }
    properties.push(Property::ReceiveMaximum(settings.receive_maximum));
    properties.push(Property::MaximumPacketSize(settings.max_packet_bytes));
    if settings.topic_alias_maximum > 0 {
        properties.push(Property::TopicAliasMaximum(settings.topic_alias_maximum));
    }
    if assigned {
        // [MQTT-3.1.3-7]
        properties.push(Property::AssignedClientIdentifier(&connect.client_id));
    }
    let keep_alive_seconds = keep_alive_seconds(settings, connect);
    if keep_alive_seconds != connect.keep_alive_seconds {
        properties.push(Property::ServerKeepAlive(keep_alive_seconds));
    }
    // [MQTT-3.1.2-28]: Response Information only where it was asked for.
    if connect
        .properties
        .request_response_information()
        .unwrap_or(false)
    {
        let prefix = format!("response/{}", connect.client_id.as_str());
        properties.push(Property::ResponseInformation(&prefix));
    }
    properties
}
