//! Clients that outlive their broker.
//!
//! They remember what a client library with a store of its own remembers: a publisher what was not acknowledged, with its
//! packet ids and how far it got; a subscriber which packet ids of QoS 2 were not released.

use std::collections::{BTreeSet, VecDeque};

use weir_codec::{Ack, Packet, Publish, Qos, Version};
use weir_tests::packets::{lasting, packet_id, publish};
use weir_tests::{Broker, Client};

use crate::Outcome;

/// Messages that are under way at once.
const WINDOW: usize = 8;

/// Publishes numbers, in order.
pub(crate) struct Publisher {
    name: &'static str,
    qos: Qos,
    next: u32,
    under_way: VecDeque<UnderWay>,
    has_session: bool,
}

/// A message that is not acknowledged to the end.
struct UnderWay {
    number: u32,
    id: u16,
    is_released: bool,
}

impl Publisher {
    pub(crate) fn new(name: &'static str, qos: Qos) -> Self {
        Self {
            name,
            qos,
            next: 0,
            under_way: VecDeque::new(),
            has_session: false,
        }
    }

    /// How many numbers there were.
    pub(crate) fn published(&self) -> u32 {
        self.next
    }

    /// Connects, and sends again what was under way.
    pub(crate) async fn join(&mut self, broker: &Broker) -> Result<Client, String> {
        let mut client = join(broker, self.name, &mut self.has_session).await?;
        for it in &self.under_way {
            let packet = match it.is_released {
                true => Packet::PubRel(Ack::success(packet_id(it.id))),
                false => self.packet(it, true),
            };
            client.try_send(packet).await;
        }
        Ok(client)
    }

    /// Publishes until the broker is gone; or nothing new, until all is acknowledged.
    pub(crate) async fn publish(&mut self, mut client: Client, is_endless: bool) -> Outcome {
        loop {
            while is_endless && self.under_way.len() < WINDOW {
                let it = UnderWay {
                    number: self.next,
                    id: self.free_id(),
                    is_released: false,
                };
                self.next += 1;
                let packet = self.packet(&it, false);
                self.under_way.push_back(it);
                if !client.try_send(packet).await {
                    return Ok(());
                }
            }
            if self.under_way.is_empty() {
                return Ok(());
            }
            match client.next().await {
                Some(packet) => self.take(&mut client, packet).await?,
                None if is_endless => return Ok(()),
                None => return Err(format!("{}: cut off", self.name)),
            }
        }
    }

    async fn take(&mut self, client: &mut Client, packet: Packet) -> Outcome {
        match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                let id = ack.packet_id.get();
                self.under_way.retain(|it| it.id != id);
            }
            Packet::PubRec(ack) => {
                let id = ack.packet_id;
                for it in &mut self.under_way {
                    it.is_released |= it.id == id.get();
                }
                client.try_send(Packet::PubRel(Ack::success(id))).await;
            }
            other => return Err(format!("{}: unexpected {other:?}", self.name)),
        }
        Ok(())
    }

    fn free_id(&self) -> u16 {
        let is_free = |id: &u16| self.under_way.iter().all(|it| it.id != *id);
        (1..=u16::MAX).find(is_free).expect("a free packet id")
    }

    fn packet(&self, it: &UnderWay, dup: bool) -> Packet {
        let topic = format!("kills/{}", self.name);
        Packet::Publish(Publish {
            dup,
            ..publish(&topic, it.number.to_string(), self.qos, it.id)
        })
    }
}

/// Follows both publishers.
pub(crate) struct Subscriber {
    name: &'static str,
    qos: Qos,
    /// Of each publisher.
    published_qos: [Qos; 2],
    /// What is expected next of each publisher.
    next: [u32; 2],
    unreleased: BTreeSet<u16>,
    has_session: bool,
}

impl Subscriber {
    pub(crate) fn new(name: &'static str, qos: Qos, published_qos: [Qos; 2]) -> Self {
        Self {
            name,
            qos,
            published_qos,
            next: [0; 2],
            unreleased: BTreeSet::new(),
            has_session: false,
        }
    }

    /// Connects, and subscribes the first time.
    pub(crate) async fn join(&mut self, broker: &Broker) -> Result<Client, String> {
        let is_new = !self.has_session;
        let mut client = join(broker, self.name, &mut self.has_session).await?;
        if is_new {
            client.subscribe("kills/#", self.qos).await;
        }
        Ok(client)
    }

    /// Follows until the broker is gone, or until it has seen all.
    pub(crate) async fn follow(&mut self, mut client: Client, all: Option<[u32; 2]>) -> Outcome {
        while all != Some(self.next) {
            let answer = match client.next().await {
                Some(packet) => self.take(packet)?,
                None if all.is_none() => return Ok(()),
                None => return Err(format!("{}: cut off", self.name)),
            };
            client.try_send(answer).await;
        }
        Ok(())
    }

    fn take(&mut self, packet: Packet) -> Result<Packet, String> {
        match packet {
            Packet::Publish(message) => {
                let id = message.delivery.packet_id().expect("QoS 1 or 2");
                match message.delivery.qos() {
                    Qos::ExactlyOnce => {
                        if self.unreleased.insert(id.get()) {
                            self.see(&message)?;
                        }
                        Ok(Packet::PubRec(Ack::success(id)))
                    }
                    _ => {
                        self.see(&message)?;
                        Ok(Packet::PubAck(Ack::success(id)))
                    }
                }
            }
            Packet::PubRel(ack) => {
                self.unreleased.remove(&ack.packet_id.get());
                Ok(Packet::PubComp(Ack::success(ack.packet_id)))
            }
            other => Err(format!("{}: unexpected {other:?}", self.name)),
        }
    }

    /// The next message of its publisher; or again one that was seen, where that may be.
    fn see(&mut self, message: &Publish) -> Outcome {
        let topic = message.topic.as_ref().expect("no aliases here").as_str();
        let text = str::from_utf8(&message.payload).expect("a text");
        let number: u32 = text.parse().expect("a number");
        let publisher = usize::from(topic == "kills/two");
        let expected = &mut self.next[publisher];
        if number == *expected {
            *expected += 1;
            return Ok(());
        }
        // Once each only from QoS 2 to QoS 2.
        let is_exact = self.published_qos[publisher].min(self.qos) == Qos::ExactlyOnce;
        match number < *expected && !is_exact {
            true => Ok(()),
            false => Err(format!(
                "{}: {topic} {number} instead of {expected}",
                self.name
            )),
        }
    }
}

/// Connects to the session there is, which must be there if it ever was.
async fn join(broker: &Broker, name: &str, has_session: &mut bool) -> Result<Client, String> {
    let client = Client::connect(broker, lasting(Version::V5, name)).await;
    if client.connack().session_present != *has_session {
        return Err(format!("{name}: session present is not {has_session}"));
    }
    *has_session = true;
    Ok(client)
}
