//! Subscriptions: what they match, how often a message comes, and what SUBACK says.

use weir_codec::{
    Packet, Property, Qos, ReasonCode, Subscribe, SubscribeFilters, SubscriptionOptions, Version,
};
use weir_tests::packets::{connect, packet_id, properties, subscribe};
use weir_tests::{Broker, Client};

#[tokio::test]
async fn leading_wildcards_do_not_match_dollar_topics() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.subscribe("#", Qos::AtMostOnce).await;
    client.subscribe("+/a", Qos::AtMostOnce).await;
    client.publish("$mine/a", "hidden", Qos::AtLeastOnce).await;
    client.silent().await;
    client.subscribe("$mine/#", Qos::AtMostOnce).await;
    client.publish("$mine/a", "seen", Qos::AtLeastOnce).await;
    assert_eq!(client.payload().await, "seen");
    client.silent().await;
}

#[tokio::test]
async fn empty_levels_and_spaces_are_levels_like_others() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.subscribe("+/+", Qos::AtMostOnce).await;
    client.subscribe("/", Qos::AtMostOnce).await;
    for topic in ["a", "/a", "a/b c", "a/b/c"] {
        client.publish(topic, topic, Qos::AtLeastOnce).await;
    }
    assert_eq!(client.payload().await, "/a");
    assert_eq!(client.payload().await, "a/b c");
    client.silent().await;
}

#[tokio::test]
async fn suback_answers_each_filter_in_its_place() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    let wanted = [
        ("a", Qos::AtMostOnce),
        ("b/#", Qos::ExactlyOnce),
        ("c/+", Qos::AtLeastOnce),
    ];
    let filters =
        SubscribeFilters::new(wanted.map(|(filter, qos)| (filter, SubscriptionOptions::from(qos))));
    let filters = filters.expect("filters");
    let request = Subscribe {
        packet_id: packet_id(5),
        filters,
        properties: properties([]),
    };
    client.send(Packet::Subscribe(request)).await;
    let granted = [
        ReasonCode::Success,
        ReasonCode::GrantedQos2,
        ReasonCode::GrantedQos1,
    ];
    assert_eq!(client.suback(packet_id(5)).await.reasons, granted);
}

#[tokio::test]
async fn a_bad_filter_is_refused_by_itself_and_the_session_goes_on() {
    let broker = Broker::start();
    for (version, bytes) in [
        (
            Version::V5,
            &b"\x82\x0e\x00\x09\x00\x00\x03a#b\x00\x00\x02ok\x00"[..],
        ),
        (
            Version::V3_1_1,
            b"\x82\x0d\x00\x09\x00\x03a#b\x00\x00\x02ok\x00",
        ),
    ] {
        let mut client = Client::connect(&broker, connect(version, "client")).await;
        client.send_bytes(bytes).await;
        let reasons = client.suback(packet_id(9)).await.reasons;
        let refused = if version.is_v5() {
            ReasonCode::TopicFilterInvalid
        } else {
            ReasonCode::UnspecifiedError
        };
        assert_eq!(reasons, [refused, ReasonCode::Success]);
        client.publish("ok", "alive", Qos::AtMostOnce).await;
        assert_eq!(client.payload().await, "alive");
    }
}

#[tokio::test]
async fn subscribing_again_replaces_the_options() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.subscribe("t", Qos::ExactlyOnce).await;
    client.subscribe("t", Qos::AtMostOnce).await;
    client.publish("t", "once", Qos::ExactlyOnce).await;
    assert_eq!(client.message().await.delivery.qos(), Qos::AtMostOnce);
    client.silent().await;
}

#[tokio::test]
async fn unsuback_says_whether_there_was_a_subscription() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.subscribe("t", Qos::AtMostOnce).await;
    for expected in [ReasonCode::Success, ReasonCode::NoSubscriptionExisted] {
        let request = weir_tests::packets::unsubscribe(9, "t");
        client.send(Packet::Unsubscribe(request)).await;
        let Packet::UnsubAck(unsuback) = client.recv().await else {
            panic!("expected UNSUBACK")
        };
        assert_eq!(unsuback.reasons, [expected]);
    }
}

#[tokio::test]
async fn no_local_keeps_a_clients_own_messages_away() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    let options = SubscriptionOptions {
        no_local: true,
        qos: Qos::AtLeastOnce,
        ..SubscriptionOptions::default()
    };
    client.subscribe("t", options).await;
    client.publish("t", "own", Qos::AtLeastOnce).await;
    let mut other = Client::v5(&broker, "other").await;
    other.publish("t", "other", Qos::AtLeastOnce).await;
    assert_eq!(client.payload().await, "other");
    client.silent().await;
}

#[tokio::test]
async fn subscription_identifiers_tell_which_subscriptions_matched() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    for (id, filter) in [(1, "a/#"), (268_435_455, "a/+"), (7, "b")] {
        let request = subscribe(1, filter, Qos::AtLeastOnce);
        let properties = properties([Property::SubscriptionIdentifier(id)]);
        client
            .send(Packet::Subscribe(Subscribe {
                properties,
                ..request
            }))
            .await;
        client.suback(packet_id(1)).await;
    }
    client.publish("a/x", "overlapping", Qos::AtLeastOnce).await;
    let mut ids: Vec<u32> = Vec::new();
    while ids.len() < 2 {
        ids.extend(client.message().await.properties.subscription_identifiers());
    }
    ids.sort_unstable();
    assert_eq!(ids, [1, 268_435_455]);
    client.silent().await;
}

#[tokio::test]
async fn overlapping_subscriptions_deliver_at_the_highest_qos() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut client = Client::connect(&broker, connect(version, "client")).await;
        client.subscribe("a/#", Qos::AtMostOnce).await;
        client.subscribe("a/+", Qos::ExactlyOnce).await;
        client.publish("a/x", "payload", Qos::ExactlyOnce).await;
        assert_eq!(
            client.message().await.delivery.qos(),
            Qos::ExactlyOnce,
            "{version:?}"
        );
        client.silent().await;
    }
}

#[tokio::test]
async fn a_subscription_works_from_its_suback_on() {
    let broker = Broker::start_with("shards = 2");
    let mut publisher = Client::v5(&broker, "publisher").await;
    for n in 0..200 {
        let topic = format!("t/{n}");
        let mut subscriber = Client::v5(&broker, &format!("subscriber{n}")).await;
        subscriber.subscribe(&topic, Qos::AtMostOnce).await;
        publisher.publish(&topic, "heard", Qos::AtMostOnce).await;
        assert_eq!(subscriber.payload().await, "heard", "{n}");
    }
}
