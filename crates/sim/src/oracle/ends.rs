//! How connections begin and end, and what ends with them: takeover, the will, the session's expiry.
//!
//! Every end the engine asks for is judged: it must be foreseen by what was told in this step, or be allowed by what the
//! model knows of silence and full queues. What follows from it for the session is the same whatever the reason was.

use super::Oracle;
use super::sessions::{Cause, Debt, Session, Will};
use super::wire::{Phase, Turn, name};
use crate::client::LinkId;
use crate::message::{Identity, Message};
use crate::rules::Granted;
use std::rc::Rc;
use weir_codec::{Packet, PacketType, Qos, ReasonCode, Version};
use weir_engine::{End, Refusal, SlowReader, Welcome};

/// A client that takes no packet of this size may not be told what others are told.
const CRAMPED_BYTES: u32 = 200;

impl Oracle {
    /// Authentication has an answer: what the engine has to make of it.
    pub(super) fn decided(&mut self, link: LinkId, answer: &Result<Granted, Refusal>) {
        match self.wires[link].phase {
            Phase::Deciding if self.wires[link].turn == Turn::Judge => {}
            Phase::Connected => return self.renewed(link, answer),
            _ => return,
        }
        let admitted = answer.and_then(|granted| self.admission(link, granted));
        match admitted {
            Err(refusal) => {
                self.must_end(link, End::Refused(refusal), "it is refused");
                if self.step.holder.is_some() {
                    self.may_be_cramped(link);
                }
            }
            Ok(granted) => {
                self.wires[link].granted = granted;
                self.may_be_cramped(link);
                self.step.must_accept = Some(link);
            }
        }
    }

    /// It may take no packet that says what it would have to be told.
    fn may_be_cramped(&mut self, link: LinkId) {
        if self.wires[link].max_packet_bytes() < CRAMPED_BYTES {
            self.step.may_end.push((link, End::AnswerTooLarge));
        }
    }

    fn admission(&mut self, link: LinkId, granted: Granted) -> Result<Granted, Refusal> {
        let wire = &self.wires[link];
        let Some(connect) = wire.connect.as_ref() else {
            return Ok(granted);
        };
        if granted.expires_at.is_some_and(|at| at <= self.now) {
            return Err(Refusal::CredentialsExpired);
        }
        if let Some(will) = &connect.will {
            let topic = will.topic.as_str();
            if topic.starts_with("$SYS") || granted.denied.is_some_and(|it| topic.starts_with(it)) {
                return Err(Refusal::WillNotAuthorized);
            }
            if topic.split('/').count() > self.settings.max_topic_levels {
                return Err(Refusal::WillTopicInvalid);
            }
        }
        let here = self
            .sessions
            .values()
            .filter(|session| session.shard == wire.shard)
            .count();
        let known = self.sessions.get(connect.client_id.as_str());
        if known.is_some_and(|it| it.user.is_some() && it.user != granted.user) {
            return Err(Refusal::ClientIdOfAnother);
        }
        if known.is_none() && here >= self.settings.max_sessions {
            return Err(Refusal::TooManySessions);
        }
        let client_id = connect.client_id.as_str().to_string();
        let is_new = known.is_none() || connect.clean_start;
        let lasts = expiry_wished(connect).min(self.settings.session_expiry_max_seconds) > 0;
        if is_new && lasts && self.is_full(wire.shard) {
            return Err(Refusal::StoreFull);
        }
        match self.keeps_out(&client_id) {
            Some(refusal) => Err(refusal),
            None => Ok(granted),
        }
    }

    /// The engine lets a client in for good: at once, or when its session is kept.
    pub(super) fn accepted(&mut self, link: LinkId, welcome: &Welcome) {
        if self.step.must_accept == Some(link) {
            self.claim(link);
        }
        let wire = &mut self.wires[link];
        let is_second = std::mem::replace(&mut wire.is_welcomed, true);
        if is_second || wire.phase != Phase::Connected {
            return self.fail(format!("link {link} was accepted and should not have been"));
        }
        let wrong = welcome.session_present != wire.session_present
            || welcome.keep_alive_seconds != wire.keep_alive_seconds
            || *welcome.client_id != *wire.client_id;
        let present = wire.session_present;
        let needs = Rc::clone(&wire.welcome_needs);
        // Who comes to read is let in, whatever the store can take.
        let may = self.is_kept(&needs) || self.is_full(self.wires[link].shard);
        if wrong {
            self.fail(format!(
                "link {link} was welcomed with {welcome:?}; session present: {present}"
            ));
        } else if !may {
            self.fail(format!(
                "link {link} was welcomed before its session is kept"
            ));
        }
    }

