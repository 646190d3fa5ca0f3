//! HTTP on the broker's port: the upgrade, its refusals, and the ordinary answers beside it.

use std::time::Instant;

use weir_tests::{Broker, PATIENCE, Wire};

const MQTT: &str = "Sec-WebSocket-Protocol: mqtt";

async fn upgrade(broker: &Broker, path: &str, headers: &[&str]) -> weir_tests::wire::Reply {
    Wire::open(broker).await.upgrade(path, headers).await
}

#[tokio::test]
async fn an_upgrade_is_answered_with_the_key_and_one_subprotocol() {
    let broker = Broker::start();
    let reply = upgrade(&broker, "/mqtt", &[MQTT]).await;
    assert_eq!(reply.status, 101);
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    assert_eq!(
        reply.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(reply.header("sec-websocket-protocol"), Some("mqtt"));
    assert_eq!(reply.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn every_configured_path_upgrades_whatever_its_query() {
    let broker = Broker::start();
    for path in ["/", "/mqtt", "/?token=a%20b", "/mqtt?x=/nowhere&y"] {
        assert_eq!(upgrade(&broker, path, &[MQTT]).await.status, 101, "{path}");
    }
    let reply = upgrade(&broker, "/nowhere", &[MQTT]).await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("/mqtt"), "{}", reply.body);
}

#[tokio::test]
async fn mqtt_goes_before_mqttv31_wherever_it_stands_in_the_lists() {
    let broker = Broker::start();
    let offers: [(&[&str], &str); 6] = [
        (&["mqtt"], "mqtt"),
        (&["mqttv3.1"], "mqttv3.1"),
        (&["mqtt, mqttv3.1"], "mqtt"),
        (&["mqttv3.1,mqtt"], "mqtt"),
        (&["chat, mqttv3.1", "soap"], "mqttv3.1"),
        (&["mqttv3.1", "wamp ,mqtt"], "mqtt"),
    ];
    for (lines, chosen) in offers {
        let headers: Vec<_> = lines
            .iter()
            .map(|list| format!("Sec-WebSocket-Protocol: {list}"))
            .collect();
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let reply = upgrade(&broker, "/mqtt", &headers).await;
        assert_eq!(reply.status, 101, "{lines:?}");
        assert_eq!(
            reply.header("sec-websocket-protocol"),
            Some(chosen),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn an_offer_without_mqtt_is_refused_and_told_what_is_spoken() {
    let broker = Broker::start();
    let offers = ["chat", "m", "mqt", "mqttv5", "MQTT", "soap, wamp, xmpp", ""];
    for offer in offers {
        let header = format!("Sec-WebSocket-Protocol: {offer}");
        let reply = upgrade(&broker, "/mqtt", &[&header]).await;
        assert_eq!(reply.status, 400, "{offer}");
        assert!(reply.body.contains("mqttv3.1"), "{}", reply.body);
    }
    assert_eq!(upgrade(&broker, "/mqtt", &[]).await.status, 400);
}

#[tokio::test]
async fn a_missing_offer_is_accepted_where_the_configuration_says_so() {
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"\nallow_missing_subprotocol = true";
    let broker = Broker::start_with(listener);
    let reply = upgrade(&broker, "/mqtt", &[]).await;
    assert_eq!(reply.status, 101);
    assert_eq!(reply.header("sec-websocket-protocol"), None);
    assert_eq!(
        upgrade(&broker, "/mqtt", &["Sec-WebSocket-Protocol: chat"])
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn another_websocket_version_is_told_which_is_spoken() {
    let broker = Broker::start();
    for version in ["8", "12", "14", "x"] {
        let header = format!("Sec-WebSocket-Version: {version}");
        let reply = upgrade(&broker, "/mqtt", &[MQTT, &header]).await;
        assert_eq!(reply.status, 426, "{version}");
        assert_eq!(reply.header("sec-websocket-version"), Some("13"));
    }
}

#[tokio::test]
async fn a_bad_key_is_refused() {
    let broker = Broker::start();
    for key in ["Sec-WebSocket-Key: short", "X-Nothing: at all"] {
        let headers = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            MQTT,
            key,
        ];
        let reply = Wire::open(&broker)
            .await
            .request("GET", "/mqtt", &headers)
            .await;
        assert_eq!(reply.status, 400, "{key}");
        assert!(!reply.body.is_empty());
    }
}

#[tokio::test]
async fn headers_of_32_kib_pass_and_far_larger_ones_get_431() {
    let broker = Broker::start();
    let cookie = |bytes: usize| format!("Cookie: session={}", "c".repeat(bytes));
    assert_eq!(
        upgrade(&broker, "/mqtt", &[MQTT, &cookie(6_000)])
            .await
            .status,
        101
    );
    assert_eq!(
        upgrade(&broker, "/mqtt", &[MQTT, &cookie(32 * 1024)])
            .await
            .status,
        101
    );
    assert_eq!(
        upgrade(&broker, "/mqtt", &[MQTT, &cookie(100_000)])
            .await
            .status,
        431
    );
}

#[tokio::test]
async fn extensions_that_browsers_offer_are_declined_not_refused() {
    let broker = Broker::start();
    let extensions = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let reply = upgrade(&broker, "/mqtt", &[MQTT, extensions]).await;
    assert_eq!(reply.status, 101);
    assert_eq!(reply.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn plain_requests_are_answered_on_one_connection() {
    let broker = Broker::start();
    let mut wire = Wire::open(&broker).await;
    let health = wire.request("GET", "/healthz", &[]).await;
    assert_eq!(
        (health.status, health.header("content-type")),
        (200, Some("application/json"))
    );
    let health: serde_json::Value = serde_json::from_str(&health.body).expect("JSON");
    assert_eq!(health["status"], "ok");
    assert_eq!(health["connections"], 0);
    let page = wire.request("GET", "/", &[]).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let head = wire.request("HEAD", "/", &[]).await;
    assert_eq!(
        head.header("content-length"),
        Some(page.body.len().to_string().as_str())
    );
    let absent = wire.request("GET", "/absent", &[]).await;
    assert_eq!(absent.status, 404);
    assert!(absent.body.contains("/healthz"), "{}", absent.body);
    assert_eq!(
        wire.request("POST", "/healthz", &["Content-Length: 0"])
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn health_soon_counts_connections_and_sessions() {
    let broker = Broker::start();
    let _client = weir_tests::Client::v5(&broker, "counted").await;
    let deadline = Instant::now() + PATIENCE;
    let counts =
        |health: &serde_json::Value| (health["connections"].as_u64(), health["sessions"].as_u64());
    loop {
        let health = Wire::open(&broker)
            .await
            .request("GET", "/healthz", &[])
            .await;
        let health: serde_json::Value = serde_json::from_str(&health.body).expect("JSON");
        if counts(&health) == (Some(1), Some(1)) {
            return;
        }
        assert!(Instant::now() < deadline, "{health}");
        tokio::time::sleep(PATIENCE / 100).await;
    }
}

#[tokio::test]
async fn bytes_that_are_not_http_get_400_or_an_end_never_silence() {
    let broker = Broker::start();
    let mqtt_over_tcp = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00";
    for bytes in [
        &mqtt_over_tcp[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
    ] {
        let mut wire = Wire::open(&broker).await;
        wire.write(bytes).await;
        wire.ended().await;
    }
}

#[tokio::test]
async fn a_connection_may_upgrade_after_plain_requests() {
    let broker = Broker::start();
    let mut wire = Wire::open(&broker).await;
    assert_eq!(wire.request("GET", "/healthz", &[]).await.status, 200);
    assert_eq!(wire.upgrade("/mqtt", &[MQTT]).await.status, 101);
    wire.write(&weir_tests::wire::masked(
        0x82,
        b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x",
    ))
    .await;
    assert_eq!(wire.next_frame().await.payload, b"\x20\x02\x00\x00");
}
