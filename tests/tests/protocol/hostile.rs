//! Well-formed frames with packets that break a rule: each gets its reason, and nobody else notices.

use weir_codec::{Packet, Property, Publish, Qos, ReasonCode, Subscribe, Version};
use weir_tests::packets::{ack, connect, lasting, packet_id, properties, publish, subscribe};
use weir_tests::{Broker, Client, Code, SILENCE};

/// What ends a 5.0 connection, with the reason it is told.
const WRONG: [(&str, &[u8], ReasonCode); 12] = [
    (
        "PUBLISH with DUP and QoS 0",
        b"\x38\x05\x00\x01t\x00x",
        ReasonCode::MalformedPacket,
    ),
    (
        "PUBLISH with packet id 0",
        b"\x32\x07\x00\x01t\x00\x00\x00x",
        ReasonCode::ProtocolError,
    ),
    (
        "PUBLISH with a wildcard",
        b"\x30\x05\x00\x01#\x00x",
        ReasonCode::MalformedPacket,
    ),
    (
        "PUBLISH without topic and alias",
        b"\x30\x04\x00\x00\x00x",
        ReasonCode::ProtocolError,
    ),
    (
        "PUBLISH with a subscription identifier",
        b"\x30\x07\x00\x01t\x02\x0b\x01x",
        ReasonCode::ProtocolError,
    ),
    (
        "PUBLISH with topic alias 0",
        b"\x30\x08\x00\x01t\x03\x23\x00\x00x",
        ReasonCode::TopicAliasInvalid,
    ),
    (
        "SUBSCRIBE without filters",
        b"\x82\x03\x00\x01\x00",
        ReasonCode::ProtocolError,
    ),
    (
        "SUBSCRIBE with identifier 0",
        b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01t\x00",
        ReasonCode::ProtocolError,
    ),
    (
        "SUBSCRIBE with reserved option bits",
        b"\x82\x07\x00\x01\x00\x00\x01t\xc0",
        ReasonCode::MalformedPacket,
    ),
    (
        "UNSUBSCRIBE without filters",
        b"\xa2\x03\x00\x01\x00",
        ReasonCode::ProtocolError,
    ),
    (
        "AUTH out of the blue",
        b"\xf0\x00",
        ReasonCode::ProtocolError,
    ),
    (
        "a property twice",
        b"\x30\x0a\x00\x01t\x04\x01\x00\x01\x00xy",
        ReasonCode::ProtocolError,
    ),
];

#[tokio::test]
async fn each_broken_rule_has_its_reason() {
    let broker = Broker::start();
    let mut healthy = Client::v5(&broker, "healthy").await;
    healthy.subscribe("t", Qos::AtMostOnce).await;
    for (what, bytes, expected) in WRONG {
        let mut client = Client::v5(&broker, "wrong").await;
        client.send_bytes(bytes).await;
        let (reason, code) = client.disconnected().await;
        assert_eq!((reason, code), (expected, Code(1002)), "{what}");
    }
    healthy.silent().await;
    healthy.publish("t", "fine", Qos::AtMostOnce).await;
    assert_eq!(healthy.payload().await, "fine");
}

#[tokio::test]
async fn what_came_before_a_fault_is_done_and_what_comes_after_is_not() {
    let broker = Broker::start();
    let mut healthy = Client::v5(&broker, "healthy").await;
    healthy.subscribe("t", Qos::AtMostOnce).await;
    let mut client = Client::v5(&broker, "wrong").await;
    let publish = |payload: &'static str| {
        client.encode([Packet::Publish(publish("t", payload, Qos::AtMostOnce, 0))])
    };
    let bytes = [&publish("before")[..], b"\x00\x00", &publish("after")].concat();
    client.send_bytes(bytes).await;
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::MalformedPacket, Code(1002))
    );
    assert_eq!(healthy.payload().await, "before");
    healthy.silent().await;
}