    pub(super) fn is_full(&self, shard: usize) -> bool {
        self.durable.full.get(shard).copied().unwrap_or(false)
    }

    /// A client is let in: the session is its from now on, even where CONNACK waits for the store.
    pub(super) fn claim(&mut self, link: LinkId) {
        self.step.must_accept = None;
        let Some(connect) = self.wires[link].connect.clone() else {
            return self.fail(format!("link {link} was accepted without a CONNECT"));
        };
        let client_id = self.wires[link].named.clone();
        let client_id = client_id.as_str();
        if !connect.client_id.is_empty() && *connect.client_id != *client_id {
            return self.fail(format!("{client_id} is not what link {link} calls itself"));
        }
        if let Some(other) = self
            .sessions
            .get(client_id)
            .and_then(|session| session.link)
        {
            return self.fail(format!(
                "{client_id} has two connections, {other} and {link}"
            ));
        }
        self.discard_session(link);
        let present = self.sessions.contains_key(client_id);
        let needs = self.needs(None);
        let wire = &mut self.wires[link];
        let shard = wire.shard;
        wire.welcome_needs = needs;
        wire.phase = Phase::Connected;
        wire.turn = Turn::Nobody;
        wire.client_id = client_id.to_string();
        wire.session_present = present;
        // The Keep Alive begins when it is agreed on.
        wire.heard_at = self.now;
        wire.keep_alive_seconds = wire.keep_alive_of(&self.settings);
        self.begin_session(shard, link, client_id, &connect);
        self.regrant(client_id);
        // Nothing of it can be in the output, since there was none.
        if let Some(session) = self.sessions.get_mut(client_id) {
            for debt in &mut session.debts {
                debt.denied_at = debt.denied_at.map(|_| 0);
            }
        }
    }

    /// [MQTT-3.1.2-4]: Clean Start 1 discards the session that is present.
    pub(super) fn discard_session(&mut self, link: LinkId) {
        let connect = self.wires[link].connect.as_ref();
        if let Some(connect) = connect.filter(|connect| connect.clean_start) {
            let client_id = connect.client_id.as_str().to_string();
            self.remove_session(&client_id);
        }
    }

    fn begin_session(
        &mut self,
        shard: usize,
        link: LinkId,
        client_id: &str,
        connect: &weir_codec::Connect,
    ) {
        let wished = expiry_wished(connect);
        let will = connect.will.as_ref().and_then(|will| {
            let message = self
                .messages
                .get(&Identity::of(will.topic.as_str(), &will.payload))?;
            Some(Will {
                message: Rc::clone(message),
                delay_seconds: will.properties.will_delay_interval().unwrap_or(0),
                due_at: None,
            })
        });
        let limit = self.wires[link].max_packet_bytes() as usize;
        let granted = self.wires[link].granted;
        let session = self.sessions.find_or_begin(client_id, shard);
        session.link = Some(link);
        session.grant(granted);
        session.expiry_seconds = wished.min(self.settings.session_expiry_max_seconds);
        session.expires_at = None;
        session.is_durable |= self.durable.is_on && session.expiry_seconds > 0;
        // [MQTT-3.1.3-9]: a will that was still waiting is not sent once the session is taken up again.
        session.will = will;
        // What is too large for this connection need not be sent on it [MQTT-3.1.2-25].
        let mut groups = Vec::new();
        for debt in &mut session.debts {
            if debt.instance.message.wire_bytes_at_most() > limit {
                debt.must = false;
                groups.extend(group_of(&debt.cause));
            }
        }
        for flight in session.flights.values_mut() {
            let message = self.messages.get(&flight.identity);
            let bytes = message.map_or(usize::MAX, |message| message.wire_bytes_at_most());
            flight.is_optional |= bytes > limit && !flight.is_released;
        }
        groups
            .into_iter()
            .for_each(|id| self.groups[id].must = false);
    }

