//! Properties of a message pass through untouched; what is between a client and the broker does not.

use weir_codec::{Property, Publish, Qos, Version};
use weir_tests::packets::{connect, properties, publish};
use weir_tests::{Broker, Client};

#[tokio::test]
async fn user_properties_keep_their_order_and_repetitions() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    let pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("", ""), ("ü", "ö")];
    let entries = pairs.map(|(name, value)| Property::UserProperty(name, value));
    let message = Publish {
        properties: properties(entries),
        ..publish("t", "x", Qos::AtLeastOnce, 1)
    };
    client.publish_packet(message).await;
    let message = client.message().await;
    assert_eq!(
        message.properties.user_properties().collect::<Vec<_>>(),
        pairs
    );
}

#[tokio::test]
async fn everything_about_the_payload_and_the_answer_passes_through() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    let entries = [
        Property::PayloadFormatIndicator(true),
        Property::UserProperty("before", "the rest"),
        Property::ContentType("application/json"),
        Property::ResponseTopic("answers/here"),
        Property::CorrelationData(b"\x00\x01\xff"),
        Property::UserProperty("after", "the rest"),
    ];
    let message = Publish {
        retain: true,
        properties: properties(entries),
        ..publish("t", "{}", Qos::AtLeastOnce, 1)
    };
    client.publish_packet(message).await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    assert_eq!(client.message().await.properties, properties(entries));
}

#[tokio::test]
async fn a_3_1_1_subscriber_gets_the_message_without_them() {
    let broker = Broker::start();
    let mut old = Client::connect(&broker, connect(Version::V3_1_1, "old")).await;
    old.subscribe("t", Qos::AtLeastOnce).await;
    let mut new = Client::v5(&broker, "new").await;
    let entries = [
        Property::UserProperty("a", "b"),
        Property::ContentType("text"),
    ];
    new.publish_packet(Publish {
        properties: properties(entries),
        ..publish("t", "payload", Qos::AtLeastOnce, 1)
    })
    .await;
    let message = old.message().await;
    assert_eq!(
        (&message.payload[..], message.properties.is_empty()),
        (&b"payload"[..], true)
    );
}
