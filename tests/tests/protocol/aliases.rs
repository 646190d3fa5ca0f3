//! Topic aliases in both directions.

use weir_codec::{Connect, Packet, Property, Publish, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, properties, publish};
use weir_tests::{Broker, Client, Code};

fn aliased(topic: Option<&str>, alias: u16, payload: &'static str) -> Packet {
    let whole = publish(topic.unwrap_or("unused"), payload, Qos::AtMostOnce, 0);
    let properties = properties([Property::TopicAlias(alias)]);
    let topic = if topic.is_some() {
        whole.topic.clone()
    } else {
        None
    };
    Packet::Publish(Publish {
        topic,
        properties,
        ..whole
    })
}

#[tokio::test]
async fn an_alias_stands_for_the_topic_it_came_with_last() {
    let broker = Broker::start();
    let mut subscriber = Client::v5(&broker, "subscriber").await;
    subscriber.subscribe("#", Qos::AtMostOnce).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    let sent = [(Some("a"), "1"), (None, "2"), (Some("b"), "3"), (None, "4")];
    publisher
        .send_together(sent.map(|(topic, payload)| aliased(topic, 32, payload)))
        .await;
    for expected in [("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")] {
        let message = subscriber.message().await;
        let topic = message.topic.as_ref().map_or("", |topic| topic.as_str());
        assert_eq!(
            (topic, &message.payload[..]),
            (expected.0, expected.1.as_bytes())
        );
        assert_eq!(message.properties.topic_alias(), None);
    }
}

#[tokio::test]
async fn an_alias_above_the_maximum_is_invalid() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.send(aliased(Some("a"), 33, "payload")).await;
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::TopicAliasInvalid, Code(1002))
    );
}

#[tokio::test]
async fn an_alias_that_stands_for_nothing_is_a_protocol_error() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.send(aliased(None, 1, "payload")).await;
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::ProtocolError, Code(1002))
    );
}

#[tokio::test]
async fn the_broker_uses_aliases_where_the_client_allows_them() {
    let broker = Broker::start();
    let allowing = [Property::TopicAliasMaximum(2)];
    let allowing = Connect {
        properties: properties(allowing),
        ..connect(Version::V5, "allowing")
    };
    let mut client = Client::connect(&broker, allowing).await;
    client.subscribe("#", Qos::AtMostOnce).await;
    let topics = ["a/long/topic/one", "a/long/topic/two", "a/long/topic/three"];
    let mut known: [Option<String>; 2] = [None, None];
    let mut shortened = 0;
    for round in 0..12 {
        let expected = topics[round % 3];
        client.publish(expected, "payload", Qos::AtMostOnce).await;
        let message = client.message().await;
        let named = message
            .topic
            .as_ref()
            .map(|topic| topic.as_str().to_owned());
        shortened += usize::from(named.is_none());
        let slot = message
            .properties
            .topic_alias()
            .map(|alias| usize::from(alias) - 1);
        if let (Some(name), Some(slot)) = (&named, slot) {
            known[slot] = Some(name.clone());
        }
        let meant = named.or_else(|| known[slot.expect("a topic or an alias")].clone());
        assert_eq!(meant.as_deref(), Some(expected));
    }
    assert!(shortened >= 4, "only {shortened} of 12 were shortened");
}

#[tokio::test]
async fn the_broker_uses_no_aliases_where_the_client_allows_none() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.subscribe("#", Qos::AtMostOnce).await;
    for _ in 0..5 {
        client
            .publish("a/long/topic", "payload", Qos::AtMostOnce)
            .await;
        let message = client.message().await;
        assert_eq!(message.properties.topic_alias(), None);
        assert!(message.topic.is_some());
    }
}

#[tokio::test]
async fn aliases_end_with_their_connection() {
    let broker = Broker::start();
    let mut first = Client::v5(&broker, "client").await;
    first.send(aliased(Some("a"), 1, "payload")).await;
    first.leave().await;
    let mut second = Client::v5(&broker, "client").await;
    second.send(aliased(None, 1, "payload")).await;
    assert_eq!(second.disconnected().await.0, ReasonCode::ProtocolError);
}