    /// The engine wants to close a connection: is that how this one may end?
    pub(super) fn judge_end(&mut self, link: LinkId, end: End) {
        if let (End::QueueFull, Some(newcomer)) = (end, self.step.must_accept) {
            // The will of the connection it takes over, or of the session that its clean start discards, may be what found no
            // room: that shows when it has been let in.
            self.claim(newcomer);
        }
        let wire = &self.wires[link];
        let foreseen = self.step.may_end.contains(&(link, end));
        let may = foreseen
            || match end {
                End::TakenOver => self
                    .step
                    .must_accept
                    .is_some_and(|other| self.is_same_client(other, link)),
                End::KeepAliveTimeout | End::ConnectTimeout => {
                    let connected = matches!(end, End::KeepAliveTimeout);
                    self.step.is_timeout
                        && (wire.phase == Phase::Connected) == connected
                        && self.silent_until(link).is_some_and(|at| at <= self.now)
                }
                End::QueueFull => self.may_be_overfull(link),
                End::RetainedFull => self.step.may_be_full == Some(link) && !wire.is_v5(),
                End::CredentialsExpired => {
                    let until = wire.granted.expires_at;
                    self.step.is_timeout && until.is_some_and(|at| at <= self.now)
                }
                End::AnswerTooLarge => wire.max_packet_bytes() < CRAMPED_BYTES,
                _ => false,
            };
        if !may {
            let name = name(link, &wire.client_id);
            return self.fail(format!("{name} was ended for no reason: {end}"));
        }
        if let (End::TakenOver, Some(newcomer)) = (end, self.step.must_accept) {
            self.takes_over(newcomer, link);
        }
        self.step.must_end.retain(|(other, _)| *other != link);
        if self.step.must_accept == Some(link) {
            self.step.must_accept = None;
        }
    }

    fn silent_until(&self, link: LinkId) -> Option<u64> {
        match self.wires[link].phase {
            Phase::Connected => self.wires[link].silent_until(),
            _ => Some(self.wires[link].deadline),
        }
    }

    fn is_same_client(&self, newcomer: LinkId, earlier: LinkId) -> bool {
        let connect = self.wires[newcomer].connect.as_ref();
        newcomer != earlier
            && connect.is_some_and(|connect| *connect.client_id == *self.wires[earlier].client_id)
    }

    /// Whether something was owed to this client in this step that its queue may not have had room for.
    fn may_be_overfull(&self, link: LinkId) -> bool {
        let session = self.sessions.get(&self.wires[link].client_id);
        // Which of several copies came last the model does not know.
        let came = |session: &Session, is_it: fn(&Debt) -> bool| {
            let now = self.step.number;
            session
                .debts
                .iter()
                .any(|debt| debt.step == now && is_it(debt))
        };
        session.is_some_and(|session| {
            came(session, |debt| debt.is_squeezed)
                && came(session, |debt| {
                    debt.qos != Qos::AtMostOnce || debt.policy == Some(SlowReader::Disconnect)
                })
        })
    }

    /// A connection is over: its last bytes have left.
    pub(crate) fn closed(&mut self, now: u64, link: LinkId, end: End) {
        self.now = now;
        let was = std::mem::replace(&mut self.wires[link].phase, Phase::Ended);
        self.check_farewell(link, &was, end);
        self.step.ended.push(link);
        if was == Phase::Connected {
            self.release_session(link, end);
        }
    }

    /// [promise 10]: the client can see why.
    fn check_farewell(&mut self, link: LinkId, was: &Phase, end: End) {
        let wire = &self.wires[link];
        let is_ours = !matches!(end, End::Disconnected(_) | End::Lost(_));
        let told = match &wire.last {
            Some(Packet::Disconnect(disconnect)) => Some(disconnect.reason),
            Some(Packet::ConnAck(connack)) if connack.reason != ReasonCode::Success => {
                Some(connack.reason)
            }
            _ => None,
        };
        let in_3 = |reason: ReasonCode| {
            ReasonCode::from_connack_return_code(reason.connack_return_code()).unwrap_or(reason)
        };
        let refused = || {
            let reason = end.reason_code();
            let reason = match reason.allowed_in(PacketType::ConnAck, true) {
                true => reason,
                false => ReasonCode::ServerUnavailable,
            };
            Some(if wire.is_v5() { reason } else { in_3(reason) })
        };
        let expected = match (is_ours, was) {
            (true, Phase::Deciding) => refused(),
            (true, Phase::Connected) if !wire.is_welcomed => refused(),
            (true, Phase::Connected) if wire.is_v5() => Some(end.reason_code()),
            _ => None,
        };
        let said = match &wire.last {
            Some(Packet::Disconnect(disconnect)) => disconnect.properties.reason_string(),
            Some(Packet::ConnAck(connack)) => connack.properties.reason_string(),
            _ => None,
        };
        let text = end.to_string();
        let is_explained = said.is_none_or(|said| said == text);
        if told != expected || text.is_empty() || !is_explained {
            let name = name(link, &wire.client_id);
            self.fail(format!(
                "{name} ended with {end} and was told {told:?} instead of {expected:?}"
            ));
        }
    }

