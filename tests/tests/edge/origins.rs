//! Pages: which may connect, and what those that may not can read of it.

use weir_tests::{Broker, Script, Wire};

use super::listener;

const MQTT: &str = "Sec-WebSocket-Protocol: mqtt";

async fn status(broker: &Broker, headers: &[&str]) -> (u16, String) {
    let reply = Wire::open(broker)
        .await
        .upgrade("/mqtt", &[&[MQTT], headers].concat())
        .await;
    (reply.status, reply.body)
}

#[tokio::test]
async fn a_page_of_the_same_host_may_connect_and_others_may_not() {
    let broker = Broker::start_with(&listener("ws", "refuse_after_upgrade = \"never\""));
    assert_eq!(status(&broker, &[]).await.0, 101);
    assert_eq!(status(&broker, &["Origin: http://localhost"]).await.0, 101);
    for origin in ["https://evil.example", "http://localhost:1", "null", ""] {
        let (status, body) = status(&broker, &[&format!("Origin: {origin}")]).await;
        assert_eq!(status, 403, "{origin}");
        assert!(
            body.contains(origin) && body.contains("`allowed_origins`"),
            "{body}"
        );
    }
    let twice = ["Origin: http://localhost", "Origin: http://localhost"];
    assert_eq!(status(&broker, &twice).await.0, 403);
    broker.logs("origin https://evil.example may not connect");
}

#[tokio::test]
async fn a_listed_page_may_connect_and_no_other() {
    let keys = "allowed_origins = [\"https://app.example\"]\nrefuse_after_upgrade = \"never\"";
    let broker = Broker::start_with(&listener("ws", keys));
    assert_eq!(
        status(&broker, &["Origin: https://app.example"]).await.0,
        101
    );
    for origin in [
        "https://app.example.evil.example",
        "http://app.example",
        "http://localhost",
    ] {
        assert_eq!(
            status(&broker, &[&format!("Origin: {origin}")]).await.0,
            403,
            "{origin}"
        );
    }
}

#[tokio::test]
async fn a_page_is_told_in_mqtt_and_by_the_close() {
    let broker = Broker::start();
    let mut wire = Wire::open(&broker).await;
    let page = [
        "Sec-WebSocket-Protocol: mqtt",
        "Origin: https://evil.example",
    ];
    assert_eq!(wire.upgrade("/mqtt", &page).await.status, 101);
    wire.binary(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x")
        .await;
    assert_eq!(wire.next_frame().await.payload, b"\x20\x02\x00\x05");
    let (code, reason) = wire.closed().await;
    assert_eq!(code, 1008);
    assert!(
        reason.starts_with("origin https://evil.example may not connect"),
        "{reason}"
    );
    wire.ended().await;

    // Who says nothing is told as well.
    let mut silent = Wire::open(&broker).await;
    assert_eq!(silent.upgrade("/mqtt", &page).await.status, 101);
    assert_eq!(silent.closed().await.0, 1008);
}

#[test]
fn a_page_reads_in_chromium_why_it_is_refused() {
    let config = [
        listener("ws", ""),
        listener("ws", "allowed_origins = [\"*\"]"),
        "[limits]\nmax_connections_per_address = 3\n".to_owned(),
    ];
    let broker = Broker::start_with(&config.concat());
    let [closed, open] = broker.addresses()[..] else {
        panic!("two listeners")
    };
    let [closed, open] = [closed, open].map(|address| format!("ws://{address}"));
    let checks = Script::node("refusals.mjs", &[&closed, &open]).succeed();
    assert_eq!(checks, 6);
}
