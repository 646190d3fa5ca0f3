//! One client's end of a transport, and what must hold for what it is sent.
//!
//! Everything decodes, within the Maximum Packet Size it announced; CONNACK comes first and once; no packet id that is in
//! flight is used for another message; never more than Receive Maximum messages wait for an acknowledgement; nothing
//! follows the last word; and every request is answered once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_codec::{Connect, Decoder, Delivery, Packet, Publish, ReasonCode, Version};
use weir_engine::ConnectionKey;

/// Packet ids that one connection uses for its own requests, before it begins again.
pub(super) const IDS_OF_A_PEER: u16 = 600;

/// How far a message has come that a client was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// PUBLISH of QoS 1: PUBACK is next.
    AtLeastOnce,
    /// PUBLISH of QoS 2: PUBREC is next.
    ExactlyOnce,
    /// PUBREC was sent: PUBREL is next.
    Received,
    /// PUBREL came: PUBCOMP is next.
    Released,
}

/// What a client remembers between its connections.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Messages in flight to it.
    pub(super) inflight: BTreeMap<u16, Stage>,
    /// Its own messages of QoS 2, until PUBCOMP: whether PUBREC came.
    pub(super) outgoing: BTreeMap<u16, bool>,
}

/// A client's end of a transport.
pub(super) struct Peer {
    /// Whose.
    pub(super) client: usize,
    pub(super) version: Version,
    /// The shard and key that the broker knows it by.
    pub(super) place: (usize, ConnectionKey),
    /// Whether it takes what it is sent.
    pub(super) reads: bool,
    pub(super) accepted: bool,
    /// The broker has ended it.
    pub(super) ended: bool,
    receive_maximum: usize,
    decoder: Decoder,
    unacknowledged: BTreeSet<u16>,
    /// What came on this connection: only that is acknowledged on it.
    pub(super) known: BTreeSet<u16>,
    pub(super) subscribes: BTreeSet<u16>,
    pub(super) unsubscribes: BTreeSet<u16>,
    pub(super) publishes: BTreeSet<u16>,
    pub(super) releases: BTreeSet<u16>,
    pub(super) pings: usize,
    /// Connections of one client use different ids, so that answers to an earlier one are not taken for theirs.
    pub(super) first_id: u16,
    pub(super) last_id: u16,
}

impl Peer {
    pub(super) fn new(
        client: usize,
        connect: &Connect,
        place: (usize, ConnectionKey),
        serial: u16,
    ) -> Self {
        let properties = &connect.properties;
        let max_packet_bytes = properties.maximum_packet_size().unwrap_or(u32::MAX);
        Self {
            client,
            version: connect.version,
            place,
            reads: true,
            accepted: false,
            ended: false,
            receive_maximum: usize::from(properties.receive_maximum().unwrap_or(u16::MAX)),
            decoder: Decoder::client(connect.version, max_packet_bytes),
            unacknowledged: BTreeSet::new(),
            known: BTreeSet::new(),
            subscribes: BTreeSet::new(),
            unsubscribes: BTreeSet::new(),
            publishes: BTreeSet::new(),
            releases: BTreeSet::new(),
            pings: 0,
            first_id: serial % 100 * IDS_OF_A_PEER,
            last_id: 0,
        }
    }

    /// Takes bytes of the broker.
    pub(super) fn take(&mut self, bytes: &[u8], memory: &mut Memory) {
        assert!(!self.ended || bytes.is_empty(), "sent after the last word");
        self.decoder.push(Bytes::copy_from_slice(bytes));
        while let Some(packet) = self
            .decoder
            .next_packet()
            .expect("what the broker sends decodes")
        {
            self.take_packet(&packet, memory);
        }
        assert_eq!(self.decoder.buffered_bytes(), 0, "half a packet");
    }

    fn take_packet(&mut self, packet: &Packet, memory: &mut Memory) {
        let is_connack = matches!(packet, Packet::ConnAck(_));
        assert_ne!(
            self.accepted, is_connack,
            "CONNACK is first, and once: {packet:?}"
        );
        match packet {
            Packet::ConnAck(connack) => {
                self.accepted = connack.reason == ReasonCode::Success;
                if self.accepted && !connack.session_present {
                    *memory = Memory::default();
                }
            }
            Packet::Publish(publish) => self.take_publish(publish, memory),
            Packet::PubAck(ack) => asked_for(self.publishes.remove(&ack.packet_id.get()), packet),
            Packet::PubRec(ack) => {
                self.take_pubrec(ack.packet_id.get(), ack.reason, packet, memory);
            }
            Packet::PubRel(ack) => {
                self.known.insert(ack.packet_id.get());
                memory.inflight.insert(ack.packet_id.get(), Stage::Released);
            }
            Packet::PubComp(ack) => {
                memory.outgoing.remove(&ack.packet_id.get());
                asked_for(self.releases.remove(&ack.packet_id.get()), packet);
            }
            Packet::SubAck(ack) => asked_for(self.subscribes.remove(&ack.packet_id.get()), packet),
            Packet::UnsubAck(ack) => {
                asked_for(self.unsubscribes.remove(&ack.packet_id.get()), packet);
            }
            Packet::PingResp => {
                asked_for(self.pings > 0, packet);
                self.pings -= 1;
            }
            Packet::Disconnect(_) => assert_eq!(self.version, Version::V5, "DISCONNECT of 3.x"),
            other => panic!("sent {other:?}"),
        }
    }

    fn take_pubrec(&mut self, id: u16, reason: ReasonCode, packet: &Packet, memory: &mut Memory) {
        asked_for(self.publishes.remove(&id), packet);
        if reason.is_error() {
            memory.outgoing.remove(&id);
        } else {
            memory.outgoing.insert(id, true);
        }
    }

    fn take_publish(&mut self, publish: &Publish, memory: &mut Memory) {
        let (id, stage) = match publish.delivery {
            Delivery::AtMostOnce => return,
            Delivery::AtLeastOnce(id) => (id.get(), Stage::AtLeastOnce),
            Delivery::ExactlyOnce(id) => (id.get(), Stage::ExactlyOnce),
        };
        self.known.insert(id);
        let before = memory.inflight.insert(id, stage);
        assert!(
            publish.dup || before.is_none(),
            "packet id {id} is in flight as {before:?}"
        );
        assert!(
            self.unacknowledged.insert(id),
            "packet id {id} twice on a connection"
        );
        assert!(
            self.unacknowledged.len() <= self.receive_maximum,
            "more than {} unacknowledged",
            self.receive_maximum
        );
    }

    /// The client has sent the last acknowledgement of a message.
    pub(super) fn acknowledged(&mut self, id: u16) {
        self.unacknowledged.remove(&id);
        self.known.remove(&id);
    }

    /// What was asked for and not answered.
    pub(super) fn unanswered(&self) -> Option<String> {
        let sets = [
            &self.subscribes,
            &self.unsubscribes,
            &self.publishes,
            &self.releases,
        ];
        let open = sets.iter().any(|set| !set.is_empty()) || self.pings > 0;
        open.then(|| format!("unanswered: {sets:?}, {} pings", self.pings))
    }
}

fn asked_for(asked: bool, packet: &Packet) {
    assert!(asked, "nobody asked for {packet:?}");
}
