//! Enhanced authentication (section 4.12), and what becomes of a client whose credentials or permissions change while
//! it is connected.
//!
//! The engine carries AUTH packets between the client and whoever judges it, and sees that they come in order and name
//! CONNECT's method. A client that authenticates again goes on meanwhile with what it was granted before: nothing is held
//! up and nothing is lost. When it is granted something else, its subscriptions, what waits for it and its will are looked
//! at again: what is not allowed any more ends, and the client is told which of its filters that concerns.

use super::Shard;
use crate::connection::{Exchange, Phase, Renewal};
use crate::end::{End, Refusal, Violation};
use crate::id::{ConnectionKey, SessionKey};
use crate::input::{Authentication, Credentials, Effect, Grant, Report};
use crate::permission::{Asked, Coverage, Permissions, Refreshed};
use crate::time::Instant;
use crate::timers::Timer;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use weir_codec::{Auth, Packet, Properties, Property, ReasonCode, TopicFilter, Utf8};

/// So many denials of one connection are told one by one.
const DENIALS_TOLD: u8 = 16;

/// The User Property of an AUTH that names a subscription which is not allowed any more and has ended.
const SUBSCRIPTION_ENDED: &str = "subscription-ended";

impl Shard {
    /// AUTH while CONNECT is being judged: the answer to a challenge. [MQTT-3.1.2-30]: nothing else but DISCONNECT may
    /// come.
    pub(super) fn receive_before_connack(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        packet: Packet,
    ) {
        match packet {
            Packet::Auth(auth) => self.answer_challenge(now, key, &auth),
            Packet::Disconnect(disconnect) => {
                self.end(now, key, End::Disconnected(disconnect.reason));
            }
            other => {
                let violation = Violation::Unexpected(other.name());
                self.end(now, key, End::Violation(violation));
            }
        }
    }

    /// AUTH of a client that is connected.
    pub(super) fn receive_auth(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        auth: &Auth,
    ) {
        if auth.reason == ReasonCode::ReAuthenticate {
            self.begin_renewal(now, key, session, auth);
        } else {
            self.answer_challenge(now, key, auth);
        }
    }

    fn begin_renewal(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        auth: &Auth,
    ) {
        let method = match self.check_auth(key, auth, Renewal::Idle) {
            Ok(method) => method,
            Err(violation) => return self.end(now, key, End::Violation(violation)),
        };
        let Some(session) = self.roster.sessions.get(session) else {
            return;
        };
        let credentials = Credentials {
            client_id: session.client_id.clone(),
            username: session.user.clone(),
            password: None,
            method: Some(method),
            data: data_of(auth),
            is_renewal: true,
        };
        self.set_renewal(key, Renewal::Judged);
        self.effects.push_back(Effect::Authenticate {
            connection: key,
            credentials: Box::new(credentials),
        });
    }

    /// [MQTT-4.12.0-3]: AUTH with 0x18 is an answer, and due only after a challenge.
    fn answer_challenge(&mut self, now: Instant, key: ConnectionKey, auth: &Auth) {
        let due = match auth.reason {
            ReasonCode::ContinueAuthentication => {
                self.check_auth(key, auth, Renewal::Challenged).map(drop)
            }
            _ => Err(Violation::UnexpectedAuth),
        };
        if let Err(violation) = due {
            return self.end(now, key, End::Violation(violation));
        }
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        if let Phase::Authenticating { is_challenged, .. } = &mut connection.phase {
            *is_challenged = false;
        }
        self.set_renewal(key, Renewal::Judged);
        self.effects.push_back(Effect::Respond {
            connection: key,
            data: data_of(auth).unwrap_or_default(),
        });
    }

    /// Whether an AUTH is due and names the method of CONNECT, which is returned.
    fn check_auth(&self, key: ConnectionKey, auth: &Auth, due: Renewal) -> Result<Utf8, Violation> {
        let connection = self.roster.connections.get(key);
        // [MQTT-4.12.0-7]: no AUTH from a client whose CONNECT named no method.
        let exchange = connection
            .and_then(|connection| connection.exchange.as_ref())
            .ok_or(Violation::UnexpectedAuth)?;
        if exchange.renewal != due && !fault!(AuthOutOfTurn) {
            return Err(Violation::UnexpectedAuth);
        }
        // [MQTT-4.12.0-5], [MQTT-4.12.1-1]
        match auth.properties.authentication_method() {
            Some(method) if *method == *exchange.method || fault!(AuthOfAnotherMethod) => {
                Ok(exchange.method.clone())
            }
            _ => Err(Violation::AuthenticationMethodChanged),
        }
    }

