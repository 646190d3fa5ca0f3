//! Connections that break again and again, in the middle of everything.
//!
//! Both ends keep what the specification has a client keep, so the promises can be checked to the letter:
//! QoS 2 exactly once and in order, QoS 1 at least once. New connections are dealt out over the shards, so
//! the session moves between threads all the time.

use std::collections::{BTreeSet, HashSet, VecDeque};

use weir_codec::{Connect, Delivery, Packet, PacketId, Publish, Qos, Version};
use weir_tests::packets::{ack, lasting, publish};
use weir_tests::{Broker, Client};

const COUNT: usize = 300;

/// As many publications as a sender has unfinished.
const WINDOW: usize = 10;

/// The receiving side of a session as a client keeps it between connections.
#[derive(Default)]
struct Receiver {
    payloads: Vec<usize>,
    unreleased: HashSet<PacketId>,
}

impl Receiver {
    async fn handle(&mut self, client: &mut Client, packet: Packet) {
        match packet {
            Packet::Publish(message) => self.message(client, message).await,
            Packet::PubRel(rel) => {
                self.unreleased.remove(&rel.packet_id);
                client.send(Packet::PubComp(ack(rel.packet_id.get()))).await;
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    async fn message(&mut self, client: &mut Client, message: Publish) {
        let payload = std::str::from_utf8(&message.payload).expect("text");
        let payload = payload.parse().expect("a number");
        match message.delivery {
            Delivery::ExactlyOnce(id) => {
                if self.unreleased.insert(id) {
                    self.payloads.push(payload);
                }
                client.send(Packet::PubRec(ack(id.get()))).await;
            }
            Delivery::AtLeastOnce(id) => {
                self.payloads.push(payload);
                client.send(Packet::PubAck(ack(id.get()))).await;
            }
            Delivery::AtMostOnce => self.payloads.push(payload),
        }
    }
}

async fn publish_all(broker: &Broker, qos: Qos) {
    let mut publisher = Client::v5(broker, "publisher").await;
    for n in 0..COUNT {
        publisher.publish("t", &n.to_string(), qos).await;
    }
}

/// Receives everything through connections that break after a few packets each.
async fn receive_brokenly(broker: &Broker, version: Version) -> Vec<usize> {
    let mut receiver = Receiver::default();
    let mut distinct: BTreeSet<usize> = BTreeSet::new();
    let mut round = 0;
    while distinct.len() < COUNT {
        let mut client = Client::connect(broker, lasting(version, "breaking")).await;
        for _ in 0..3 + (round * 7) % 23 {
            if distinct.len() == COUNT {
                break;
            }
            let packet = client.recv().await;
            receiver.handle(&mut client, packet).await;
            distinct.extend(receiver.payloads.last());
        }
        client.vanish();
        round += 1;
    }
    receiver.payloads
}

async fn subscribed(broker: &Broker, version: Version, qos: Qos) {
    let forget = Connect {
        clean_start: true,
        ..lasting(version, "breaking")
    };
    Client::connect(broker, forget).await.leave().await;
    let mut client = Client::connect(broker, lasting(version, "breaking")).await;
    client.subscribe("t", qos).await;
}

#[tokio::test]
async fn a_breaking_receiver_gets_qos_2_exactly_once_and_in_order() {
    let broker = Broker::start_with("shards = 3");
    for version in Version::ALL {
        subscribed(&broker, version, Qos::ExactlyOnce).await;
        let (payloads, ()) = tokio::join!(
            receive_brokenly(&broker, version),
            publish_all(&broker, Qos::ExactlyOnce)
        );
        assert_eq!(payloads, (0..COUNT).collect::<Vec<_>>(), "{version:?}");
    }
}

#[tokio::test]
async fn a_breaking_receiver_gets_qos_1_at_least_once() {
    let broker = Broker::start_with("shards = 3");
    subscribed(&broker, Version::V5, Qos::AtLeastOnce).await;
    let (payloads, ()) = tokio::join!(
        receive_brokenly(&broker, Version::V5),
        publish_all(&broker, Qos::AtLeastOnce)
    );
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for payload in payloads {
        if seen.insert(payload) {
            assert_eq!(payload, seen.len() - 1, "first arrivals are in order");
        }
    }
    assert_eq!(seen.len(), COUNT);
}

#[tokio::test]
async fn a_breaking_sender_is_heard_exactly_once_with_qos_2() {
    let broker = Broker::start_with("shards = 3");
    let mut subscriber = Client::v5(&broker, "subscriber").await;
    subscriber.subscribe("t", Qos::ExactlyOnce).await;
    let sending = send_brokenly(&broker);
    let receiving = async {
        let mut payloads: Vec<usize> = Vec::new();
        while payloads.len() < COUNT {
            payloads.push(subscriber.payload().await.parse().expect("a number"));
        }
        payloads
    };
    let ((), payloads) = tokio::join!(sending, receiving);
    assert_eq!(payloads, (0..COUNT).collect::<Vec<_>>());
    subscriber.silent().await;
}

/// Sends everything with QoS 2 through connections that break after a few answers each.
async fn send_brokenly(broker: &Broker) {
    let message = |n: usize| publish("t", n.to_string(), Qos::ExactlyOnce, n as u16 + 1);
    let mut unanswered: VecDeque<usize> = VecDeque::new();
    let mut released: VecDeque<usize> = VecDeque::new();
    let (mut next, mut round) = (0, 0);
    while next < COUNT || !unanswered.is_empty() || !released.is_empty() {
        let mut client = Client::connect(broker, lasting(Version::V5, "sender")).await;
        for n in &released {
            client.send(Packet::PubRel(ack(*n as u16 + 1))).await;
        }
        for n in &unanswered {
            client
                .send(Packet::Publish(Publish {
                    dup: true,
                    ..message(*n)
                }))
                .await;
        }
        let waiting = unanswered.len() + released.len();
        let fresh = next..(next + WINDOW.saturating_sub(waiting)).min(COUNT);
        for n in fresh.clone() {
            client.send(Packet::Publish(message(n))).await;
        }
        unanswered.extend(fresh.clone());
        next = fresh.end;
        for _ in 0..(round * 5) % 13 {
            if unanswered.is_empty() && released.is_empty() {
                break;
            }
            match client.recv().await {
                Packet::PubRec(rec) => {
                    let n = usize::from(rec.packet_id.get()) - 1;
                    unanswered.retain(|waiting| *waiting != n);
                    released.push_back(n);
                    client.send(Packet::PubRel(ack(rec.packet_id.get()))).await;
                }
                Packet::PubComp(comp) => {
                    released.retain(|n| *n + 1 != usize::from(comp.packet_id.get()));
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        client.vanish();
        round += 1;
    }
}

#[tokio::test]
async fn many_publishers_and_subscribers_on_all_shards_keep_the_order_of_each() {
    let broker = Broker::start_with("shards = 3");
    let mut subscribers = Vec::new();
    for n in 0..6 {
        let mut client = Client::v5(&broker, &format!("subscriber{n}")).await;
        client.subscribe("t/#", Qos::ExactlyOnce).await;
        subscribers.push(client);
    }
    let publishers = (0..6).map(|n| publish_numbered(&broker, n));
    let receivers = subscribers.iter_mut().map(received_in_order);
    tokio::join!(
        futures_util::future::join_all(publishers),
        futures_util::future::join_all(receivers)
    );
}

async fn publish_numbered(broker: &Broker, publisher: usize) {
    let mut client = Client::v5(broker, &format!("publisher{publisher}")).await;
    for n in 0..60 {
        let qos = if n % 2 == 0 {
            Qos::AtLeastOnce
        } else {
            Qos::ExactlyOnce
        };
        client
            .publish(&format!("t/{publisher}"), &n.to_string(), qos)
            .await;
    }
}

async fn received_in_order(client: &mut Client) {
    let mut last = [0_usize; 6];
    for _ in 0..6 * 60 {
        let message = client.message().await;
        let topic = message.topic.expect("a topic");
        let publisher: usize = topic.as_str()[2..].parse().expect("a number");
        let payload = std::str::from_utf8(&message.payload).expect("text");
        assert_eq!(
            payload,
            last[publisher].to_string(),
            "from publisher {publisher}"
        );
        last[publisher] += 1;
    }
    client.silent().await;
}
