//! One client: it speaks real bytes, keeps the promises of its side, and acknowledges as its habit is.
//!
//! State that belongs to the session (what is unacknowledged in either direction) outlives a connection exactly if the
//! server says that the session was present; aliases and limits end with the connection.

mod packets;

pub(crate) use packets::{METHOD, auth, connect, name_of, payload_id};

use crate::message::Message;
use crate::script::{ConnectWish, Habit};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use weir_codec::{
    Ack, Decoder, Delivery, Packet, PacketId, Properties, Publish, Qos, ReasonCode, Version,
};

/// The number of a transport, never reused.
pub(crate) type LinkId = usize;

/// A client and what it knows.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) link: Option<LinkId>,
    /// Whether CONNACK came.
    pub(crate) accepted: bool,
    pub(crate) version: Version,
    pub(crate) habit: Habit,
    /// How often it pings, in milliseconds; 0: not.
    pub(crate) ping_millis: u64,
    pub(crate) receive_maximum: u16,
    pub(crate) alias_maximum: u16,
    /// The payloads it was given as retained messages, by topic; for the last checks.
    pub(crate) collected: BTreeMap<String, Bytes>,
    /// How it connected last.
    pub(crate) wish: Option<ConnectWish>,
    pings: bool,
    decoder: Decoder,
    /// What it sent and what is not acknowledged, in the order in which it was sent.
    outgoing: Vec<(PacketId, Outgoing)>,
    /// QoS 2 messages it has received, until PUBREL.
    received: BTreeSet<PacketId>,
    /// What it has received and not acknowledged, being slow to.
    unacknowledged: Vec<(PacketId, Qos)>,
    aliases: BTreeMap<&'static str, u16>,
    last_id: u16,
}

#[derive(Clone, Debug)]
enum Outgoing {
    Publish(Publish),
    Release,
}

/// What a client sends in answer to a packet.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// At once.
    pub(crate) prompt: Vec<Packet>,
    /// As its habit is.
    pub(crate) acks: Vec<Packet>,
    /// It is asked for more of who it is.
    pub(crate) is_challenged: bool,
    /// The QoS 2 message it has taken, which it did not know.
    pub(crate) taken: Option<u64>,
    /// It has no session any more.
    pub(crate) is_anew: bool,
}

impl Client {
    pub(crate) fn new(name: String, last_id: u16) -> Self {
        Self {
            name,
            link: None,
            accepted: false,
            version: Version::V5,
            habit: Habit::Prompt,
            ping_millis: 0,
            wish: None,
            pings: true,
            receive_maximum: u16::MAX,
            alias_maximum: 0,
            collected: BTreeMap::new(),
            decoder: Decoder::client(Version::V5, u32::MAX),
            outgoing: Vec::new(),
            received: BTreeSet::new(),
            unacknowledged: Vec::new(),
            aliases: BTreeMap::new(),
            last_id,
        }
    }

    /// A new transport begins.
    pub(crate) fn begin(&mut self, link: LinkId, wish: &ConnectWish) {
        let limit = match (wish.version, wish.max_packet_bytes) {
            (Version::V5, 1..) => wish.max_packet_bytes,
            _ => u32::MAX,
        };
        self.link = Some(link);
        self.wish = Some(wish.clone());
        self.accepted = false;
        self.version = wish.version;
        self.decoder = Decoder::client(wish.version, limit);
        self.aliases.clear();
        self.alias_maximum = 0;
        self.receive_maximum = u16::MAX;
        self.unacknowledged.clear();
        self.pings = wish.pings;
        self.ping_millis = u64::from(wish.keep_alive_seconds) * 800;
        if wish.clean_start {
            self.forget_session();
        }
    }

    /// Whether it has authenticated in steps.
    pub(crate) fn is_in_steps(&self) -> bool {
        self.wish.as_ref().is_some_and(packets::is_in_steps)
    }

    /// A new transport begins, on which it will not be let in.
    pub(crate) fn rush(&mut self, link: LinkId) {
        self.link = Some(link);
        self.accepted = false;
        self.decoder = Decoder::client(self.version, u32::MAX);
    }

    /// The transport is gone.
    pub(crate) fn lose(&mut self) {
        self.link = None;
        self.accepted = false;
    }

    pub(crate) fn encode(&self, packet: &Packet) -> Bytes {
        let mut bytes = BytesMut::new();
        let encoded = packet.encode(self.version, &mut bytes);
        assert!(
            encoded.is_ok(),
            "a client's packet: {packet:?}: {encoded:?}"
        );
        bytes.freeze()
    }

    /// Takes bytes from the server. What it can't read it ignores: the oracle has read the same and judged it.
    pub(crate) fn receive(&mut self, bytes: Bytes) -> Vec<Answers> {
        let mut answers = Vec::new();
        self.decoder.push(bytes);
        while let Ok(Some(packet)) = self.decoder.next_packet() {
            answers.push(self.answer(packet));
        }
        answers
    }