#[tokio::test]
async fn acknowledgements_of_nothing_are_harmless() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut client = Client::connect(&broker, connect(version, "client")).await;
        client.send(Packet::PubAck(ack(77))).await;
        client.send(Packet::PubComp(ack(77))).await;
        client.send(Packet::PubRec(ack(77))).await;
        client.send(Packet::PingReq).await;
        loop {
            match client.recv().await {
                Packet::PubRel(rel) => assert_eq!(rel.packet_id, packet_id(77)),
                Packet::PingResp => break,
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_refusing_pubrec_ends_the_delivery_and_frees_its_place() {
    let broker = Broker::start();
    let window = properties([Property::ReceiveMaximum(1)]);
    let request = weir_codec::Connect {
        properties: window,
        ..connect(Version::V5, "refusing")
    };
    let mut client = Client::connect(&broker, request).await;
    client.subscribe("t", Qos::ExactlyOnce).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    for payload in ["unwanted", "wanted"] {
        publisher.publish("t", payload, Qos::ExactlyOnce).await;
    }
    let unwanted = client.publication().await;
    let id = unwanted.delivery.packet_id().expect("QoS 2");
    let refusal = weir_codec::Ack {
        reason: ReasonCode::QuotaExceeded,
        ..ack(id.get())
    };
    client.send(Packet::PubRec(refusal)).await;
    assert_eq!(client.payload().await, "wanted");
}

#[tokio::test]
async fn a_reader_that_stops_costs_others_nothing_and_is_told() {
    let broker = Broker::start_with("[limits]\nqueue_messages = 100");
    let mut stuck = Client::v5(&broker, "stuck").await;
    stuck.subscribe("t", Qos::AtLeastOnce).await;
    let mut healthy = Client::v5(&broker, "healthy").await;
    healthy.subscribe("t", Qos::AtLeastOnce).await;
    let payload = "x".repeat(200_000);
    for _ in 0..200 {
        assert!(
            !healthy
                .publish("t", &payload, Qos::AtLeastOnce)
                .await
                .is_error()
        );
        assert_eq!(healthy.payload().await.len(), payload.len());
    }
    broker.logs("reads too slowly");
    loop {
        match stuck.recv().await {
            Packet::Publish(_) => {}
            Packet::Disconnect(disconnect) => {
                assert_eq!(disconnect.reason, ReasonCode::QuotaExceeded);
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn problem_information_is_left_out_where_it_is_unwanted() {
    let broker = Broker::start();
    let unwanted = properties([Property::RequestProblemInformation(false)]);
    let request = weir_codec::Connect {
        properties: unwanted,
        ..connect(Version::V5, "terse")
    };
    let mut client = Client::connect(&broker, request).await;
    client
        .send_bytes(&b"\x82\x09\x00\x09\x00\x00\x03a#b\x00"[..])
        .await;
    let suback = client.suback(packet_id(9)).await;
    assert_eq!(suback.reasons, [ReasonCode::TopicFilterInvalid]);
    assert!(suback.properties.is_empty());
}

#[tokio::test]
async fn unfinished_messages_come_before_new_ones_after_a_reconnection() {
    let broker = Broker::start();
    let mut publisher = Client::v5(&broker, "publisher").await;
    let mut first = Client::connect(&broker, lasting(Version::V5, "back")).await;
    first.subscribe("t", Qos::ExactlyOnce).await;
    for n in 0..10 {
        publisher
            .publish("t", &n.to_string(), Qos::AtLeastOnce)
            .await;
        first.publication().await;
    }
    first.vanish();
    tokio::time::sleep(SILENCE).await;
    for n in 10..20 {
        publisher
            .publish("t", &n.to_string(), Qos::AtLeastOnce)
            .await;
    }
    let mut second = Client::connect(&broker, lasting(Version::V5, "back")).await;
    for n in 0..20 {
        let message = second.message().await;
        assert_eq!(
            (message.payload, message.dup),
            (n.to_string().into(), n < 10)
        );
    }
    second.silent().await;
}

#[tokio::test]
async fn a_clean_start_during_a_takeover_forgets_what_was_waiting() {
    let broker = Broker::start();
    let mut publisher = Client::v5(&broker, "publisher").await;
    let mut first = Client::connect(&broker, lasting(Version::V5, "twin")).await;
    first.subscribe("t", Qos::AtLeastOnce).await;
    publisher
        .publish("t", "unacknowledged", Qos::AtLeastOnce)
        .await;
    first.publication().await;
    let mut second = Client::v5(&broker, "twin").await;
    assert!(!second.connack().session_present);
    publisher.publish("t", "unheard", Qos::AtLeastOnce).await;
    second.silent().await;
}

#[tokio::test]
async fn a_message_with_everything_reaches_many_kinds_of_subscribers() {
    let broker = Broker::start();
    let mut subscribers = Vec::new();
    for version in Version::ALL {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for n in 0..5 {
                let id = format!("s{}-{}-{n}", version.level(), qos as u8);
                let mut client = Client::connect(&broker, connect(version, &id)).await;
                let request = subscribe(9, "t/#", qos);
                let identifier = properties([Property::SubscriptionIdentifier(n + 1)]);
                let own = if version.is_v5() {
                    identifier
                } else {
                    properties([])
                };
                client
                    .send(Packet::Subscribe(Subscribe {
                        properties: own,
                        ..request
                    }))
                    .await;
                client.suback(packet_id(9)).await;
                subscribers.push((client, version, qos, n));
            }
        }
    }
    let entries = [
        Property::UserProperty("k", "v"),
        Property::MessageExpiryInterval(60),
    ];
    let message = Publish {
        properties: properties(entries),
        ..publish("t/x", "payload", Qos::ExactlyOnce, 1)
    };
    let mut publisher = Client::v5(&broker, "publisher").await;
    publisher.publish_packet(message).await;
    for (mut client, version, qos, n) in subscribers {
        let message = client.message().await;
        assert_eq!(
            (&message.payload[..], message.delivery.qos()),
            (&b"payload"[..], qos)
        );
        if version.is_v5() {
            assert_eq!(
                message
                    .properties
                    .subscription_identifiers()
                    .collect::<Vec<_>>(),
                [n + 1]
            );
            assert_eq!(
                message.properties.user_properties().collect::<Vec<_>>(),
                [("k", "v")]
            );
            assert!(matches!(
                message.properties.message_expiry_interval(),
                Some(59..=60)
            ));
        }
        client
            .silent_for(std::time::Duration::from_millis(20))
            .await;
    }
}
