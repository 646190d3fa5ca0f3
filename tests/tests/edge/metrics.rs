//! The page for Prometheus: who is shown it, and that it counts what happens.

use std::time::Instant;
use weir_codec::{Packet, Qos, ReasonCode, Version};
use weir_tests::folder;
use weir_tests::packets::{connect, publish};
use weir_tests::{Broker, Client, PATIENCE, Wire};

use super::{certificate, listener};

/// What a line of the page says, 0 without such a line.
async fn value(broker: &Broker, line: &str) -> u64 {
    let mut wire = Wire::open(broker).await;
    let reply = wire.request("GET", "/metrics", &[]).await;
    assert_eq!(reply.status, 200);
    let kind = reply.header("content-type").expect("a type");
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"));
    let mut lines = reply.body.lines();
    let value = lines.find_map(|it| it.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a whole number"))
}

/// Waits until a line says this: what shards count is gathered now and then.
async fn says(broker: &Broker, line: &str, wanted: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = value(broker, line).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{line} is {found}, not {wanted}");
        tokio::time::sleep(PATIENCE / 500).await;
    }
}

/// Something of everything; the client that stays.
async fn happen(broker: &Broker) -> Client {
    let mut client = Client::v5(broker, "one").await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    let full = client.subscribe("u", Qos::AtLeastOnce).await;
    assert_eq!(full, ReasonCode::QuotaExceeded);
    client.retain("kept", "x", Qos::AtLeastOnce).await;
    let full = client.retain("not kept", "x", Qos::AtLeastOnce).await;
    assert_eq!(full, ReasonCode::QuotaExceeded);
    client.publish("t", "to itself", Qos::AtLeastOnce).await;
    client.message().await;
    let flood = (0..50).map(|_| Packet::Publish(publish("none", "x", Qos::AtMostOnce, 1)));
    client.send_together(flood).await;
    client.send(Packet::PingReq).await;
    assert_eq!(client.recv().await, Packet::PingResp);
    Client::v5(broker, "two").await.leave().await;
    let invalid = connect(Version::V3_1_1, "");
    Client::refused(
        broker,
        weir_codec::Connect {
            clean_start: false,
            ..invalid
        },
    )
    .await;
    let mut wire = Wire::open(broker).await;
    let upgrade = [
        "Sec-WebSocket-Protocol: mqtt",
        "Origin: https://evil.example",
    ];
    assert_eq!(wire.upgrade("/mqtt", &upgrade).await.status, 101);
    wire.closed().await;
    client
}

#[tokio::test]
async fn what_happens_is_counted() {
    let store = folder();
    let config = [
        listener("ws", "metrics = true"),
        listener("wss", &certificate()),
        format!("[store]\npath = {store:?}\n"),
        "[limits]\nmax_retained_messages = 1\nmax_subscriptions_per_session = 1\n\
         max_publishes_per_second_per_client = 20\n"
            .into(),
    ];
    let broker = Broker::start_with(&config.concat());
    let _client = happen(&broker).await;
    for (line, wanted) in [
        ("weir_connections", 1),
        ("weir_sessions", 1),
        ("weir_subscriptions", 1),
        ("weir_retained_messages", 1),
        ("weir_connections_accepted_total", 2),
        ("weir_connections_ended_total{reason=\"disconnected\"}", 1),
        (
            "weir_connections_refused_total{reason=\"client_id_invalid\"}",
            1,
        ),
        ("weir_connections_refused_total{reason=\"origin\"}", 1),
        ("weir_messages_received_total", 53),
        ("weir_messages_sent_total", 1),
        ("weir_messages_dropped_total{reason=\"refused\"}", 1),
        ("weir_limits_hit_total{limit=\"subscriptions\"}", 1),
        ("weir_limits_hit_total{limit=\"retained\"}", 1),
    ] {
        says(&broker, line, wanted).await;
    }
    assert!(value(&broker, "weir_limits_hit_total{limit=\"rate\"}").await > 0);
    assert!(value(&broker, "weir_store_commits_total").await > 0);
    // 50 publishes of at least nine bytes, and what came before.
    assert!(value(&broker, "weir_received_bytes_total").await > 450);
    assert!(value(&broker, "weir_sent_bytes_total").await > 30);
    let name = "weir_certificate_not_after_timestamp_seconds{listener=\"wss://127.0.0.1:0\"}";
    let ends = value(&broker, name).await;
    let health = Wire::open(&broker)
        .await
        .request("GET", "/healthz", &[])
        .await;
    let expected = format!("\"certificate_not_after\":{ends}}}");
    assert!(
        health.body.trim_end().ends_with(&expected),
        "{}",
        health.body
    );
}

#[tokio::test]
async fn metrics_are_not_for_everybody() {
    let broker = Broker::start();
    let reply = Wire::open(&broker)
        .await
        .request("GET", "/metrics", &[])
        .await;
    assert_eq!(reply.status, 404);
}
