//! What can happen in a script: one choice of bytes after the other becomes an act.
//!
//! Clients mostly behave; where they don't, they do so in ways that the broker has an answer for.

use bytes::Bytes;
use weir_codec::{
    Ack, Connect, DecodeError, Decoder, Delivery, Disconnect, Packet, PacketId, Properties,
    Property, Publish, Qos, ReasonCode, RetainHandling, Subscribe, SubscribeFilters,
    SubscriptionOptions, TopicName, Unsubscribe, UnsubscribeFilters, Utf8, Version, Will,
};
use weir_engine::Input;

use super::peer::{IDS_OF_A_PEER, Memory, Peer, Stage};
use super::world::{CLIENTS, World};
use crate::choices::Choices;

const TOPICS: [&str; 6] = ["a", "a/b", "a/b/c", "$x/y", "d", "a/b/c/d/e/f"];
const FILTERS: [&str; 10] = [
    "#",
    "a/#",
    "+/b",
    "a",
    "a/b",
    "$x/#",
    "$share/g/a/#",
    "$share/g/+",
    "$share/h/a",
    "a/#/b",
];
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

impl World {
    pub(super) fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.below(24) {
            0..=3 => self.connect(choices),
            4..=6 => self.with_peer(choices, World::subscribe),
            7 => self.with_peer(choices, World::unsubscribe),
            8..=11 => self.with_peer(choices, World::publish),
            12..=14 => self.with_peer(choices, World::acknowledge),
            15 => self.with_peer(choices, World::release),
            16 => self.with_peer(choices, World::disconnect),
            17 => self.with_peer(choices, |world, peer, _| world.lose(peer)),
            18 => self.with_peer(choices, |world, peer, _| {
                world.peers[peer].reads ^= true;
                world.transmit(peer);
            }),
            19 => self.pass_some(choices),
            20 => self.with_peer(choices, World::nonsense),
            21 => {
                self.deliver(choices.below(6));
            }
            22 => {
                self.decide(!choices.one_in(4));
            }
            _ => self.settle(),
        }
    }

    fn with_peer(
        &mut self,
        choices: &mut Choices<'_>,
        act: fn(&mut Self, usize, &mut Choices<'_>),
    ) {
        if self.peers.is_empty() {
            return self.connect(choices);
        }
        let peer = choices.below(self.peers.len());
        act(self, peer, choices);
    }

    /// Hands over a packet, if the broker reads from this peer now.
    fn send(&mut self, peer: usize, packet: Packet) -> bool {
        let (shard, connection) = self.peers[peer].place;
        if self.peers[peer].ended || !self.shards[shard].accepts_packets(connection) {
            return false;
        }
        self.tell(shard, Input::Packet { connection, packet });
        true
    }

    /// The same for a packet that may only come once the client is accepted and knows it.
    fn is_open(&self, peer: usize) -> bool {
        let Peer {
            place: (shard, key),
            accepted,
            ended,
            ..
        } = self.peers[peer];
        accepted && !ended && self.shards[shard].accepts_packets(key)
    }

    fn connect(&mut self, choices: &mut Choices<'_>) {
        let number = choices.below(CLIENTS + 1);
        let connect = connect_packet(number, choices);
        let shard = choices.below(self.shards.len());
        let key = self.shards[shard].open(self.now, self.now.plus_seconds(10));
        let client = if connect.client_id.is_empty() {
            self.memories.push(Memory::default());
            self.memories.len() - 1
        } else {
            number % CLIENTS
        };
        let peer = Peer::new(client, &connect, (shard, key), self.serial());
        self.peers.push(peer);
        let peer = self.peers.len() - 1;
        self.send(peer, Packet::Connect(Box::new(connect)));
        if !choices.one_in(3) {
            self.settle();
        }
    }

    fn subscribe(&mut self, peer: usize, choices: &mut Choices<'_>) {
        if !self.is_open(peer) {
            return;
        }
        let is_v5 = self.peers[peer].version.is_v5();
        let count = 1 + choices.below(3);
        let filters: Vec<_> = (0..count).map(|_| wish(choices, is_v5)).collect();
        let packet_id = self.peers[peer].fresh_id();
        let mut properties = Properties::default();
        if is_v5 && choices.one_in(2) {
            properties.push(Property::SubscriptionIdentifier(
                1 + u32::from(choices.byte()),
            ));
        }
        self.peers[peer].subscribes.insert(packet_id.get());
        let filters = SubscribeFilters::new(filters).expect("filters of the script");
        self.send(
            peer,
            Packet::Subscribe(Subscribe {
                packet_id,
                filters,
                properties,
            }),
        );
    }

    fn unsubscribe(&mut self, peer: usize, choices: &mut Choices<'_>) {
        if !self.is_open(peer) {
            return;
        }
        let packet_id = self.peers[peer].fresh_id();
        self.peers[peer].unsubscribes.insert(packet_id.get());
        let filters = [choices.of(&FILTERS), choices.of(&FILTERS)];
        let unsubscribe = Unsubscribe {
            packet_id,
            filters: UnsubscribeFilters::new(filters).expect("filters of the script"),
            properties: Properties::default(),
        };
        self.send(peer, Packet::Unsubscribe(unsubscribe));
    }

    fn publish(&mut self, peer: usize, choices: &mut Choices<'_>) {
        if !self.is_open(peer) {
            return;
        }
        let id = self.peers[peer].fresh_id();
        let delivery = match choices.of(&QOS) {
            Qos::AtMostOnce => Delivery::AtMostOnce,
            Qos::AtLeastOnce => Delivery::AtLeastOnce(id),
            Qos::ExactlyOnce => Delivery::ExactlyOnce(id),
        };
        let client = self.peers[peer].client;
        if delivery.qos() != Qos::AtMostOnce {
            self.peers[peer].publishes.insert(id.get());
        }
        if delivery.qos() == Qos::ExactlyOnce {
            self.memories[client].outgoing.insert(id.get(), false);
        }
        let publish = publish_packet(delivery, self.peers[peer].version.is_v5(), choices);
        self.send(peer, Packet::Publish(publish));
    }

    fn acknowledge(&mut self, peer: usize, choices: &mut Choices<'_>) {
        if !self.is_open(peer) {
            return;
        }
        let inflight = &mut self.memories[self.peers[peer].client].inflight;
        let known = &self.peers[peer].known;
        let mut waiting = inflight.iter().filter(|(id, _)| known.contains(id));
        let nth = choices.below(known.len());
        let Some((id, stage)) = waiting.nth(nth).map(|(id, stage)| (*id, *stage)) else {
            return;
        };
        let refuses = self.peers[peer].version.is_v5() && choices.one_in(8);
        let ack = Ack::success(PacketId::new(id).expect("an id that came"));
        let packet = match stage {
            Stage::AtLeastOnce => Packet::PubAck(ack),
            Stage::ExactlyOnce if refuses => Packet::PubRec(Ack {
                reason: ReasonCode::QuotaExceeded,
                ..ack
            }),
            Stage::ExactlyOnce | Stage::Received => Packet::PubRec(ack),
            Stage::Released => Packet::PubComp(ack),
        };
        if matches!(stage, Stage::ExactlyOnce | Stage::Received) && !refuses {
            inflight.insert(id, Stage::Received);
        } else {
            inflight.remove(&id);
            self.peers[peer].acknowledged(id);
        }
        self.send(peer, packet);
    }

    /// PUBREL for one of its own messages, or a ping.
    fn release(&mut self, peer: usize, choices: &mut Choices<'_>) {
        if !self.is_open(peer) {
            return;
        }
        let client = self.peers[peer].client;
        let asked = &self.peers[peer].releases;
        let outgoing = self.memories[client].outgoing.iter();
        let mut received = outgoing.filter(|(id, received)| **received && !asked.contains(id));
        let Some(id) = received
            .next()
            .map(|(id, _)| *id)
            .filter(|_| !choices.one_in(3))
        else {
            self.peers[peer].pings += 1;
            self.send(peer, Packet::PingReq);
            return;
        };
        self.peers[peer].releases.insert(id);
        self.send(
            peer,
            Packet::PubRel(Ack::success(PacketId::new(id).expect("an id of ours"))),
        );
    }

    fn disconnect(&mut self, peer: usize, choices: &mut Choices<'_>) {
        let is_v5 = self.peers[peer].version.is_v5();
        let mut properties = Properties::default();
        if is_v5 && choices.one_in(2) {
            properties.push(Property::SessionExpiryInterval(choices.of(&[0, 5, 5000])));
        }
        let reason = choices.of(&[ReasonCode::Success, ReasonCode::DisconnectWithWillMessage]);
        let reason = if is_v5 { reason } else { ReasonCode::Success };
        self.send(peer, Packet::Disconnect(Disconnect { reason, properties }));
    }

    fn pass_some(&mut self, choices: &mut Choices<'_>) {
        let seconds = choices.of(&[1, 3, 12, 70, 2000]);
        self.pass(seconds);
    }

    /// What no good client sends: bytes that are no packet, or packets out of any bytes.
    fn nonsense(&mut self, peer: usize, choices: &mut Choices<'_>) {
        let Peer {
            place: (shard, connection),
            version,
            ended,
            ..
        } = self.peers[peer];
        if ended || !self.shards[shard].accepts_packets(connection) {
            return;
        }
        let version = Some(version);
        let mut decoder = Decoder::server(2048);
        if !choices.one_in(4) {
            decoder.push(first_connect(version));
            let _ = decoder.next_packet();
        }
        let count = choices.below(40);
        decoder.push(Bytes::copy_from_slice(choices.take(count)));
        let input = match decoder.next_packet() {
            Ok(None) => return,
            // What it asks for is not in the books of this peer: it is seen off, or nothing of it is answered.
            Ok(Some(packet)) if !answers_nothing(&packet) => Input::Malformed {
                connection,
                error: DecodeError::PacketTooLarge,
                version,
            },
            Ok(Some(packet)) => Input::Packet { connection, packet },
            Err(error) => Input::Malformed {
                connection,
                error,
                version,
            },
        };
        self.tell(shard, input);
    }

    /// Removes all retained messages, as the last client there is.
    pub(super) fn remove_retained(&mut self) {
        let connect = Connect {
            version: Version::V5,
            clean_start: true,
            keep_alive_seconds: 0,
            client_id: text("last"),
            will: None,
            username: None,
            password: None,
            properties: Properties::default(),
        };
        let key = self.shards[0].open(self.now, self.now.plus_seconds(10));
        let peer = Peer::new(0, &connect, (0, key), self.serial());
        self.peers.push(peer);
        self.send(0, Packet::Connect(Box::new(connect)));
        self.settle();
        assert!(self.peers[0].accepted, "the last client is not served");
        for topic in TOPICS
            .into_iter()
            .filter(|topic| !topic.starts_with("$SYS"))
        {
            if topic.split('/').count() > 5 {
                continue;
            }
            let removal = Publish {
                dup: false,
                retain: true,
                delivery: Delivery::AtMostOnce,
                topic: Some(topic_name(topic)),
                payload: Bytes::new(),
                properties: Properties::default(),
            };
            assert!(self.send(0, Packet::Publish(removal)));
        }
        self.settle();
        self.lose(0);
        self.settle();
    }
}

