//! Retained messages, and the subscription options that concern them.

use weir_codec::{Qos, RetainHandling, SubscriptionOptions, Version};
use weir_tests::packets::connect;
use weir_tests::{Broker, Client};

fn handling(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions {
        qos: Qos::AtLeastOnce,
        retain_handling,
        ..SubscriptionOptions::default()
    }
}

#[tokio::test]
async fn the_last_retained_message_meets_a_new_subscription() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut client = Client::connect(&broker, connect(version, "client")).await;
        let topic = format!("kept/{}", version.level());
        client.retain(&topic, "old", Qos::AtLeastOnce).await;
        client.retain(&topic, "new", Qos::ExactlyOnce).await;
        client.subscribe(&topic, Qos::AtLeastOnce).await;
        let message = client.message().await;
        assert_eq!((&message.payload[..], message.retain), (&b"new"[..], true));
        assert_eq!(message.delivery.qos(), Qos::AtLeastOnce);
        client.silent().await;
    }
}

#[tokio::test]
async fn an_empty_payload_removes_it_and_is_delivered_itself() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.retain("t", "kept", Qos::AtMostOnce).await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    assert_eq!(client.payload().await, "kept");
    client.retain("t", "", Qos::AtLeastOnce).await;
    let empty = client.message().await;
    assert_eq!((empty.payload.len(), empty.retain), (0, false));
    let mut late = Client::v5(&broker, "late").await;
    late.subscribe("t", Qos::AtLeastOnce).await;
    late.silent().await;
}

#[tokio::test]
async fn wildcards_find_all_that_match_and_no_others() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    for n in 0..300 {
        client
            .retain(&format!("home/{n}/state"), &n.to_string(), Qos::AtMostOnce)
            .await;
    }
    client
        .retain("home/1/other", "other", Qos::AtMostOnce)
        .await;
    client
        .retain("$hidden/1/state", "hidden", Qos::AtLeastOnce)
        .await;
    client.subscribe("+/+/state", Qos::AtMostOnce).await;
    let mut found: Vec<i32> = Vec::new();
    while found.len() < 300 {
        found.push(client.payload().await.parse().expect("a number"));
    }
    found.sort_unstable();
    assert_eq!(found, (0..300).collect::<Vec<_>>());
    client.silent().await;
}

#[tokio::test]
async fn retain_handling_decides_whether_a_subscription_gets_it() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "client").await;
    client.retain("t", "kept", Qos::AtLeastOnce).await;
    client
        .subscribe("t", handling(RetainHandling::DoNotSend))
        .await;
    client.silent().await;
    client
        .subscribe("t", handling(RetainHandling::SendIfNew))
        .await;
    client.silent().await;
    client
        .subscribe("t", handling(RetainHandling::SendAtSubscribe))
        .await;
    assert_eq!(client.payload().await, "kept");
    client.unsubscribe("t").await;
    client
        .subscribe("t", handling(RetainHandling::SendIfNew))
        .await;
    assert_eq!(client.payload().await, "kept");
    client.silent().await;
}

#[tokio::test]
async fn retain_as_published_keeps_the_flag_of_live_messages() {
    let broker = Broker::start();
    let mut keeping = Client::v5(&broker, "keeping").await;
    let options = SubscriptionOptions {
        retain_as_published: true,
        ..handling(RetainHandling::SendAtSubscribe)
    };
    keeping.subscribe("t", options).await;
    let mut plain = Client::v5(&broker, "plain").await;
    plain.subscribe("t", Qos::AtLeastOnce).await;
    plain.retain("t", "flagged", Qos::AtLeastOnce).await;
    assert!(keeping.message().await.retain);
    assert!(!plain.message().await.retain);
    plain.publish("t", "unflagged", Qos::AtLeastOnce).await;
    assert!(!keeping.message().await.retain);
}

#[tokio::test]
async fn a_retained_message_outlives_the_session_that_set_it() {
    let broker = Broker::start();
    let mut setter = Client::v5(&broker, "setter").await;
    setter.retain("t", "kept", Qos::AtLeastOnce).await;
    setter.leave().await;
    let mut reader = Client::connect(&broker, connect(Version::V3_1_1, "reader")).await;
    reader.subscribe("#", Qos::AtMostOnce).await;
    assert_eq!(reader.payload().await, "kept");
}

/// The publisher and the subscriber live on different shards in two of three cases: what was acknowledged to the one must
/// be known where the other asks.
#[tokio::test]
async fn what_was_acknowledged_is_older_than_a_later_subscription() {
    let broker = Broker::start_with("shards = 3");
    let mut publisher = Client::v5(&broker, "publisher").await;
    let mut subscribers = Vec::new();
    for n in 0..6 {
        subscribers.push(Client::v5(&broker, &format!("subscriber{n}")).await);
    }
    for round in 0..100 {
        let topic = format!("t/{round}");
        for subscriber in &mut subscribers {
            publisher.retain(&topic, "earlier", Qos::AtLeastOnce).await;
            let options = handling(RetainHandling::DoNotSend);
            subscriber.subscribe(&topic, options).await;
            publisher.publish(&topic, "later", Qos::AtLeastOnce).await;
            assert_eq!(subscriber.payload().await, "later", "{topic}");
            subscriber.unsubscribe(&topic).await;
        }
    }
}
