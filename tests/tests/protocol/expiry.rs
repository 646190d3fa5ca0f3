//! Message expiry: a message is worth something only for its time.

use std::time::Duration;

use tokio::time::sleep;
use weir_codec::{Property, Publish, Qos, Version};
use weir_tests::packets::{lasting, properties, publish};
use weir_tests::{Broker, Client};

fn expiring(payload: &'static str, seconds: u32) -> Publish {
    let properties = properties([Property::MessageExpiryInterval(seconds)]);
    Publish {
        properties,
        ..publish("t", payload, Qos::AtLeastOnce, 1)
    }
}

#[tokio::test]
async fn a_waiting_message_expires_and_the_others_say_how_long_they_still_live() {
    let broker = Broker::start();
    let mut away = Client::connect(&broker, lasting(Version::V5, "away")).await;
    away.subscribe("t", Qos::AtLeastOnce).await;
    away.leave().await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    for message in [expiring("short", 1), expiring("long", 100)] {
        publisher.publish_packet(message).await;
    }
    sleep(Duration::from_millis(2200)).await;
    let mut back = Client::connect(&broker, lasting(Version::V5, "away")).await;
    let message = back.message().await;
    assert_eq!(message.payload, "long");
    let left = message.properties.message_expiry_interval();
    assert!(matches!(left, Some(95..=98)), "{left:?}");
    back.silent().await;
}

#[tokio::test]
async fn a_retained_message_expires() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client
        .publish_packet(Publish {
            retain: true,
            ..expiring("brief", 1)
        })
        .await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    assert_eq!(client.payload().await, "brief");
    sleep(Duration::from_millis(1500)).await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    client.silent().await;
}
