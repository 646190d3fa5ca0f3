//! Every malformed packet of tests/data/malformed.txt, each over a WebSocket of its own.
//!
//! After each, what comes back is exactly what its line says, and a fresh client is served.

#[path = "../../data/malformed.rs"]
mod data;

use data::{Answer, Case, When};
use weir_codec::{Packet, Qos, ReasonCode, Version};
use weir_tests::packets::connect;
use weir_tests::{Broker, Client, Close};

const PROTOCOL_ERROR: u16 = 1002;
const TOO_LARGE: u16 = 1009;

#[tokio::test]
async fn malformed_packets_of_3_1_1_get_their_answer() {
    check_all(Version::V3_1_1, Version::V3_1_1, 90).await;
}

#[tokio::test]
async fn malformed_packets_of_5_0_get_their_answer() {
    check_all(Version::V5, Version::V5, 150).await;
}

#[tokio::test]
async fn malformed_packets_of_3_1_get_their_answer() {
    check_all(Version::V3_1_1, Version::V3_1, 60).await;
}

/// Sends all packets of a table to a server, spoken as `version`; there are at least so many.
async fn check_all(table: Version, version: Version, least: usize) {
    let broker = Broker::start();
    let mut count = 0;
    for case in data::cases(table) {
        let skip = version == Version::V3_1 && case.is_allowed_in_3_1();
        if case.when != When::ToClient && !skip {
            check(&broker, &case, version).await;
            serves_others(&broker).await;
            count += 1;
        }
    }
    assert!(count >= least, "{count}");
}

async fn check(broker: &Broker, case: &Case, version: Version) {
    println!("{version}, {}: {}", case.statement, case.what);
    let spoken = if case.answer == Answer::UnacceptableVersion {
        Version::V3_1_1
    } else {
        version
    };
    let mut client = Client::open(broker, spoken).await;
    if case.when == When::Connected {
        let accepted = client.ask(connect(version, "malformed")).await;
        assert_eq!(accepted.reason, ReasonCode::Success);
    }
    client.send_bytes(case.bytes.clone()).await;
    let reason = match case.answer {
        Answer::Close => None,
        Answer::Disconnect => match client.recv().await {
            Packet::Disconnect(disconnect) => Some(disconnect.reason),
            other => panic!("expected DISCONNECT, got {other:?}"),
        },
        Answer::ConnAck | Answer::UnacceptableVersion => match client.recv().await {
            Packet::ConnAck(connack) => Some(connack.reason),
            other => panic!("expected CONNACK, got {other:?}"),
        },
    };
    if let Some(reason) = reason {
        assert_eq!(reason as u8, case.reason);
    }
    let Close { code, reason } = client.closed().await;
    let too_large = case.reason == ReasonCode::PacketTooLarge as u8;
    assert_eq!(code, if too_large { TOO_LARGE } else { PROTOCOL_ERROR });
    assert!(!reason.is_empty(), "the close has no text");
}

/// A fresh client connects, subscribes, publishes and receives.
async fn serves_others(broker: &Broker) {
    let mut fresh = Client::v5(broker, "fresh").await;
    fresh.subscribe("fresh", Qos::AtMostOnce).await;
    fresh.publish("fresh", "air", Qos::AtMostOnce).await;
    assert_eq!(fresh.payload().await, "air");
}
