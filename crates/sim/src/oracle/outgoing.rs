//! What clients are sent: every packet is something the client is owed, in the form it is owed in.
//!
//! Packets are read back from the bytes that leave, by a decoder that knows what the client takes. A PUBLISH pays exactly one
//! debt; where several look alike, the oldest.

use super::Oracle;
use super::paying::settle;
use super::sessions::{Cause, Flight, Session};
use super::wire::{AckOwed, Phase, Wire, name};
use crate::client::LinkId;
use crate::message::Identity;
use bytes::Bytes;
use std::collections::VecDeque;
use std::rc::Rc;
use weir_codec::{
    Ack, ConnAck, Decoder, Delivery, Packet, Property, Publish, ReasonCode, SubAck, UnsubAck,
    Version,
};

/// A property that belongs to one hop, not to the message.
pub(crate) fn is_transport(property: &Property<'_>) -> bool {
    matches!(
        property,
        Property::TopicAlias(_)
            | Property::MessageExpiryInterval(_)
            | Property::SubscriptionIdentifier(_)
    )
}

impl Oracle {
    /// Bytes leave for a client. Returns the packets, for a reader.
    pub(crate) fn transmitted(
        &mut self,
        now: u64,
        link: LinkId,
        bytes: &Bytes,
        is_last: bool,
    ) -> Vec<Packet> {
        self.now = now;
        let mut packets = Vec::new();
        let wire = &mut self.wires[link];
        let (version, limit) = (wire.version, wire.max_packet_bytes());
        // [MQTT-3.1.2-24]: the decoder refuses what is larger than the client takes.
        let mut decoder = wire
            .decoder
            .take()
            .unwrap_or_else(|| Decoder::client(version, limit));
        decoder.push(bytes.clone());
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => {
                    self.outgoing(link, &packet);
                    packets.push(packet.clone());
                    self.wires[link].last = Some(packet);
                }
                Ok(None) => break,
                Err(error) => {
                    self.fail(format!(
                        "link {link} was sent bytes that are no packet: {error}"
                    ));
                    break;
                }
            }
        }
        if decoder.buffered_bytes() > 0 {
            self.fail(format!("link {link} was sent half a packet"));
        }
        let late = self.wires[link].owed.prompt().filter(|_| !is_last);
        if let Some(id) = late {
            self.fail(format!(
                "link {link} waits for the acknowledgement of {id}, which waits for nothing"
            ));
        }
        let wire = &mut self.wires[link];
        wire.decoder = (!is_last).then_some(decoder);
        wire.transmitted_at = now;
        let session = self.sessions.get(&wire.client_id);
        wire.is_caught_up |= session.is_some_and(|session| {
            let is_sent = session
                .debts
                .iter()
                .all(|debt| matches!(debt.cause, Cause::Replay(_)));
            is_sent
                && session
                    .flights
                    .values()
                    .all(|flight| flight.sent_on == link)
        });
        packets
    }

    fn outgoing(&mut self, link: LinkId, packet: &Packet) {
        let wire = &mut self.wires[link];
        if matches!(wire.last, Some(Packet::Disconnect(_))) || wire.phase == Phase::Ended {
            return self.fail(format!("link {link} was sent {packet:?} after the end"));
        }
        if !wire.connack_seen && !matches!(packet, Packet::ConnAck(_) | Packet::Auth(_)) {
            return self.fail(format!("link {link} was sent {packet:?} before CONNACK"));
        }
        match packet {
            Packet::ConnAck(connack) => self.connack(link, connack),
            Packet::Publish(publish) => self.sent_publish(link, publish),
            Packet::PubAck(ack) => {
                self.answered(link, ack, |wire| &mut wire.owed.pubacks, "PUBACK");
            }
            Packet::PubRec(ack) => self.sent_pubrec(link, ack),
            Packet::PubRel(ack) => self.sent_pubrel(link, ack),
            Packet::PubComp(ack) => {
                self.answered(link, ack, |wire| &mut wire.owed.pubcomps, "PUBCOMP");
            }
            Packet::SubAck(SubAck {
                packet_id, reasons, ..
            }) => self.suback(link, packet_id.get(), reasons, true),
            Packet::UnsubAck(UnsubAck {
                packet_id, reasons, ..
            }) => self.suback(link, packet_id.get(), reasons, false),
            Packet::Auth(auth) => self.sent_auth(link, auth),
            Packet::PingResp if wire.owed.pings > 0 => wire.owed.pings -= 1,
            // How it ends is judged when the transport is closed.
            Packet::Disconnect(_) if wire.is_v5() => {}
            other => self.fail(format!("link {link} was sent {other:?} for no reason")),
        }
    }

    fn connack(&mut self, link: LinkId, connack: &ConnAck) {
        let wire = &mut self.wires[link];
        let is_second = std::mem::replace(&mut wire.connack_seen, true);
        let present = wire.session_present && wire.version != Version::V3_1;
        let accepts = connack.reason == ReasonCode::Success;
        let is_right = match wire.phase {
            Phase::Connected if wire.is_welcomed => accepts && connack.session_present == present,
            _ => !accepts && !connack.session_present,
        };
        let is_right = is_right && self.concludes(link, connack);
        if is_second || !is_right {
            self.fail(format!(
                "link {link} was sent {connack:?}; session present: {present}"
            ));
        }
    }

    /// An acknowledgement answers the oldest packet of its kind that has none [MQTT-4.6.0-2], [MQTT-4.6.0-3].
    fn answered(
        &mut self,
        link: LinkId,
        ack: &Ack,
        list: impl Fn(&mut Wire) -> &mut VecDeque<AckOwed>,
        kind: &str,
    ) {
        let wire = &mut self.wires[link];
        let is_v5 = wire.is_v5();
        let owed = list(wire).pop_front();
        let is_right = owed.as_ref().is_some_and(|owed| {
            owed.packet_id == ack.packet_id.get() && (!is_v5 || owed.reasons.contains(&ack.reason))
        });
        let is_kept = owed.as_ref().is_none_or(|owed| self.is_kept(&owed.needs));
        if !is_right {
            self.fail(format!(
                "link {link} was sent {kind} {ack:?} instead of {owed:?}"
            ));
        } else if !is_kept {
            self.fail(format!(
                "link {link} was sent {kind} {ack:?} before what it promises is kept: {owed:?}"
            ));
        }
    }

    fn sent_pubrec(&mut self, link: LinkId, ack: &Ack) {
        if ack.reason.is_error() {
            // The message was refused: its id is free again.
            let client_id = &self.wires[link].client_id;
            if let Some(session) = self.sessions.get_mut(client_id) {
                session.received.remove(&ack.packet_id.get());
            }
        }
        self.answered(link, ack, |wire| &mut wire.owed.pubrecs, "PUBREC");
    }

    fn sent_pubrel(&mut self, link: LinkId, ack: &Ack) {
        let id = ack.packet_id.get();
        let wire = &self.wires[link];
        if wire
            .owed
            .pubrels
            .front()
            .is_some_and(|owed| owed.packet_id == id)
        {
            return self.answered(link, ack, |wire| &mut wire.owed.pubrels, "PUBREL");
        }
        let flight = self
            .sessions
            .get_mut(&wire.client_id)
            .and_then(|session| session.flights.get_mut(&id));
        match flight {
            Some(flight) if flight.is_released && flight.sent_on != link => {
                flight.sent_on = link;
                let needs = Rc::clone(&flight.release_needs);
                if !self.is_kept(&needs) {
                    self.fail(format!(
                        "link {link} was sent PUBREL {id} before PUBREC is kept"
                    ));
                }
            }
            _ => self.fail(format!("link {link} was sent PUBREL {ack:?} for no reason")),
        }
    }

    fn suback(&mut self, link: LinkId, id: u16, reasons: &[ReasonCode], subscribes: bool) {
        let wire = &mut self.wires[link];
        let owed = wire.owed.subacks.pop_front();
        let Some(owed) = owed.filter(|owed| {
            owed.packet_id == id && owed.reasons == reasons && owed.confirms.is_some() == subscribes
        }) else {
            return self.fail(format!(
                "link {link} was sent SUBACK or UNSUBACK {id} {reasons:?}"
            ));
        };
        if !self.is_kept(&owed.needs) {
            return self.fail(format!(
                "link {link} was sent SUBACK {id} before it is kept"
            ));
        }
        let wire = &self.wires[link];
        let Some(session) = self.sessions.get_mut(&wire.client_id) else {
            return;
        };
        // [promise 11]: from now on everybody knows.
        for (filter, number) in owed.confirms.into_iter().flatten() {
            if let Some(subscription) = session.subscriptions.get_mut(&filter) {
                subscription.is_promised |= subscription.number == number;
            }
        }
    }

    fn sent_publish(&mut self, link: LinkId, publish: &Publish) {
        let who = name(link, &self.wires[link].client_id);
        let topic = match self.resolve(link, publish) {
            Ok(topic) => topic,
            Err(why) => return self.fail(format!("{who} was sent {publish:?}: {why}")),
        };
        let identity = Identity::of(&topic, &publish.payload);
        let wire = &mut self.wires[link];
        wire.published_at = self.now;
        let Some(session) = self
            .sessions
            .get_mut(&wire.client_id)
            .filter(|session| session.link == Some(link))
        else {
            return self.fail(format!("{who} was sent {identity:?} without a session"));
        };
        let sent = match publish.delivery.packet_id() {
            None if publish.dup => Err("DUP with QoS 0".into()),
            None => settle(session, wire, publish, &topic, &identity, self.now),
            Some(id) => numbered(
                session,
                wire,
                link,
                publish,
                id.get(),
                &topic,
                &identity,
                self.now,
            ),
        };
        let (lasts, client_id) = (session.is_durable, session.client_id.clone());
        let receive_maximum = wire.receive_maximum();
        let outstanding = wire.outstanding.len();
        match sent {
            Err(why) => self.fail(format!("{who} was sent {identity:?}: {why} ({publish:?})")),
            Ok(paid) => self.paid(&paid),
        }
        if let (Delivery::ExactlyOnce(id), true) = (publish.delivery, lasts)
            && !self.is_sent_for_good(&client_id, id.get())
        {
            self.fail(format!(
                "{who} was sent {identity:?} before its packet id is kept"
            ));
        }
        if outstanding > receive_maximum {
            self.fail(format!("{who}: {outstanding} messages unacknowledged, its Receive Maximum is {receive_maximum}"));
        }
    }

    /// The topic, by name or alias [MQTT-3.1.2-26].
    fn resolve(&mut self, link: LinkId, publish: &Publish) -> Result<String, String> {
        let maximum = self.wires[link].alias_maximum(&self.settings);
        let aliases = &mut self.wires[link].aliases_out;
        let named = publish
            .topic
            .as_ref()
            .map(|topic| topic.as_str().to_string());
        let Some(alias) = publish.properties.topic_alias() else {
            return named.ok_or_else(|| "neither topic nor alias".into());
        };
        if alias > maximum {
            return Err(format!("alias above the maximum of {maximum}"));
        }
        match named {
            Some(topic) => {
                aliases.insert(alias, topic.clone());
                Ok(topic)
            }
            None => aliases
                .get(&alias)
                .cloned()
                .ok_or_else(|| "an alias that was never set".into()),
        }
    }

    /// One member of a shared subscription has a message: the others are owed nothing. Where a client was owed the same
    /// message for several reasons nobody can tell for which it came, and neither can the model: then others may have it.
    fn paid(&mut self, causes: &[Cause]) {
        let groups = || {
            causes.iter().filter_map(|cause| match cause {
                Cause::Group(id) => Some(*id),
                _ => None,
            })
        };
        for id in groups() {
            let is_sure = causes.len() == 1
                && matches!(
                    self.groups[id].instance.message.identity(),
                    Identity::Numbered(_)
                );
            if is_sure {
                self.drop_group(id);
            } else {
                self.groups[id].must = false;
            }
        }
    }
}