    fn release_session(&mut self, link: LinkId, end: End) {
        let client_id = self.wires[link].client_id.clone();
        let now = self.now;
        let step = self.step.number;
        let Some(session) = self
            .sessions
            .get_mut(&client_id)
            .filter(|session| session.link == Some(link))
        else {
            return self.fail(format!("{client_id} has lost its session"));
        };
        session.link = None;
        if end == End::Disconnected(ReasonCode::Success) {
            // [MQTT-3.14.4-3]
            session.will = None;
        }
        // Whatever else ends it at that moment.
        let overfull = session
            .debts
            .iter()
            .any(|debt| debt.is_squeezed && debt.step == step);
        let mut groups = Vec::new();
        for debt in &mut session.debts {
            let is_lost = debt.qos == Qos::AtMostOnce;
            // A client that is too slow is told so and loses what came at that moment.
            let is_squeezed = overfull && debt.step == step;
            // Replays end with the connection or go on with the next one: MQTT asks for neither.
            let is_replay = matches!(debt.cause, Cause::Replay(_));
            if is_lost || is_squeezed || is_replay {
                debt.must = false;
                groups.extend(group_of(&debt.cause));
            }
        }
        session
            .debts
            .retain(|debt| debt.qos != Qos::AtMostOnce || matches!(debt.cause, Cause::Replay(_)));
        if session.expiry_seconds > 0 {
            session.be_absent(now);
        }
        let is_over = session.expiry_seconds == 0;
        groups
            .into_iter()
            .for_each(|id| self.groups[id].must = false);
        if is_over {
            self.remove_session(&client_id);
        } else {
            self.wake(&client_id);
        }
    }

    /// Ends a session. A will that still waits is published: the session's end does not swallow it [MQTT-3.1.2-8].
    pub(super) fn remove_session(&mut self, client_id: &str) {
        let Some(session) = self.sessions.remove(client_id) else {
            return;
        };
        self.excuse_groups(&session.debts);
        if let Some(will) = &session.will {
            self.publish_will(session.shard, client_id, &will.message, session.is_durable);
        }
    }

    /// [MQTT-4.8.2-5]: what was meant for this member goes to nobody else.
    pub(super) fn excuse_groups(&mut self, debts: &[Debt]) {
        let groups = debts.iter().filter_map(|debt| group_of(&debt.cause));
        groups.for_each(|id| self.groups[id].must = false);
    }

    /// A session without a connection: its will, its end.
    fn wake(&mut self, client_id: &str) {
        let now = self.now;
        let Some(session) = self
            .sessions
            .get_mut(client_id)
            .filter(|session| session.link.is_none())
        else {
            return;
        };
        let (shard, lasts) = (session.shard, session.is_durable);
        if session.expires_at.is_some_and(|at| at <= now) {
            return self.remove_session(client_id);
        }
        if let Some(will) = session
            .will
            .take_if(|will| will.due_at.is_some_and(|at| at <= now))
        {
            self.publish_will(shard, client_id, &will.message, lasts);
        }
    }

    /// Nobody sends a will again: it is forgotten when it is kept where it goes.
    fn publish_will(&mut self, shard: usize, of: &str, will: &Rc<Message>, lasts: bool) {
        self.publish(shard, of, will);
        if let Some(needs) = &self.step.published {
            needs.is_whole.set(lasts && will.qos != Qos::AtMostOnce);
        }
    }

    /// A shard's timer fired: everything that is due happens, the earliest first.
    pub(super) fn timers(&mut self, shard: usize) {
        let due = self
            .sessions
            .values()
            .filter(|session| session.shard == shard);
        let mut due: Vec<(u64, String)> = due
            .filter_map(|session| Some((session.due_at()?, session.client_id.clone())))
            .collect();
        due.retain(|(at, _)| *at <= self.now);
        due.sort_unstable();
        // Of one moment the model does not know the order: each of their wills may find the others retained before it.
        self.step.crowd = due.len().saturating_sub(1);
        for (_, client_id) in due {
            self.wake(&client_id);
        }
    }
}

/// The Session Expiry Interval that a CONNECT asks for.
fn expiry_wished(connect: &weir_codec::Connect) -> u32 {
    match connect.version {
        Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => u32::MAX,
    }
}

fn group_of(cause: &Cause) -> Option<usize> {
    match cause {
        Cause::Group(id) => Some(*id),
        _ => None,
    }
}
