//! Limits of one address: how many connections, and how fast.

use weir_codec::{Packet, ReasonCode, Version};
use weir_tests::packets::connect;
use weir_tests::{Broker, Client, Wire};

use super::{certificate, listener};

const MQTT: &str = "Sec-WebSocket-Protocol: mqtt";

#[tokio::test]
async fn connections_that_come_too_fast_get_429_and_when_to_come_back() {
    let broker = Broker::start_with("[limits]\nmax_handshakes_per_second_per_address = 2");
    let mut refused = None;
    let mut open = Vec::new();
    // The pace is two a second: whatever this machine manages, some of so many come too soon.
    for _ in 0..200 {
        let mut wire = Wire::open(&broker).await;
        let reply = wire.upgrade("/mqtt", &[MQTT]).await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        open.push(wire);
    }
    let reply = refused.expect("nothing was refused");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(
        reply.body.contains("too many connections were begun"),
        "{}",
        reply.body
    );
    broker.logs("too many connections were begun");
}

/// The CONNACK of a client that is one too many for its address.
async fn one_too_many(protocol: &str, keys: &str, version: Version) -> (ReasonCode, String) {
    let config = listener(protocol, keys) + "[limits]\nmax_connections_per_address = 1\n";
    let broker = Broker::start_with(&config);
    let _first = Client::v5(&broker, "first").await;
    let mut second = Client::open(&broker, version).await;
    let connack = second.ask(connect(version, "second")).await;
    let close = second.closed().await;
    assert!(
        close.says("as many connections as it may have"),
        "{close:?}"
    );
    assert_eq!(close.code, 1013);
    broker.logs("your address has as many connections as it may have");
    let reason = connack
        .properties
        .reason_string()
        .map(|text| text.to_string());
    (connack.reason, reason.unwrap_or_default())
}

#[tokio::test]
async fn mqtt_is_answered_by_connack() {
    let certificate = certificate();
    for (protocol, keys) in [
        ("mqtt", ""),
        ("mqtts", certificate.as_str()),
        ("ws", "refuse_after_upgrade = \"always\""),
    ] {
        let (code, reason) = one_too_many(protocol, keys, Version::V5).await;
        assert_eq!(code, ReasonCode::QuotaExceeded, "{protocol}");
        assert_eq!(
            reason,
            "your address has as many connections as it may have"
        );
        let (code, _) = one_too_many(protocol, keys, Version::V3_1_1).await;
        assert!(code.is_error(), "{protocol}");
    }
}

#[tokio::test]
async fn plain_http_is_told_too() {
    let broker = Broker::start_with("[limits]\nmax_connections_per_address = 1");
    let mut client = Client::v5(&broker, "first").await;
    let reply = Wire::open(&broker)
        .await
        .request("GET", "/healthz", &[])
        .await;
    assert_eq!(reply.status, 429);
    client.send(Packet::PingReq).await;
    assert_eq!(client.recv().await, Packet::PingResp);
}
