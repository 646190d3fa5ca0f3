//! Subscriptions without end, and subscriptions that multiply what is published.

use std::sync::Arc;

use weir_codec::{
    Packet, Properties, Property, Qos, ReasonCode, Subscribe, SubscribeFilters,
    SubscriptionOptions, Version,
};
use weir_tests::packets::{connect, packet_id, properties, publish};
use weir_tests::{Broker, Client};

use crate::{Canary, MIB};

fn subscribe(id: u16, filters: &[String], properties: Properties) -> Packet {
    let options = SubscriptionOptions::from(Qos::AtLeastOnce);
    let filters = filters.iter().map(|filter| (filter.as_str(), options));
    Packet::Subscribe(Subscribe {
        packet_id: packet_id(id),
        filters: SubscribeFilters::new(filters).expect("some filters"),
        properties,
    })
}

#[tokio::test]
async fn of_100000_subscriptions_of_one_client_10000_are_granted() {
    let broker = Arc::new(Broker::start());
    let canary = Canary::fly(&broker);
    for version in [Version::V5, Version::V3_1_1] {
        let mut client = Client::connect(&broker, connect(version, "greedy")).await;
        let refusal = if version.is_v5() {
            ReasonCode::QuotaExceeded
        } else {
            ReasonCode::UnspecifiedError
        };
        for id in 1..=100 {
            let filters: Vec<_> = (0..1000).map(|n| format!("greedy/{id}/{n}")).collect();
            client
                .send(subscribe(id, &filters, Properties::default()))
                .await;
            let reasons = client.suback(packet_id(id)).await.reasons;
            assert_eq!(reasons.len(), 1000);
            let expected = if id <= 10 {
                ReasonCode::GrantedQos1
            } else {
                refusal
            };
            assert!(
                reasons.iter().all(|reason| *reason == expected),
                "{version}, {id}"
            );
        }
        // What was granted is in force.
        client.publish("greedy/10/999", "x", Qos::AtMostOnce).await;
        assert_eq!(client.payload().await, "x");
        client.leave().await;
    }
    canary.unharmed();
}

/// All filters that match a topic of `levels` levels, without those of `#`.
fn all_filters_for(topic: &[&str]) -> Vec<String> {
    let choices = 0..1_usize << topic.len();
    let filter = |choice: usize| {
        let level = |(n, level): (usize, &&str)| match choice >> n & 1 {
            0 => level.to_string(),
            _ => "+".to_owned(),
        };
        topic
            .iter()
            .enumerate()
            .map(level)
            .collect::<Vec<_>>()
            .join("/")
    };
    choices.map(filter).collect()
}

/// A message reaches a session once, however many of its subscriptions match: nothing is multiplied but identifiers.
#[tokio::test]
async fn overlapping_subscriptions_of_one_client_multiply_nothing() {
    let broker = Arc::new(Broker::start());
    let canary = Canary::fly(&broker);
    let topic = ["a"; 10];
    for version in [Version::V5, Version::V3_1_1] {
        let mut client = Client::connect(&broker, connect(version, "overlapping")).await;
        let filters = all_filters_for(&topic);
        assert_eq!(filters.len(), 1024);
        for (n, filter) in filters.iter().enumerate() {
            let id = n as u16 + 1;
            let identifier = properties([Property::SubscriptionIdentifier(n as u32 + 1)]);
            let own = if version.is_v5() {
                identifier
            } else {
                properties([])
            };
            client
                .send(subscribe(id, std::slice::from_ref(filter), own))
                .await;
            client.suback(packet_id(id)).await;
        }
        let mut publisher = Client::v5(&broker, "publisher").await;
        publisher
            .publish(&topic.join("/"), "once", Qos::AtLeastOnce)
            .await;
        let message = client.message().await;
        assert_eq!(message.payload, "once");
        if version.is_v5() {
            let mut identifiers: Vec<_> = message.properties.subscription_identifiers().collect();
            identifiers.sort_unstable();
            assert_eq!(identifiers, (1..=1024).collect::<Vec<_>>());
        }
        client.silent().await;
    }
    canary.unharmed();
}

/// Shared subscriptions do multiply, by the specification: a copy for each. The session's queue bounds them.
#[tokio::test]
async fn shared_subscriptions_multiply_no_further_than_the_queue() {
    let toml = "shards = 1\n[limits]\nmax_packet_bytes = 65536\nqueue_bytes = 1048576\noutbox_bytes = 65536\nqueue_messages = 1000";
    let broker = Arc::new(Broker::start_with(toml));
    let canary = Canary::fly(&broker);
    let mut client = Client::v5(&broker, "multiplying").await;
    let filters: Vec<_> = (0..1000).map(|n| format!("$share/g{n}/t")).collect();
    client
        .send(subscribe(1, &filters, Properties::default()))
        .await;
    client.suback(packet_id(1)).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    let before = broker.resident_bytes();
    for n in 1..=20 {
        // 32 KiB become 32 MiB, twenty times.
        let packet = publish("t", vec![b'x'; 32 << 10], Qos::AtLeastOnce, n);
        publisher.publish_packet(packet).await;
    }
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes");
    broker.logs("reads too slowly");
    canary.unharmed();
}