    /// Whoever judges wants to know more: [MQTT-4.12.0-2], the client is asked with AUTH 0x18.
    pub(super) fn handle_challenged(&mut self, key: ConnectionKey, data: &[u8]) {
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        // The client may have ended meanwhile.
        match &mut connection.phase {
            Phase::Authenticating { is_challenged, .. } => *is_challenged = true,
            Phase::Connected(_) => {}
            Phase::AwaitingConnect { .. } | Phase::Closing => return,
        }
        self.set_renewal(key, Renewal::Challenged);
        let data = Property::AuthenticationData(data);
        if let Some(packet) = self.auth(key, ReasonCode::ContinueAuthentication, [data]) {
            self.roster.send(key, &packet);
        }
    }

    /// The answer to a client that is connected and authenticates again.
    pub(super) fn handle_renewed(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        answer: Authentication,
    ) {
        let judged = self
            .exchange(key)
            .is_some_and(|exchange| exchange.renewal == Renewal::Judged);
        if !judged {
            return;
        }
        match answer.and_then(|grant| self.check_renewal(now, session, grant)) {
            // [MQTT-4.12.1-2]
            Err(refusal) => self.end(now, key, End::ReauthenticationRefused(refusal)),
            Ok(grant) => self.renew(key, session, &grant),
        }
    }

    /// It has to be the same user, with credentials that hold.
    fn check_renewal(
        &self,
        now: Instant,
        session: SessionKey,
        grant: Grant,
    ) -> Result<Grant, Refusal> {
        let session = self.roster.sessions.get(session);
        let is_another = session.is_none_or(|session| session.user != grant.user);
        if is_another && !fault!(RenewalByAnother) {
            return Err(Refusal::NotAuthorized);
        }
        check_expiry(now, &grant).map(|()| grant)
    }

    fn renew(&mut self, key: ConnectionKey, session: SessionKey, grant: &Grant) {
        self.set_renewal(key, Renewal::Idle);
        if !fault!(RenewalKeepsExpiry) {
            self.expire_at(key, grant.expires_at);
        }
        let ended = match fault!(RenewalKeepsPermissions) {
            true => Vec::new(),
            false => self.regrant(session, &grant.permissions),
        };
        let data = grant.data.as_deref().map(Property::AuthenticationData);
        let ended = ended
            .iter()
            .filter(|_| !fault!(EndedUntold))
            .map(|filter| Property::UserProperty(SUBSCRIPTION_ENDED, filter.as_str()));
        let full = self.auth(key, ReasonCode::Success, data.into_iter().chain(ended));
        // [MQTT-3.15.2-3]: what is only said besides is left out where it is more than the client takes.
        let takes = |packet: &Packet| {
            let connection = self.roster.connections.get(key);
            connection.is_some_and(|connection| connection.takes(packet))
        };
        let packet = full
            .filter(takes)
            .or_else(|| self.auth(key, ReasonCode::Success, data));
        if let Some(packet) = packet {
            self.roster.send(key, &packet);
        }
        self.report(session, Report::Reauthenticated);
    }

    /// From now on the connection lasts until then.
    pub(super) fn expire_at(&mut self, key: ConnectionKey, at: Option<Instant>) {
        let Some(connection) = self.roster.connections.get_mut(key) else {
            return;
        };
        self.timers.clear(connection.credentials_timer.take());
        connection.credentials_timer = at.map(|at| self.timers.set(at, Timer::Credentials(key)));
    }

    /// Every session's permissions are looked at again. A connected client that loses a subscription is disconnected:
    /// MQTT has no other way to tell it, and a page that waits for messages in vain would be worse off.
    pub(super) fn handle_permissions_changed(&mut self, now: Instant) {
        let sessions: Vec<_> = self.roster.sessions.keys().collect();
        for key in sessions {
            let refreshed = self.roster.sessions.get(key);
            let connection = refreshed.and_then(|session| session.connection);
            let lost = match refreshed.map(|session| session.permissions.refreshed()) {
                Some(Refreshed::Changed(permissions)) => {
                    !self.regrant(key, &permissions).is_empty()
                }
                Some(Refreshed::Withdrawn) => true,
                Some(Refreshed::Unchanged) | None => false,
            };
            if let (true, Some(connection)) = (lost && !fault!(DenialUntold), connection) {
                self.end(now, connection, End::PermissionWithdrawn);
            }
        }
    }