impl Peer {
    /// A packet id that is in use for nothing of its own.
    fn fresh_id(&mut self) -> PacketId {
        self.last_id = self.last_id % IDS_OF_A_PEER + 1;
        PacketId::new(self.first_id + self.last_id).expect("not 0")
    }
}

/// Whether nothing is answered to it and nothing stays of it, so that it may be sent at will.
fn answers_nothing(packet: &Packet) -> bool {
    match packet {
        Packet::Auth(_) | Packet::Connect(_) | Packet::Disconnect(_) => true,
        // An alias would stay, and with it a topic that the end of the script does not know.
        Packet::Publish(publish) => {
            publish.delivery == Delivery::AtMostOnce
                && !publish.retain
                && publish.properties.topic_alias().is_none()
        }
        _ => false,
    }
}

fn first_connect(version: Option<Version>) -> Bytes {
    Bytes::from_static(match version {
        Some(Version::V3_1) => b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a",
        Some(Version::V3_1_1) => b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a",
        _ => b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a",
    })
}

fn connect_packet(number: usize, choices: &mut Choices<'_>) -> Connect {
    let version = choices.of(&[Version::V5, Version::V5, Version::V3_1_1, Version::V3_1]);
    let flags = choices.byte();
    // An id that the broker assigns, where it does.
    let assigned = number >= CLIENTS && version != Version::V3_1;
    let id = if assigned {
        String::new()
    } else {
        format!("c{}", number % CLIENTS)
    };
    let mut properties = Properties::default();
    if version.is_v5() {
        properties.push(Property::SessionExpiryInterval(choices.of(&[
            0,
            10,
            500,
            u32::MAX,
        ])));
        properties.push(Property::ReceiveMaximum(choices.of(&[65_535, 1, 3])));
        properties.push(Property::TopicAliasMaximum(choices.of(&[0, 2])));
        if flags & 8 != 0 {
            properties.push(Property::MaximumPacketSize(choices.of(&[60, 200, 20, 5])));
        }
    }
    Connect {
        version,
        clean_start: flags & 1 == 0 || (assigned && !version.is_v5()),
        keep_alive_seconds: choices.of(&[0, 2, 60]),
        client_id: text(&id),
        will: (flags & 6 == 6).then(|| will(choices, version.is_v5())),
        username: None,
        password: None,
        properties,
    }
}

