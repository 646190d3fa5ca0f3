//! Shared subscriptions: each message goes to one member of each group.

use std::collections::BTreeSet;

use weir_codec::{Packet, Qos, ReasonCode, SubscriptionOptions, Version};
use weir_tests::packets::{connect, subscribe};
use weir_tests::{Broker, Client, Code};

async fn member(broker: &Broker, id: &str, filter: &str) -> Client {
    let mut member = Client::v5(broker, id).await;
    assert_eq!(
        member.subscribe(filter, Qos::AtLeastOnce).await,
        ReasonCode::GrantedQos1
    );
    member
}

async fn publish_numbers(broker: &Broker, count: usize) {
    let mut publisher = Client::v5(broker, "publisher").await;
    for n in 0..count {
        publisher
            .publish("work/item", &n.to_string(), Qos::AtLeastOnce)
            .await;
    }
}

/// All that a client has got, acknowledged.
async fn drain(client: &mut Client) -> Vec<String> {
    let mut payloads = Vec::new();
    while let Ok(payload) = tokio::time::timeout(weir_tests::SILENCE, client.payload()).await {
        payloads.push(payload);
    }
    payloads
}

#[tokio::test]
async fn every_message_reaches_exactly_one_member_and_all_have_work() {
    let broker = Broker::start();
    let mut one = member(&broker, "one", "$share/group/work/#").await;
    let mut two = member(&broker, "two", "$share/group/work/#").await;
    publish_numbers(&broker, 40).await;
    let (one, two) = (drain(&mut one).await, drain(&mut two).await);
    assert!(
        one.len() >= 10 && two.len() >= 10,
        "{} and {}",
        one.len(),
        two.len()
    );
    assert_eq!(one.len() + two.len(), 40);
    let all: BTreeSet<_> = one.iter().chain(&two).collect();
    assert_eq!(all.len(), 40);
}

#[tokio::test]
async fn groups_and_plain_subscriptions_each_get_their_own() {
    let broker = Broker::start();
    let mut red = member(&broker, "red", "$share/red/work/+").await;
    let mut blue = member(&broker, "blue", "$share/blue/work/+").await;
    let mut plain = member(&broker, "plain", "work/#").await;
    publish_numbers(&broker, 5).await;
    for client in [&mut red, &mut blue, &mut plain] {
        assert_eq!(drain(client).await, ["0", "1", "2", "3", "4"]);
    }
}

#[tokio::test]
async fn who_leaves_the_group_gets_nothing_more() {
    let broker = Broker::start();
    let mut staying = member(&broker, "staying", "$share/group/work/#").await;
    let mut leaving = member(&broker, "leaving", "$share/group/work/#").await;
    let gone = member(&broker, "gone", "$share/group/work/#").await;
    gone.leave().await;
    leaving.unsubscribe("$share/group/work/#").await;
    publish_numbers(&broker, 6).await;
    assert_eq!(drain(&mut staying).await.len(), 6);
    leaving.silent().await;
}

#[tokio::test]
async fn retained_messages_are_not_sent_to_a_group() {
    let broker = Broker::start();
    let mut publisher = Client::v5(&broker, "publisher").await;
    publisher
        .retain("work/item", "kept", Qos::AtLeastOnce)
        .await;
    member(&broker, "one", "$share/group/work/#")
        .await
        .silent()
        .await;
}

#[tokio::test]
async fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "one").await;
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::default()
    };
    client
        .send(Packet::Subscribe(subscribe(1, "$share/group/t", options)))
        .await;
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::ProtocolError, Code(1002))
    );
}

#[tokio::test]
async fn malformed_share_names_are_refused_each_by_itself() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "one").await;
    for filter in [
        "$share/group",
        "$share//t",
        "$share/gr+up/t",
        "$share/group/",
    ] {
        let reason = bytes_subscribe(&mut client, filter).await;
        assert_eq!(reason, ReasonCode::TopicFilterInvalid, "{filter}");
    }
    assert_eq!(
        client.subscribe("t", Qos::AtMostOnce).await,
        ReasonCode::Success
    );
}

#[tokio::test]
async fn a_3_1_1_client_can_be_a_member() {
    let broker = Broker::start();
    let mut old = Client::connect(&broker, connect(Version::V3_1_1, "old")).await;
    old.subscribe("$share/group/work/#", Qos::AtLeastOnce).await;
    publish_numbers(&broker, 3).await;
    assert_eq!(drain(&mut old).await, ["0", "1", "2"]);
}

/// Subscribes with a filter that our own encoder would not take.
async fn bytes_subscribe(client: &mut Client, filter: &str) -> ReasonCode {
    let length = u8::try_from(filter.len()).expect("a short filter");
    let mut bytes = vec![0x82, length + 6, 0, 9, 0, 0, length];
    bytes.extend(filter.as_bytes());
    bytes.push(0);
    client.send_bytes(bytes).await;
    client
        .suback(weir_tests::packets::packet_id(9))
        .await
        .reasons[0]
}