    fn answer(&mut self, packet: Packet) -> Answers {
        let mut answers = Answers::default();
        match packet {
            Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => {
                self.accepted = true;
                let properties = &connack.properties;
                self.receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
                self.alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
                if let Some(seconds) = properties.server_keep_alive() {
                    self.ping_millis = u64::from(seconds) * 800;
                }
                if !self.pings {
                    self.ping_millis = 0;
                }
                answers.is_anew = !connack.session_present && self.version != Version::V3_1;
                answers.prompt = self.resume(connack.session_present);
            }
            Packet::Publish(publish) => self.take(&publish, &mut answers),
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.outgoing.retain(|(id, _)| *id != ack.packet_id);
            }
            Packet::Auth(auth) => {
                answers.is_challenged = auth.reason == ReasonCode::ContinueAuthentication;
            }
            Packet::PubRec(ack) => self.recorded(&ack, &mut answers),
            Packet::PubRel(ack) => {
                self.received.remove(&ack.packet_id);
                self.unacknowledged.retain(|(id, _)| *id != ack.packet_id);
                answers
                    .acks
                    .push(Packet::PubComp(Ack::success(ack.packet_id)));
            }
            _ => {}
        }
        answers
    }

    fn take(&mut self, publish: &Publish, answers: &mut Answers) {
        if let (true, Some(topic)) = (publish.retain, &publish.topic) {
            self.collected
                .insert(topic.as_str().to_string(), publish.payload.clone());
        }
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => {
                self.unacknowledged.push((id, Qos::AtLeastOnce));
                answers.acks.push(Packet::PubAck(Ack::success(id)));
            }
            Delivery::ExactlyOnce(id) => {
                if self.received.insert(id) {
                    answers.taken = payload_id(&publish.payload);
                }
                self.unacknowledged.push((id, Qos::ExactlyOnce));
                answers.acks.push(Packet::PubRec(Ack::success(id)));
            }
        }
    }

    fn recorded(&mut self, ack: &Ack, answers: &mut Answers) {
        let id = ack.packet_id;
        if ack.reason.is_error() {
            self.outgoing.retain(|(other, _)| *other != id);
            return;
        }
        if let Some((_, outgoing)) = self.outgoing.iter_mut().find(|(other, _)| *other == id) {
            *outgoing = Outgoing::Release;
        }
        answers.acks.push(Packet::PubRel(Ack::success(id)));
    }

    /// The client sent this acknowledgement.
    pub(crate) fn acknowledged(&mut self, packet: &Packet) {
        let (Packet::PubAck(ack) | Packet::PubRec(ack)) = packet else {
            return;
        };
        self.unacknowledged.retain(|(id, _)| *id != ack.packet_id);
    }

    /// [MQTT-4.4.0-1]: what was in flight is sent again if the session is continued. 3.1 has no way to say that it is.
    fn resume(&mut self, session_present: bool) -> Vec<Packet> {
        if !session_present && self.version != Version::V3_1 {
            self.forget_session();
        }
        let again = self.outgoing.iter().map(|(id, outgoing)| match outgoing {
            Outgoing::Release => Packet::PubRel(Ack::success(*id)),
            Outgoing::Publish(publish) => Packet::Publish(Publish {
                dup: true,
                properties: match self.version {
                    Version::V5 => publish.properties.clone(),
                    _ => Properties::default(),
                },
                ..publish.clone()
            }),
        });
        again.collect()
    }

    /// From here on it has nothing to send again.
    pub(crate) fn forget_sent(&mut self) {
        self.outgoing.clear();
    }

    /// It has no session.
    fn forget_session(&mut self) {
        self.outgoing.clear();
        self.received.clear();
    }

    /// Whether one more message with QoS 1 or 2 may be sent.
    pub(crate) fn has_window(&self) -> bool {
        self.outgoing.len() < usize::from(self.receive_maximum)
    }

    pub(crate) fn next_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && self.outgoing.iter().all(|(other, _)| *other != id)
            {
                return id;
            }
        }
    }

    /// The PUBLISH for a message, which from now on is in flight.
    pub(crate) fn publish(&mut self, message: &Message, aliased: bool) -> Packet {
        let delivery = match message.qos {
            Qos::AtMostOnce => Delivery::AtMostOnce,
            Qos::AtLeastOnce => Delivery::AtLeastOnce(self.next_id()),
            Qos::ExactlyOnce => Delivery::ExactlyOnce(self.next_id()),
        };
        let mut publish = packets::publish(message, delivery, self.version);
        if let Some(id) = delivery.packet_id() {
            self.outgoing.push((id, Outgoing::Publish(publish.clone())));
        }
        if aliased && self.version == Version::V5 {
            let next = u16::try_from(self.aliases.len() + 1).unwrap_or(u16::MAX);
            packets::alias(
                &mut publish,
                message,
                &mut self.aliases,
                next,
                self.alias_maximum,
            );
        }
        Packet::Publish(publish)
    }

    /// A message it has sent and that is not acknowledged, once more.
    pub(crate) fn repeat(&self) -> Option<Packet> {
        self.outgoing
            .iter()
            .find_map(|(_, outgoing)| match outgoing {
                Outgoing::Publish(publish) => Some(Packet::Publish(Publish {
                    dup: true,
                    ..publish.clone()
                })),
                Outgoing::Release => None,
            })
    }

    /// A message it has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> Option<(PacketId, Qos)> {
        self.unacknowledged.last().copied()
    }
}
