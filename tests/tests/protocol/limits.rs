//! Receive Maximum, Maximum Packet Size and the bounds of the configuration.

use weir_codec::{Connect, Packet, Property, Qos, ReasonCode, Version};
use weir_tests::packets::{ack, connect, properties, publish, will};
use weir_tests::{Broker, Client, Code};

/// As long as many a will.
const LONG: &str = "a will that goes on and on, and says nothing that has not been said before, and then goes on a little \
    longer, so that it alone is longer than a client may say before anybody knows who it is, which is two hundred.";

fn limited(property: Property<'_>) -> Connect {
    Connect {
        properties: properties([property]),
        ..connect(Version::V5, "limited")
    }
}

#[tokio::test]
async fn no_more_is_in_flight_than_the_client_takes() {
    let broker = Broker::start();
    let mut client = Client::connect(&broker, limited(Property::ReceiveMaximum(3))).await;
    client.subscribe("t", Qos::ExactlyOnce).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    for n in 0..9 {
        let qos = if n % 2 == 0 {
            Qos::AtLeastOnce
        } else {
            Qos::ExactlyOnce
        };
        publisher.publish("t", &n.to_string(), qos).await;
    }
    let mut waiting = Vec::new();
    for n in 0..3 {
        waiting.push(client.publication().await);
        assert_eq!(waiting[n].payload, n.to_string());
    }
    client.silent().await;
    let first = waiting[0].delivery.packet_id().expect("QoS 1");
    client.send(Packet::PubAck(ack(first.get()))).await;
    assert_eq!(client.publication().await.payload, "3");
    client.silent().await;
}

#[tokio::test]
async fn a_client_that_exceeds_our_receive_maximum_is_disconnected() {
    let broker = Broker::start_with("[limits]\nreceive_maximum = 4");
    let mut client = Client::v5(&broker, "eager").await;
    assert_eq!(client.connack().properties.receive_maximum(), Some(4));
    let burst = (1..=5).map(|n| Packet::Publish(publish("t", "payload", Qos::ExactlyOnce, n)));
    client.send_together(burst).await;
    loop {
        match client.recv().await {
            Packet::PubRec(_) => {}
            Packet::Disconnect(disconnect) => {
                assert_eq!(disconnect.reason, ReasonCode::ReceiveMaximumExceeded);
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(client.closed().await.code, 1002);
}

#[tokio::test]
async fn a_packet_too_large_for_the_client_is_not_sent_to_it() {
    let broker = Broker::start();
    let mut small = Client::connect(&broker, limited(Property::MaximumPacketSize(100))).await;
    small.subscribe("t", Qos::AtLeastOnce).await;
    let mut large = Client::v5(&broker, "large").await;
    large.subscribe("t", Qos::AtLeastOnce).await;
    for payload in ["x".repeat(200), "fits".to_owned()] {
        large.publish("t", &payload, Qos::AtLeastOnce).await;
        assert_eq!(large.payload().await, payload);
    }
    assert_eq!(small.payload().await, "fits");
    small.silent().await;
}

#[tokio::test]
async fn who_is_not_known_yet_may_send_less() {
    let broker = Broker::start_with("[limits]\nmax_unauthenticated_packet_bytes = 200");
    let long = Connect {
        will: Some(will("t", LONG)),
        ..connect(Version::V5, "long")
    };
    let mut client = Client::open(&broker, Version::V5).await;
    client.send(Packet::Connect(Box::new(long))).await;
    // Nobody knows yet which version would have to be answered.
    assert_eq!(client.closed().await.code, 1009);
    broker.logs("not connected: packet is larger than allowed");
    let mut known = Client::v5(&broker, "known").await;
    known.subscribe("t", Qos::AtMostOnce).await;
    known.publish("t", &"x".repeat(9000), Qos::AtMostOnce).await;
    assert_eq!(known.payload().await.len(), 9000);
}

#[tokio::test]
async fn a_packet_too_large_for_the_broker_ends_the_connection() {
    let broker = Broker::start_with(
        "[limits]\nmax_packet_bytes = 1000\nmax_unauthenticated_packet_bytes = 1000",
    );
    let mut client = Client::v5(&broker, "client").await;
    assert_eq!(
        client.connack().properties.maximum_packet_size(),
        Some(1000)
    );
    client.subscribe("t", Qos::AtMostOnce).await;
    client.publish("t", &"x".repeat(900), Qos::AtMostOnce).await;
    assert_eq!(client.payload().await.len(), 900);
    client
        .publish("t", &"x".repeat(2000), Qos::AtMostOnce)
        .await;
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::PacketTooLarge, Code(1009))
    );
    let mut old = Client::connect(&broker, connect(Version::V3_1_1, "old")).await;
    old.publish("t", &"x".repeat(2000), Qos::AtMostOnce).await;
    assert_eq!(old.closed().await.code, 1009);
}

#[tokio::test]
async fn a_length_that_lies_is_refused_before_its_bytes_come() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "liar").await;
    client
        .send_bytes(&b"\x30\xff\xff\xff\x7f\x00\x01t"[..])
        .await;
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::PacketTooLarge, Code(1009))
    );
}

#[tokio::test]
async fn one_subscription_too_many_is_refused_in_suback() {
    let broker = Broker::start_with("[limits]\nmax_subscriptions_per_session = 2");
    let mut client = Client::v5(&broker, "client").await;
    assert_eq!(
        client.subscribe("a", Qos::AtMostOnce).await,
        ReasonCode::Success
    );
    assert_eq!(
        client.subscribe("b", Qos::AtMostOnce).await,
        ReasonCode::Success
    );
    assert_eq!(
        client.subscribe("c", Qos::AtMostOnce).await,
        ReasonCode::QuotaExceeded
    );
    assert_eq!(
        client.subscribe("b", Qos::AtLeastOnce).await,
        ReasonCode::GrantedQos1
    );
    client.unsubscribe("a").await;
    assert_eq!(
        client.subscribe("c", Qos::AtMostOnce).await,
        ReasonCode::Success
    );
}

#[tokio::test]
async fn a_large_message_passes_whole() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut client = Client::connect(&broker, connect(version, "client")).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        let payload: String = (0..1_000_000)
            .map(|n| char::from(b'a' + (n % 26) as u8))
            .collect();
        client.publish("t", &payload, Qos::AtLeastOnce).await;
        assert!(client.payload().await == payload, "{version:?}");
    }
}
