//! Enhanced authentication in the model: whose turn it is, and what the client must be told.
//!
//! A client that is connected may authenticate again, as the same user; what it is not allowed any more then ends, and the
//! AUTH that tells it so names each subscription. Whatever is wrong with an AUTH ends the connection.

use super::Oracle;
use super::wire::{Phase, Turn};
use crate::client::{LinkId, METHOD};
use crate::rules::Granted;
use crate::world::{GOOD, QUESTION};
use weir_codec::{Auth, ConnAck, Packet, ReasonCode};
use weir_engine::{Credentials, End, Refusal, Violation};

const ENDED: &str = "subscription-ended";

impl Oracle {
    /// AUTH came, before CONNACK or after.
    pub(super) fn receive_auth(&mut self, link: LinkId, auth: &Auth) {
        let wire = &self.wires[link];
        let due = match (auth.reason, &wire.phase) {
            (ReasonCode::ReAuthenticate, Phase::Connected) => wire.turn == Turn::Nobody,
            (ReasonCode::ContinueAuthentication, _) => wire.turn == Turn::Client,
            _ => false,
        };
        let violation = match auth.properties.authentication_method() {
            _ if !wire.has_method() || !due => Violation::UnexpectedAuth,
            Some(METHOD) => {
                self.wires[link].turn = Turn::Judge;
                self.step.must_judge = Some(link);
                return;
            }
            _ => Violation::AuthenticationMethodChanged,
        };
        self.must_end(link, End::Violation(violation), "an AUTH that is not due");
    }

    /// A packet while CONNECT is judged, which may only be the answer to a question [MQTT-3.1.2-30].
    pub(super) fn before_connack(&mut self, link: LinkId, packet: &Packet) {
        match packet {
            _ if self.wires[link].turn != Turn::Client => {
                self.fail(format!("link {link}: {packet:?} was read too early"));
            }
            Packet::Auth(auth) => self.receive_auth(link, auth),
            Packet::Disconnect(disconnect) => {
                self.must_end(link, End::Disconnected(disconnect.reason), "DISCONNECT");
            }
            other => {
                let end = End::Violation(Violation::Unexpected(other.name()));
                self.must_end(link, end, "another packet than AUTH");
            }
        }
    }

    /// The engine wants somebody judged.
    pub(super) fn judged(&mut self, link: LinkId, shard: usize, credentials: &Credentials) {
        let client_id = credentials.client_id.as_str();
        let wire = &mut self.wires[link];
        let is_renewal = wire.phase == Phase::Connected;
        let is_due = !is_renewal || self.step.must_judge.take() == Some(link);
        let method = wire.has_method().then_some(METHOD);
        let is_said = credentials.method.as_ref().map(|it| it.as_str()) == method;
        if !is_due || !is_said || credentials.is_renewal != is_renewal {
            return self.fail(format!("link {link} is judged with {credentials:?}"));
        }
        if is_renewal {
            let session = self.sessions.get(&wire.client_id);
            let user = session.and_then(|session| session.user);
            let name = credentials.username.as_ref().map(|it| it.as_str());
            if wire.client_id != client_id || name != user {
                self.fail(format!("link {link} is judged again as {credentials:?}"));
            }
            return;
        }
        wire.phase = Phase::Deciding;
        wire.turn = Turn::Judge;
        wire.named = client_id.to_string();
        self.settles(client_id, shard);
    }

    /// The client's answer goes to whoever asked.
    pub(super) fn responded(&mut self, link: LinkId, data: &[u8]) {
        if self.step.must_judge.take() != Some(link) || data != b"so" {
            self.fail(format!("link {link} answers a question that nobody asked"));
        }
    }

    /// Whoever judges wants to know more.
    pub(super) fn questioned(&mut self, link: LinkId) {
        let wire = &mut self.wires[link];
        if wire.turn == Turn::Judge && matches!(wire.phase, Phase::Deciding | Phase::Connected) {
            wire.turn = Turn::Client;
            wire.owed.auths.push_back(None);
        }
    }

    /// The answer to a client that is connected.
    pub(super) fn renewed(&mut self, link: LinkId, answer: &Result<Granted, Refusal>) {
        let wire = &self.wires[link];
        if wire.turn != Turn::Judge {
            return;
        }
        let client_id = wire.client_id.clone();
        let user = self.sessions.get(&client_id).and_then(|it| it.user);
        let granted = answer.and_then(|granted| match granted {
            granted if granted.user != user => Err(Refusal::NotAuthorized),
            granted if granted.expires_at.is_some_and(|at| at <= self.now) => {
                Err(Refusal::CredentialsExpired)
            }
            granted => Ok(granted),
        });
        let granted = match granted {
            Ok(granted) => granted,
            Err(refusal) => {
                let end = End::ReauthenticationRefused(refusal);
                return self.must_end(link, end, "it is refused when it authenticates again");
            }
        };
        self.wires[link].turn = Turn::Nobody;
        self.wires[link].granted = granted;
        if let Some(session) = self.sessions.get_mut(&client_id) {
            session.grant(granted);
        }
        let ended = self.regrant(&client_id);
        self.wires[link].owed.auths.push_back(Some(ended));
    }

    /// AUTH was sent.
    pub(super) fn sent_auth(&mut self, link: LinkId, auth: &Auth) {
        let wire = &mut self.wires[link];
        let said = auth.properties.user_properties();
        let mut said: Vec<&str> = said.filter(|it| it.0 == ENDED).map(|it| it.1).collect();
        said.sort_unstable();
        let data = auth.properties.authentication_data();
        let is_right = match wire.owed.auths.pop_front() {
            Some(None) => {
                (auth.reason, data)
                    == (
                        ReasonCode::ContinueAuthentication,
                        Some(QUESTION.as_bytes()),
                    )
            }
            // [MQTT-3.15.2-3]: what is only said besides may be left out.
            Some(Some(ended)) => {
                let is_free = wire.max_packet_bytes() == u32::MAX;
                (auth.reason, data) == (ReasonCode::Success, Some(GOOD.as_bytes()))
                    && (said == ended || said.is_empty() && !is_free)
            }
            None => false,
        };
        if !is_right || auth.properties.authentication_method() != Some(METHOD) {
            self.fail(format!("link {link} was sent {auth:?}"));
        }
    }

    /// Whether CONNACK ends an enhanced authentication as it has to [MQTT-4.12.0-5], [MQTT-4.12.0-6].
    pub(super) fn concludes(&self, link: LinkId, connack: &ConnAck) -> bool {
        let has_method = self.wires[link].has_method() && connack.reason == ReasonCode::Success;
        let properties = &connack.properties;
        let told = (
            properties.authentication_method(),
            properties.authentication_data(),
        );
        told == if has_method {
            (Some(METHOD), Some(GOOD.as_bytes()))
        } else {
            (None, None)
        }
    }
}
