//! Very many peers: connections that say nothing, CONNECTs without end, sessions that stay behind.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use weir_codec::{Packet, ReasonCode, Version};
use weir_tests::packets::{connect, disconnect, lasting};
use weir_tests::{Broker, Client, Code, Wire};

use crate::{Canary, MIB};

/// What a connection that says nothing may cost, whatever it has said before; sockets are the kernel's.
const SILENT_BYTES: usize = 16 << 10;

/// What the broker may need for anything else that grows meanwhile.
const SLACK_BYTES: usize = 8 * MIB;

const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00";

/// How many of the wanted connections the limit of open files leaves room for, here and in the broker.
fn within_the_limit_of_files(wanted: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("limits of a process");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let room = soft.unwrap_or(usize::MAX).saturating_sub(300);
    if room < wanted {
        println!("only {room} of {wanted} connections: the limit of open files is too low");
    }
    wanted.min(room)
}

/// A third each says nothing at all, nothing after the upgrade, nothing after CONNECT.
async fn silent_crowd(wanted: usize, handshake_seconds: u64) {
    let count = within_the_limit_of_files(wanted);
    let toml =
        format!("[timing]\nhandshake_seconds = {handshake_seconds}\nping_interval_seconds = 0");
    let broker = Arc::new(Broker::start_with(&toml));
    let canary = Canary::fly(&broker);
    let before = broker.resident_bytes();
    let (mut strangers, mut members) = (Vec::new(), Vec::new());
    for n in 0..count {
        match n % 3 {
            0 => strangers.push(Wire::open(&broker).await),
            1 => strangers.push(Wire::upgraded(&broker).await),
            _ => {
                let mut wire = Wire::upgraded(&broker).await;
                wire.binary(CONNECT).await;
                assert_eq!(wire.next_frame().await.payload[0], 0x20);
                members.push(wire);
            }
        }
    }
    let grown = broker.resident_bytes().saturating_sub(before);
    println!("{count} silent connections: {} bytes each", grown / count);
    assert!(grown < count * SILENT_BYTES + SLACK_BYTES, "{grown} bytes");
    for wire in &mut strangers {
        wire.ended().await;
    }
    for wire in &mut members {
        wire.binary(b"\xc0\x00").await;
        assert_eq!(wire.next_frame().await.payload, b"\xd0\x00");
    }
    canary.unharmed();
}

#[tokio::test]
async fn a_thousand_silent_connections_cost_little_and_hinder_nobody() {
    silent_crowd(1_000, 2).await;
}

#[tokio::test]
#[ignore = "needs 10,000 open files; `cargo xtask hostile` runs it"]
async fn ten_thousand_silent_connections_cost_little_and_hinder_nobody() {
    silent_crowd(10_000, 20).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_one_less_makes_room() {
    let broker = Arc::new(Broker::start_with("[limits]\nmax_connections = 10"));
    let canary = Canary::fly(&broker);
    let mut inside = Vec::new();
    for _ in 1..10 {
        inside.push(Wire::upgraded(&broker).await);
    }
    for _ in 0..100 {
        let mut one_more = Wire::open(&broker).await;
        let reply = one_more
            .upgrade("/mqtt", &["Sec-WebSocket-Protocol: mqtt"])
            .await;
        assert_eq!(reply.status, 503);
        assert!(!reply.body.is_empty() && reply.header("retry-after").is_some());
        one_more.ended().await;
    }
    drop(inside.pop());
    sleep(Duration::from_millis(100)).await;
    Wire::upgraded(&broker).await;
    canary.unharmed();
}

#[tokio::test]
async fn one_address_can_be_kept_from_taking_every_place() {
    let broker = Broker::start_with("[limits]\nmax_connections_per_address = 3");
    let mut inside = Vec::new();
    for _ in 0..3 {
        inside.push(Wire::upgraded(&broker).await);
    }
    let mut one_more = Wire::open(&broker).await;
    let reply = one_more
        .upgrade("/mqtt", &["Sec-WebSocket-Protocol: mqtt"])
        .await;
    assert_eq!(reply.status, 429, "{reply:?}");
    drop(inside.pop());
    sleep(Duration::from_millis(100)).await;
    Wire::upgraded(&broker).await;
}

/// Rounds of forty connections each.
const ROUNDS: usize = 30;

/// CONNECT after CONNECT: clients that come and go, that all want one client id, that are refused.
#[tokio::test]
async fn a_flood_of_connects_leaves_nothing_behind() {
    let broker = Arc::new(Broker::start());
    let canary = Canary::fly(&broker);
    let mut warm = 0;
    for round in 0..ROUNDS {
        for n in 0..20 {
            let id = if n % 2 == 0 { "the same" } else { "" };
            let mut client = Client::open(&broker, Version::V5).await;
            client
                .send(Packet::Connect(Box::new(connect(Version::V5, id))))
                .await;
            if n % 3 == 0 {
                client.recv().await;
            }
            client.vanish();
            let mut refused = Client::open(&broker, Version::V3_1_1).await;
            let invalid = weir_codec::Connect {
                clean_start: false,
                ..connect(Version::V3_1_1, "")
            };
            assert_eq!(
                refused.ask(invalid).await.reason,
                ReasonCode::ClientIdentifierNotValid
            );
        }
        if round == ROUNDS / 3 {
            warm = broker.resident_bytes();
        }
    }
    let grown = broker.resident_bytes().saturating_sub(warm);
    assert!(grown < SLACK_BYTES, "{grown} bytes stay behind");
    canary.unharmed();
}

#[tokio::test]
async fn sessions_that_stay_behind_are_bounded() {
    let toml = "shards = 1\n[limits]\nmax_connections = 20\nmax_sessions = 20";
    let broker = Arc::new(Broker::start_with(toml));
    let canary = Canary::fly(&broker);
    for n in 1..20 {
        let mut client = Client::connect(&broker, lasting(Version::V5, &format!("gone{n}"))).await;
        client.send(disconnect(ReasonCode::Success)).await;
        client.closed().await;
    }
    for version in Version::ALL {
        let (connack, close) = Client::refused(&broker, connect(version, "one more")).await;
        let expected = if version.is_v5() {
            ReasonCode::QuotaExceeded
        } else {
            ReasonCode::ServerUnavailable
        };
        assert_eq!(
            (connack.reason, close.code),
            (expected, Code(1008)),
            "{version}"
        );
    }
    // Whoever has a session may come back to it.
    let back = Client::connect(&broker, lasting(Version::V5, "gone1")).await;
    assert!(back.connack().session_present);
    canary.unharmed();
}
