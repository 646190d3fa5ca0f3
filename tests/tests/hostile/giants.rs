//! Sizes at the edge of what the protocol can say: each is taken where it is within the limits, and refused by name.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use weir_codec::{Packet, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, publish, will};
use weir_tests::wire::opcode;
use weir_tests::{Broker, Client, Code, Wire};

use crate::{Canary, MIB};

const LONGEST_TOPIC_BYTES: usize = 65_535;
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00";

fn deep_topic(levels: usize) -> String {
    vec!["x"; levels].join("/")
}

#[tokio::test]
async fn a_topic_of_65535_bytes_is_a_topic_like_any_other() {
    let broker = Arc::new(Broker::start());
    let canary = Canary::fly(&broker);
    let topic = "t".repeat(LONGEST_TOPIC_BYTES);
    for version in Version::ALL {
        let mut client = Client::connect(&broker, connect(version, "client")).await;
        for filter in [topic.as_str(), "+"] {
            assert!(!client.subscribe(filter, Qos::AtLeastOnce).await.is_error());
            client.publish(&topic, "x", Qos::AtLeastOnce).await;
            let message = client.message().await;
            assert_eq!(
                message.topic.expect("no alias").as_str().len(),
                LONGEST_TOPIC_BYTES
            );
            client.unsubscribe(filter).await;
        }
        client.retain(&topic, "kept", Qos::AtLeastOnce).await;
        client.subscribe(&topic, Qos::AtLeastOnce).await;
        assert_eq!(client.payload().await, "kept");
        client.unsubscribe(&topic).await;
        client.retain(&topic, "", Qos::AtLeastOnce).await;
        client.leave().await;
    }
    canary.unharmed();
}

#[tokio::test]
async fn a_topic_of_30000_levels_is_refused_by_name() {
    let broker = Arc::new(Broker::start());
    let canary = Canary::fly(&broker);
    let topic = deep_topic(30_000);
    for version in Version::ALL {
        let is_v5 = version.is_v5();
        let mut client = Client::connect(&broker, connect(version, "deep")).await;
        let reason = client.subscribe(&topic, Qos::AtLeastOnce).await;
        let refused = if is_v5 {
            ReasonCode::TopicFilterInvalid
        } else {
            ReasonCode::UnspecifiedError
        };
        assert_eq!(reason, refused, "{version}");
        client.unsubscribe(&topic).await;
        let packet = publish(&topic, "x", Qos::AtLeastOnce, 1);
        client.send(Packet::Publish(packet)).await;
        if is_v5 {
            let end = client.disconnected().await;
            assert_eq!(end, (ReasonCode::TopicNameInvalid, Code(1002)));
        } else {
            assert_eq!(client.closed().await.code, 1002);
        }
        let request = weir_codec::Connect {
            will: Some(will(&topic, "too deep")),
            ..connect(version, "deep will")
        };
        let (connack, close) = Client::refused(&broker, request).await;
        assert!(connack.reason.is_error());
        assert_eq!(close.code, 1008, "{close:?}");
    }
    canary.unharmed();
}

#[tokio::test]
async fn a_topic_of_30000_levels_works_where_it_is_allowed() {
    let broker = Arc::new(Broker::start_with("[limits]\nmax_topic_levels = 32768"));
    let canary = Canary::fly(&broker);
    let (topic, plus) = (deep_topic(30_000), vec!["+"; 30_000].join("/"));
    let mut client = Client::v5(&broker, "deep").await;
    for filter in [topic.as_str(), &plus, "x/#"] {
        assert!(!client.subscribe(filter, Qos::AtLeastOnce).await.is_error());
    }
    client.retain(&topic, "found", Qos::AtLeastOnce).await;
    assert_eq!(client.payload().await, "found");
    for filter in [topic.as_str(), &plus] {
        client.unsubscribe(filter).await;
    }
    client.leave().await;
    let mut late = Client::v5(&broker, "late").await;
    assert!(!late.subscribe(&plus, Qos::AtLeastOnce).await.is_error());
    assert_eq!(late.payload().await, "found");
    canary.unharmed();
}

/// A length is a claim. Memory is for bytes that have come.
#[tokio::test]
async fn declared_lengths_with_nothing_behind_take_no_memory() {
    let broker = Arc::new(Broker::start_with("[timing]\nhandshake_seconds = 2"));
    let canary = Canary::fly(&broker);
    let first = 0x80 | opcode::BINARY;
    let frame_of_4_exbibytes = [&[first, 0xff, 0x3f], &[0xff; 7][..], &[0; 4]].concat();
    let packet_of_a_megabyte = b"\x30\x80\x80\x3f\x00\x01t\x00";
    let connect_of_60_kib = b"\x10\x80\xe0\x03\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00";
    let before = broker.resident_bytes();
    let (mut strangers, mut members) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let mut wire = Wire::upgraded(&broker).await;
        wire.write(&frame_of_4_exbibytes).await;
        wire.write(&[0x10]).await;
        strangers.push(wire);
        let mut wire = Wire::upgraded(&broker).await;
        wire.binary(connect_of_60_kib).await;
        strangers.push(wire);
        let mut wire = Wire::upgraded(&broker).await;
        wire.binary(CONNECT).await;
        wire.next_frame().await;
        wire.binary(packet_of_a_megabyte).await;
        members.push(wire);
    }
    sleep(Duration::from_millis(200)).await;
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes for 300 connections");
    for wire in &mut strangers {
        assert_eq!(wire.closed().await.0, 1008);
    }
    canary.unharmed();
}

#[tokio::test]
async fn a_frame_longer_than_the_protocol_allows_is_refused_at_its_header() {
    let broker = Arc::new(Broker::start());
    for length in [[0x80, 0, 0, 0, 0, 0, 0, 0], [0xff; 8]] {
        let mut wire = Wire::upgraded(&broker).await;
        let header = [&[0x82, 0xff], &length[..], &[0; 4]].concat();
        wire.write(&header).await;
        assert_eq!(wire.closed().await.0, 1002);
    }
}
