//! Limits of one address: how many connections, and how fast; and of the process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use weir_codec::{Packet, ReasonCode, Version};
use weir_tests::packets::connect;
use weir_tests::{Broker, Client, Wire, folder, weir};

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

/// Standard error of a broker that may open so many files, and its limits, once it listens.
fn with_files(limit: &str) -> (String, String) {
    let config = folder().join("broker.toml");
    fs::write(&config, "[[listener]]\nbind = \"127.0.0.1:0\"").expect("a file");
    let mut broker = Command::new("sh")
        .args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"])
        .arg(weir())
        .args(["run", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut line = String::new();
    let stdout = broker.stdout.as_mut().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert!(line.contains("listening"), "{line}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", broker.id())).expect("limits");
    broker.kill().expect("a child");
    let said = broker.wait_with_output().expect("an end").stderr;
    (String::from_utf8_lossy(&said).into_owned(), limits)
}

#[test]
fn open_files_are_as_many_as_may_be_and_too_few_are_told() {
    let words = "the process may open 300 files, so of limits.max_connections = 100000 it can have about 44";
    let (said, _) = with_files("-n 300");
    assert!(said.contains(words), "{said}");
    let (said, limits) = with_files("-Sn 300");
    assert!(!said.contains(words), "{said}");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut limits = files.expect("a limit").split_whitespace().skip(3);
    assert_eq!(limits.next(), limits.next(), "{files:?}");
}
