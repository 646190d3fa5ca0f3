//! What clients send, and what must come of it.
//!
//! Each packet becomes answers that are owed, deliveries that are owed, or an end that must follow within the step. Rules
//! are looked at in the order in which a client can tell them apart: what ends the connection comes before what is answered.

use super::durable::Needs;
use super::retained::Room;
use super::routing::share;
use super::sessions::{Cause, Subscription};
use super::wire::{AckOwed, Owed, Phase, SubAckOwed};
use super::{Oracle, spoken};
use crate::client::LinkId;
use crate::message::{Identity, Message};
use std::collections::VecDeque;
use std::rc::Rc;
use weir_codec::{
    Ack, Connect, Delivery, Disconnect, Packet, Properties, Publish, Qos, ReasonCode,
    RetainHandling, Subscribe, TopicFilter, TopicName, Unsubscribe,
};
use weir_engine::{End, Violation};

impl Oracle {
    pub(super) fn packet(&mut self, link: LinkId, packet: &Packet) {
        self.heard(self.now, link);
        let wire = &self.wires[link];
        match (&wire.phase, packet) {
            (Phase::Waiting, Packet::Connect(connect)) => return self.connect(link, connect),
            (Phase::Waiting, other) => {
                let end = End::Violation(Violation::Unexpected(other.name()));
                return self.must_end(link, end, "a packet before CONNECT");
            }
            (Phase::Deciding, _) => return self.before_connack(link, packet),
            (Phase::Connected, _) if wire.is_welcomed => {}
            _ => {
                return self.fail(format!(
                    "link {link}: {packet:?} was read too early or too late"
                ));
            }
        }
        match packet {
            Packet::Publish(publish) => self.receive_publish(link, publish),
            Packet::PubAck(ack) => self.receive_puback(link, ack),
            Packet::PubRec(ack) => self.receive_pubrec(link, ack),
            Packet::PubRel(ack) => self.receive_pubrel(link, ack),
            Packet::PubComp(ack) => self.receive_pubcomp(link, ack),
            Packet::Subscribe(subscribe) => self.receive_subscribe(link, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.receive_unsubscribe(link, unsubscribe),
            Packet::PingReq => self.wires[link].owed.pings += 1,
            Packet::Auth(auth) => self.receive_auth(link, auth),
            Packet::Disconnect(disconnect) => self.receive_disconnect(link, disconnect),
            other => self.fail(format!("no script sends {other:?}")),
        }
    }

    fn connect(&mut self, link: LinkId, connect: &Connect) {
        let wire = &mut self.wires[link];
        wire.version = connect.version;
        wire.connect = Some(connect.clone());
    }

    fn receive_publish(&mut self, link: LinkId, publish: &Publish) {
        let client_id = self.wires[link].client_id.clone();
        let (topic, violation) = self.topic_of(link, publish);
        let Some(topic) = topic.filter(|_| violation.is_none()) else {
            let end = End::Violation(violation.unwrap_or(Violation::TopicAliasUnknown));
            return self.must_end(link, end, "a PUBLISH that breaks the rules");
        };
        let Some(session) = self.sessions.get_mut(&client_id) else {
            return self.fail(format!("{client_id} has no session"));
        };
        let shard = session.shard;
        if let Delivery::ExactlyOnce(id) = publish.delivery
            && session.received.contains(&id.get())
        {
            let mut allowed = vec![ReasonCode::Success];
            if session.doubtful.contains(&id.get()) {
                allowed.extend([ReasonCode::NoMatchingSubscribers, ReasonCode::QuotaExceeded]);
            }
            return self.owe_ack(link, publish.delivery, allowed);
        }
        let denied = topic.as_str().starts_with("$SYS") || session.denies(topic.as_str());
        if denied {
            if self.wires[link].is_v5() {
                return self.owe_ack(link, publish.delivery, vec![ReasonCode::NotAuthorized]);
            }
            let end = End::Violation(Violation::PublishNotAuthorized);
            return self.must_end(link, end, "a PUBLISH that is not allowed");
        }
        let frees_room = publish.retain && publish.payload.is_empty();
        if self.is_full(shard) && !frees_room && publish.delivery != Delivery::AtMostOnce {
            if self.wires[link].is_v5() {
                return self.owe_ack(link, publish.delivery, vec![ReasonCode::QuotaExceeded]);
            }
            return self.must_end(link, End::StoreFull, "no room in the store");
        }
        let message = self.message_of(link, publish, topic);
        let reach = self.publish(shard, &client_id, &message);
        self.owe_for(link, &client_id, publish, reach.room, reach.somebody);
    }

    /// A message that was routed, or found no room to be retained, is acknowledged accordingly.
    fn owe_for(
        &mut self,
        link: LinkId,
        client_id: &str,
        publish: &Publish,
        room: Room,
        somebody: bool,
    ) {
        let is_v5 = self.wires[link].is_v5();
        if room != Room::Yes {
            self.step.may_be_full = Some(link);
            if room == Room::No && !is_v5 && publish.delivery != Delivery::AtMostOnce {
                return self.must_end(link, End::RetainedFull, "no room for a retained message");
            }
        }
        let mut allowed = Vec::new();
        if room != Room::No {
            allowed.push(ReasonCode::Success);
            // Whether anybody matched hangs on what the shard knows of the others' interest, except where it was promised.
            if !somebody {
                allowed.push(ReasonCode::NoMatchingSubscribers);
            }
            if let (Delivery::ExactlyOnce(id), Some(session)) =
                (publish.delivery, self.sessions.get_mut(client_id))
            {
                session.received.insert(id.get());
                let needs = self.step.published.iter();
                needs.for_each(|needs| needs.is_whole.set(session.is_durable));
                if room == Room::Maybe && self.shards == 1 && !self.durable.is_on {
                    session.doubtful.insert(id.get());
                }
                self.step.in_doubt = Some(id.get()).filter(|_| room == Room::Maybe);
            }
        }
        if room != Room::Yes {
            allowed.push(ReasonCode::QuotaExceeded);
        }
        self.owe_ack(link, publish.delivery, allowed);
    }

    /// The message that came in this step was not taken after all.
    pub(super) fn refuse_received(&mut self, client_id: &str) {
        if let (Some(id), Some(session)) =
            (self.step.in_doubt.take(), self.sessions.get_mut(client_id))
        {
            session.received.remove(&id);
        }
    }

    fn owe_ack(&mut self, link: LinkId, delivery: Delivery, allowed: Vec<ReasonCode>) {
        let Some(id) = delivery.packet_id() else {
            return;
        };
        match delivery.qos() {
            Qos::AtLeastOnce => self.owe_answer(link, id.get(), allowed, |owed| &mut owed.pubacks),
            _ => self.owe_answer(link, id.get(), allowed, |owed| &mut owed.pubrecs),
        };
    }

    /// An acknowledgement is owed, when what this step asks for is done.
    fn owe_answer(
        &mut self,
        link: LinkId,
        packet_id: u16,
        reasons: Vec<ReasonCode>,
        list: impl Fn(&mut Owed) -> &mut VecDeque<AckOwed>,
    ) -> Rc<Needs> {
        // A message published in this step says itself when it has come everywhere.
        let published = self.step.published.take();
        let needs = published.unwrap_or_else(|| self.needs(None));
        let owed = &mut self.wires[link].owed;
        needs.is_prompt.set(owed.has_no_acks());
        list(owed).push_back(AckOwed {
            packet_id,
            reasons,
            needs: Rc::clone(&needs),
        });
        needs
    }

    /// The topic of a PUBLISH, or what is wrong with it.
    fn topic_of(
        &mut self,
        link: LinkId,
        publish: &Publish,
    ) -> (Option<TopicName>, Option<Violation>) {
        let settings = &self.settings;
        let wire = &mut self.wires[link];
        let alias = publish.properties.topic_alias();
        if alias.is_some_and(|alias| alias > settings.topic_alias_maximum) {
            return (None, Some(Violation::TopicAliasTooLarge));
        }
        let topic = match (alias, &publish.topic) {
            (Some(alias), Some(topic)) => {
                wire.aliases_in.insert(alias, topic.clone());
                Some(topic.clone())
            }
            (Some(alias), None) => wire.aliases_in.get(&alias).cloned(),
            (None, topic) => topic.clone(),
        };
        let Some(topic) = topic else {
            return (None, Some(Violation::TopicAliasUnknown));
        };
        if topic.as_str().split('/').count() > settings.max_topic_levels {
            return (None, Some(Violation::TopicTooDeep));
        }
        if let (Delivery::ExactlyOnce(id), true) = (publish.delivery, wire.is_v5())
            && let Some(session) = self.sessions.get(&wire.client_id)
            && session.received.len() >= usize::from(settings.receive_maximum)
            && !session.received.contains(&id.get())
        {
            return (None, Some(Violation::ReceiveMaximumExceeded));
        }
        (Some(topic), None)
    }

    /// The message that was meant; one without a number is what the packet says.
    fn message_of(&mut self, link: LinkId, publish: &Publish, topic: TopicName) -> Rc<Message> {
        let identity = Identity::of(topic.as_str(), &publish.payload);
        if let Some(message) = self.messages.get(&identity).cloned() {
            if message.topic != topic
                || message.qos != publish.delivery.qos()
                || message.retain != publish.retain
            {
                self.fail(format!(
                    "link {link}: {identity:?} was sent as something else: {publish:?}"
                ));
            }
            // What was sent in 5.0 and is sent again in 3.x has lost its properties.
            return match self.wires[link].is_v5() {
                true => message,
                false => Rc::new(Message {
                    life_seconds: None,
                    properties: Properties::default(),
                    ..(*message).clone()
                }),
            };
        }
        let properties = publish
            .properties
            .iter()
            .filter(|property| !super::outgoing::is_transport(property));
        Rc::new(Message {
            topic_text: crate::generate::TOPICS
                .iter()
                .copied()
                .find(|text| *text == topic.as_str())
                .unwrap_or(""),
            topic,
            payload: publish.payload.clone(),
            qos: publish.delivery.qos(),
            retain: publish.retain,
            life_seconds: publish.properties.message_expiry_interval(),
            properties: properties.collect(),
        })
    }

    fn receive_puback(&mut self, link: LinkId, ack: &Ack) {
        let id = ack.packet_id.get();
        let flight = self
            .flight(link, id)
            .map(|flight| (flight.qos, flight.is_released));
        match flight {
            Some((Qos::AtLeastOnce, _)) => self.landed(link, id),
            Some(_) => self.must_end(link, unexpected("PUBACK"), "a PUBACK for a QoS 2 message"),
            None => {}
        }
    }

    fn receive_pubrec(&mut self, link: LinkId, ack: &Ack) {
        let id = ack.packet_id.get();
        let reason = match self.flight(link, id) {
            Some(flight) if flight.qos == Qos::AtLeastOnce => {
                return self.must_end(link, unexpected("PUBREC"), "a PUBREC for a QoS 1 message");
            }
            Some(flight) => {
                flight.is_released = true;
                ReasonCode::Success
            }
            None => ReasonCode::PacketIdentifierNotFound,
        };
        let needs = self.owe_answer(link, id, vec![reason], |owed| &mut owed.pubrels);
        if let Some(flight) = self.flight(link, id) {
            flight.release_needs = needs;
        }
    }

    fn receive_pubcomp(&mut self, link: LinkId, ack: &Ack) {
        let id = ack.packet_id.get();
        let flight = self.flight(link, id).map(|flight| flight.is_released);
        match flight {
            Some(true) => self.landed(link, id),
            Some(false) => self.must_end(link, unexpected("PUBCOMP"), "a PUBCOMP without a PUBREC"),
            None => {}
        }
    }

    fn receive_pubrel(&mut self, link: LinkId, ack: &Ack) {
        let id = ack.packet_id.get();
        let client_id = &self.wires[link].client_id;
        if let Some(session) = self.sessions.get_mut(client_id) {
            session.doubtful.remove(&id);
        }
        let known = self
            .sessions
            .get_mut(client_id)
            .is_some_and(|session| session.received.remove(&id));
        let reason = if known {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        self.owe_answer(link, id, vec![reason], |owed| &mut owed.pubcomps);
    }

    fn flight(&mut self, link: LinkId, id: u16) -> Option<&mut super::sessions::Flight> {
        let client_id = &self.wires[link].client_id;
        self.sessions.get_mut(client_id)?.flights.get_mut(&id)
    }

    /// A message is delivered for good.
    fn landed(&mut self, link: LinkId, id: u16) {
        let wire = &mut self.wires[link];
        wire.outstanding.remove(&id);
        if let Some(session) = self.sessions.get_mut(&wire.client_id) {
            session.flights.remove(&id);
        }
    }

    fn receive_subscribe(&mut self, link: LinkId, subscribe: &Subscribe) {
        let is_v5 = self.wires[link].is_v5();
        let identifier = subscribe
            .properties
            .subscription_identifiers()
            .next()
            .unwrap_or(0);
        let client_id = self.wires[link].client_id.clone();
        let wish = super::slow::wish(&subscribe.properties);
        let mut reasons = Vec::new();
        let mut confirms = Vec::new();
        for (filter, options) in subscribe.filters.iter() {
            let reason = match filter {
                _ if wish.is_err() => ReasonCode::ImplementationSpecificError,
                Err(_) => ReasonCode::TopicFilterInvalid,
                Ok(filter) => {
                    let number = self.next_number();
                    let refusal = self.refusal(&client_id, &filter);
                    if refusal.is_none() {
                        let subscription = Subscription {
                            qos: options.qos,
                            no_local: options.no_local,
                            retain_as_published: options.retain_as_published,
                            identifier,
                            slow_reader: wish.unwrap_or_default(),
                            number,
                            is_promised: false,
                        };
                        confirms.push(self.enter(
                            &client_id,
                            filter.as_str(),
                            subscription,
                            options.retain_handling,
                        ));
                    }
                    refusal.unwrap_or(granted(options.qos))
                }
            };
            reasons.push(spoken(reason, is_v5));
        }
        let packet_id = subscribe.packet_id.get();
        let needs = self.needs(None);
        self.wires[link].owed.subacks.push_back(SubAckOwed {
            packet_id,
            reasons,
            confirms: Some(confirms),
            needs,
        });
    }

    fn refusal(&self, client_id: &str, filter: &TopicFilter) -> Option<ReasonCode> {
        let session = self.sessions.get(client_id)?;
        let inner = share(filter.as_str()).unwrap_or(filter.as_str());
        if inner.split('/').count() > self.settings.max_topic_levels {
            return Some(ReasonCode::TopicFilterInvalid);
        }
        if session.denies(inner) {
            return Some(ReasonCode::NotAuthorized);
        }
        let is_full = session.subscriptions.len() >= self.settings.max_subscriptions_per_session;
        let is_new = !session.subscriptions.contains_key(filter.as_str());
        let can_last = !session.is_durable || !self.is_full(session.shard);
        (is_full && is_new || !can_last).then_some(ReasonCode::QuotaExceeded)
    }

    /// Enters a subscription, and what it is owed of retained messages; returns its name and number.
    fn enter(
        &mut self,
        client_id: &str,
        filter: &str,
        mut subscription: Subscription,
        handling: RetainHandling,
    ) -> (String, u64) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return (filter.to_string(), 0);
        };
        let old = session.subscriptions.get(filter);
        let is_new = old.is_none();
        if let Some(old) = old {
            // [MQTT-3.8.4-3]: replaced, without a gap.
            subscription.number = old.number;
            subscription.is_promised = old.is_promised;
        }
        let number = subscription.number;
        session
            .subscriptions
            .insert(filter.to_string(), subscription);
        let wants = match handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants && share(filter).is_none() {
            self.owe_replays(client_id, filter);
        }
        (filter.to_string(), number)
    }

