//! Readers that stop for a while: what they find when they read on, and that nobody else notices.

use bytes::Bytes;
use weir_codec::{Packet, Property, Qos, ReasonCode, Subscribe, Version};
use weir_tests::packets::{connect, packet_id, properties, publish, subscribe};
use weir_tests::{Broker, Client};

/// More than the sockets between two processes hold.
const ROUNDS: usize = 300;
const TOPICS: usize = 10;
const PAYLOAD_BYTES: usize = 8000;

const NARROW: &str = "[limits]\nmax_packet_bytes = 65536\noutbox_bytes = 4096\nqueue_bytes = 262144\nslow_reader_bytes = 131072\n";

async fn wishes(client: &mut Client, filter: &str, wish: &str) -> ReasonCode {
    let wished = Subscribe {
        properties: properties([Property::UserProperty("weir-slow-reader", wish)]),
        ..subscribe(7, filter, Qos::AtMostOnce)
    };
    client.send(Packet::Subscribe(wished)).await;
    client.suback(packet_id(7)).await.reasons[0]
}

/// Publishes each round to each topic, and returns when the broker has all of it.
async fn flood(broker: &Broker) {
    let mut publisher = Client::v5(broker, "publisher").await;
    for round in 0..ROUNDS {
        let mut payload = round.to_string().into_bytes();
        payload.resize(PAYLOAD_BYTES, b' ');
        let payload = Bytes::from(payload);
        let packets = (0..TOPICS).map(|topic| {
            let topic = format!("t/{topic}");
            Packet::Publish(publish(&topic, payload.clone(), Qos::AtMostOnce, 1))
        });
        publisher.send_together(packets).await;
    }
    publisher.publish("nobody", "", Qos::AtLeastOnce).await;
}

/// Reads until the newest message of each topic is there; how many came, how many were missed by the broker's own account.
async fn catch_up(client: &mut Client) -> (usize, usize) {
    let (mut received, mut missed) = (0, 0);
    let mut newest = [None; TOPICS];
    while newest.iter().any(|round| *round != Some(ROUNDS - 1)) {
        let message = client.publication().await;
        let topic = message.topic.as_ref().expect("a topic without alias");
        let topic: usize = topic.as_str()[2..].parse().expect("a number");
        let payload = std::str::from_utf8(&message.payload).expect("text");
        let round: usize = payload.trim().parse().expect("a number");
        assert!(newest[topic].is_none_or(|earlier| earlier < round), "order");
        newest[topic] = Some(round);
        received += 1;
        let told = message.properties.user_properties();
        missed += told
            .filter(|(name, _)| *name == "weir-missed")
            .map(|(_, count)| count.parse::<usize>().expect("a number"))
            .sum::<usize>();
    }
    (received, missed)
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_is_told_what_it_missed() {
    let broker = Broker::start_with(NARROW);
    for wish in ["latest-per-topic", "drop-oldest"] {
        let mut slow = Client::v5(&broker, wish).await;
        assert_eq!(wishes(&mut slow, "t/#", wish).await, ReasonCode::Success);
        flood(&broker).await;
        let (received, missed) = catch_up(&mut slow).await;
        assert_eq!(received + missed, ROUNDS * TOPICS, "{wish}");
        assert!(missed > 0, "{wish}: the sockets held {received}");
        broker.logs(&format!("reads slowly and misses messages ({wish})"));
        slow.leave().await;
        broker.logs(&format!("read slowly and missed {missed} messages"));
    }
}

#[tokio::test]
async fn a_listener_says_how_slow_readers_are_treated() {
    let toml =
        format!("{NARROW}[[listener]]\nbind = \"127.0.0.1:0\"\nslow_reader = \"latest-per-topic\"");
    let broker = Broker::start_with(&toml);
    let mut slow = Client::connect(&broker, connect(Version::V3_1_1, "old")).await;
    slow.subscribe("t/#", Qos::AtMostOnce).await;
    flood(&broker).await;
    let (received, told) = catch_up(&mut slow).await;
    assert!(received < ROUNDS * TOPICS);
    assert_eq!(told, 0, "3.1.1 has no room for it");
}

#[tokio::test]
async fn a_slow_reader_that_wants_to_miss_nothing_is_disconnected() {
    let broker = Broker::start_with(NARROW);
    let mut slow = Client::v5(&broker, "slow").await;
    let mut other = Client::v5(&broker, "other").await;
    wishes(&mut slow, "t/#", "disconnect").await;
    other.subscribe("nobody", Qos::AtLeastOnce).await;
    flood(&broker).await;
    assert_eq!(other.payload().await, "");
    broker.logs("queue full: client reads too slowly");
    let told = wishes(&mut other, "t/#", "no such thing").await;
    assert_eq!(told, ReasonCode::ImplementationSpecificError);
}