/// A PUBLISH with a packet id: sent for the first time, or again on a new connection.
#[expect(clippy::too_many_arguments, reason = "what is sent, to whom, when")]
fn numbered(
    session: &mut Session,
    wire: &mut Wire,
    link: LinkId,
    publish: &Publish,
    id: u16,
    topic: &str,
    identity: &Identity,
    now: u64,
) -> Result<Vec<Cause>, String> {
    wire.outstanding.insert(id);
    // What was too large for some connection need not come any more, and a crash begins the circle of ids anew.
    let is_new =
        |flight: &Flight| flight.is_optional && (flight.identity != *identity || !publish.dup);
    if session.flights.get(&id).is_some_and(is_new) {
        session.flights.remove(&id);
    }
    if let Some(flight) = session.flights.get_mut(&id) {
        // [promise 3]
        if !publish.dup || flight.identity != *identity || flight.qos != publish.delivery.qos() {
            return Err(format!(
                "packet id {id} is in flight for {:?}",
                flight.identity
            ));
        }
        if flight.is_released {
            return Err("sent again after PUBREC".into());
        }
        if flight.sent_on == link {
            return Err("sent again without a new connection".into());
        }
        // A QoS 2 message that waits for the store is overtaken by others when it is sent first, and not when it is
        // sent again.
        let resent = &mut wire.resent[flight.qos as usize];
        if flight.number < *resent {
            return Err("sent again out of order".into());
        }
        *resent = flight.number;
        flight.sent_on = link;
        return Ok(Vec::new());
    }
    if publish.dup && !wire.session_present {
        return Err("DUP on a message that was never sent".into());
    }
    // With DUP and unknown: it was in an output that its connection took along, so nobody saw it.
    let cause = settle(session, wire, publish, topic, identity, now)?;
    let latest = session.flights.values().map(|flight| flight.number).max();
    let number = latest
        .unwrap_or(0)
        .max(*wire.resent.iter().max().unwrap_or(&0))
        + 1;
    session.flights.insert(
        id,
        Flight::new(identity.clone(), publish.delivery.qos(), link, number),
    );
    Ok(cause)
}