    fn receive_unsubscribe(&mut self, link: LinkId, unsubscribe: &Unsubscribe) {
        let is_v5 = self.wires[link].is_v5();
        let client_id = self.wires[link].client_id.clone();
        let mut reasons = Vec::new();
        for filter in unsubscribe.filters.iter() {
            reasons.push(match filter {
                Err(_) => ReasonCode::TopicFilterInvalid,
                Ok(filter) if self.leave(&client_id, filter.as_str()) => ReasonCode::Success,
                Ok(_) => ReasonCode::NoSubscriptionExisted,
            });
        }
        if !is_v5 {
            reasons.clear();
        }
        let packet_id = unsubscribe.packet_id.get();
        let needs = self.needs(None);
        self.wires[link].owed.subacks.push_back(SubAckOwed {
            packet_id,
            reasons,
            confirms: None,
            needs,
        });
    }

    pub(super) fn leave(&mut self, client_id: &str, filter: &str) -> bool {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return false;
        };
        // What was in its queue already may come, but nothing has to any more.
        let replay = Cause::Replay(filter.to_string());
        session
            .debts
            .iter_mut()
            .filter(|debt| debt.cause == replay)
            .for_each(|debt| debt.must = false);
        session.subscriptions.remove(filter).is_some()
    }

    fn receive_disconnect(&mut self, link: LinkId, disconnect: &Disconnect) {
        let client_id = &self.wires[link].client_id;
        if let (Some(seconds), Some(session)) = (
            disconnect.properties.session_expiry_interval(),
            self.sessions.get_mut(client_id),
        ) {
            if session.expiry_seconds == 0 && seconds > 0 {
                let end = End::Violation(Violation::SessionExpiryRaised);
                return self.must_end(link, end, "a Session Expiry Interval that was raised");
            }
            session.expiry_seconds = seconds.min(self.settings.session_expiry_max_seconds);
        }
        self.must_end(link, End::Disconnected(disconnect.reason), "DISCONNECT");
    }
}

fn unexpected(packet: &'static str) -> End {
    End::Violation(Violation::Unexpected(packet))
}

fn granted(qos: Qos) -> ReasonCode {
    match qos {
        Qos::AtMostOnce => ReasonCode::Success,
        Qos::AtLeastOnce => ReasonCode::GrantedQos1,
        Qos::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}