fn will(choices: &mut Choices<'_>, is_v5: bool) -> Will {
    let mut properties = Properties::default();
    if is_v5 {
        properties.push(Property::WillDelayInterval(choices.of(&[0, 5, 100])));
    }
    Will {
        topic: topic_name(choices.of(&TOPICS)),
        payload: Bytes::from_static(b"the end"),
        qos: choices.of(&QOS),
        retain: choices.one_in(3),
        properties,
    }
}

fn wish(choices: &mut Choices<'_>, is_v5: bool) -> (&'static str, SubscriptionOptions) {
    let filter = choices.of(&FILTERS);
    let mut options = SubscriptionOptions::from(choices.of(&QOS));
    if is_v5 {
        let flags = choices.byte();
        options.no_local = flags & 1 != 0 && !filter.starts_with("$share");
        options.retain_as_published = flags & 2 != 0;
        options.retain_handling = match flags >> 2 & 3 {
            0 | 1 => RetainHandling::SendAtSubscribe,
            2 => RetainHandling::SendIfNew,
            _ => RetainHandling::DoNotSend,
        };
    }
    (filter, options)
}

fn publish_packet(delivery: Delivery, is_v5: bool, choices: &mut Choices<'_>) -> Publish {
    let mut properties = Properties::default();
    let mut topic = Some(topic_name(choices.of(&TOPICS)));
    if is_v5 && choices.one_in(3) {
        properties.push(Property::TopicAlias(choices.of(&[1, 2, 3, 9])));
        topic = topic.filter(|_| !choices.one_in(2));
    }
    if is_v5 && choices.one_in(4) {
        properties.push(Property::MessageExpiryInterval(choices.of(&[1, 30, 0])));
    }
    let payload_bytes = choices.of(&[3, 0, 40, 400, 1900]);
    Publish {
        dup: false,
        retain: choices.one_in(4),
        delivery,
        topic,
        payload: Bytes::from(vec![b'x'; payload_bytes]),
        properties,
    }
}

fn text(text: &str) -> Utf8 {
    Utf8::try_from(text).expect("a string of the script")
}

fn topic_name(topic: &str) -> TopicName {
    TopicName::try_from(topic).expect("a topic of the script")
}