    /// Puts these permissions in the place of a session's earlier ones, and ends what they do not allow. Returns the
    /// filters of the subscriptions that were ended.
    pub(super) fn regrant(
        &mut self,
        key: SessionKey,
        permissions: &Arc<dyn Permissions>,
    ) -> Vec<TopicFilter> {
        if !fault!(EncoreOutlivesGrant) {
            self.roster.end_encores();
        }
        let Some(session) = self.roster.sessions.get_mut(key) else {
            return Vec::new();
        };
        session.permissions = Arc::clone(permissions);
        session.checks_deliveries = false;
        let mut ended = Vec::new();
        for filter in session.subscriptions.iter(&self.subscriptions) {
            match permissions.may_subscribe(&filter) {
                Coverage::Whole => {}
                Coverage::Part => session.checks_deliveries = true,
                Coverage::Nothing if fault!(DenialForgotten) => {}
                Coverage::Nothing => ended.push(filter),
            }
        }
        let number = session.number;
        let journal = &mut self.roster.journal;
        session.queue.retain(|waiting, message| {
            let may = permissions.may_receive(&message.topic) || fault!(QueueKeepsDenied);
            if !may {
                journal.delete_delivery(number, waiting.sequence);
            }
            may
        });
        let denied = |will: &mut Box<crate::session::Will>| {
            !super::publish::is_allowed(&**permissions, &will.message.topic)
        };
        if let Some(will) = session.will.take_if(denied) {
            let topic = will.message.topic;
            let rule = permissions.rule(Asked::Publish(&topic));
            self.report(key, Report::WillDeleted(topic, rule));
            self.forget_will(key);
        }
        for filter in &ended {
            self.take_back(key, filter);
            let rule = permissions.rule(Asked::Subscribe(filter));
            self.report(key, Report::SubscriptionEnded(filter.clone(), rule));
        }
        ended
    }

    /// Tells the log of a denial; after some, only that there are more.
    pub(super) fn report_denial(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        report: impl FnOnce(&dyn Permissions) -> Report,
    ) {
        self.roster.stats.denials += 1;
        let (Some(connection), Some(of)) = (
            self.roster.connections.get_mut(key),
            self.roster.sessions.get(session),
        ) else {
            return;
        };
        if connection.denials_told > DENIALS_TOLD {
            return;
        }
        connection.denials_told += 1;
        let report = match connection.denials_told > DENIALS_TOLD {
            true => Report::Muted,
            false => report(&*of.permissions),
        };
        self.report(session, report);
    }

    pub(super) fn report(&mut self, session: SessionKey, report: Report) {
        if let Some(session) = self.roster.sessions.get(session) {
            self.effects.push_back(Effect::Report {
                client_id: session.client_id.clone(),
                report: Box::new(report),
            });
        }
    }

    fn exchange(&self, key: ConnectionKey) -> Option<&Exchange> {
        self.roster.connections.get(key)?.exchange.as_deref()
    }

    pub(super) fn set_renewal(&mut self, key: ConnectionKey, renewal: Renewal) {
        let connection = self.roster.connections.get_mut(key);
        if let Some(exchange) = connection.and_then(|it| it.exchange.as_mut()) {
            exchange.renewal = renewal;
        }
    }

    /// [MQTT-4.12.0-5]: every AUTH names the method of CONNECT. [MQTT-4.12.0-6]: so there is none without one.
    fn auth<'a>(
        &self,
        key: ConnectionKey,
        reason: ReasonCode,
        more: impl IntoIterator<Item = Property<'a>>,
    ) -> Option<Packet> {
        let method = &self.exchange(key)?.method;
        let mut properties = Properties::default();
        properties.push(Property::AuthenticationMethod(method));
        for property in more {
            properties.push(property);
        }
        Some(Packet::Auth(Auth { reason, properties }))
    }
}

/// What has expired already counts for nothing.
pub(super) fn check_expiry(now: Instant, grant: &Grant) -> Result<(), Refusal> {
    match grant.expires_at {
        Some(at) if at <= now && !fault!(ExpiredLetIn) => Err(Refusal::CredentialsExpired),
        _ => Ok(()),
    }
}

fn data_of(auth: &Auth) -> Option<Bytes> {
    let data = auth.properties.authentication_data();
    data.map(Bytes::copy_from_slice)
}
