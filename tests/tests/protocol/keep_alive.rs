//! Silence: keep alive, the server's own ping, and the deadline of a connection that is not one yet.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use weir_codec::{Connect, Packet, ReasonCode, Version};
use weir_tests::packets::connect;
use weir_tests::wire::{masked, opcode};
use weir_tests::{Broker, Client, Code, Wire};

const EAGER: &str = "[timing]\nhandshake_seconds = 1";

fn keeping(version: Version, seconds: u16) -> Connect {
    Connect {
        keep_alive_seconds: seconds,
        ..connect(version, "keeping")
    }
}

fn in_time(since: Instant, least: f32, most: f32) {
    let elapsed = since.elapsed().as_secs_f32();
    assert!((least..most).contains(&elapsed), "after {elapsed} s");
}

#[tokio::test]
async fn a_silent_client_is_disconnected_after_one_and_a_half_keep_alives() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut client = Client::connect(&broker, keeping(version, 1)).await;
        let since = Instant::now();
        if version.is_v5() {
            assert_eq!(
                client.disconnected().await,
                (ReasonCode::KeepAliveTimeout, Code(1008))
            );
        } else {
            assert_eq!(client.closed().await.code, 1008);
        }
        in_time(since, 1.4, 3.5);
    }
    broker.logs("keep alive");
}

#[tokio::test]
async fn pingreq_keeps_a_client_connected() {
    let broker = Broker::start();
    let mut client = Client::connect(&broker, keeping(Version::V5, 1)).await;
    for _ in 0..4 {
        sleep(Duration::from_millis(800)).await;
        client.send(Packet::PingReq).await;
        assert_eq!(client.recv().await, Packet::PingResp);
    }
}

#[tokio::test]
async fn no_keep_alive_means_no_limit() {
    let broker = Broker::start();
    let mut client = Client::connect(&broker, keeping(Version::V3_1_1, 0)).await;
    client.silent_for(Duration::from_secs(2)).await;
    client.send(Packet::PingReq).await;
    assert_eq!(client.recv().await, Packet::PingResp);
}

#[tokio::test]
async fn a_server_keep_alive_goes_before_the_clients() {
    let broker = Broker::start_with("[timing]\nserver_keep_alive_seconds = 1");
    let mut client = Client::connect(&broker, keeping(Version::V5, 600)).await;
    assert_eq!(client.connack().properties.server_keep_alive(), Some(1));
    let since = Instant::now();
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::KeepAliveTimeout, Code(1008))
    );
    in_time(since, 1.4, 3.5);
}

#[tokio::test]
async fn an_idle_client_is_pinged_on_the_websocket() {
    let broker = Broker::start_with("[timing]\nping_interval_seconds = 1");
    let mut wire = Wire::upgraded(&broker).await;
    wire.binary(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x")
        .await;
    wire.next_frame().await;
    for _ in 0..2 {
        let ping = wire.next_frame().await;
        assert_eq!(ping.first, 0x80 | opcode::PING);
        wire.frame(0x80 | opcode::PONG, &ping.payload).await;
    }
}

#[tokio::test]
async fn pongs_count_for_the_keep_alive_where_that_is_tolerated() {
    for tolerated in [true, false] {
        let broker = Broker::start_with(&format!(
            "[timing]\nping_interval_seconds = 1\n[tolerate]\npong_as_keep_alive = {tolerated}"
        ));
        let mut wire = Wire::upgraded(&broker).await;
        wire.binary(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x01\x00\x01x")
            .await;
        wire.next_frame().await;
        let since = Instant::now();
        let mut is_open = true;
        while is_open && since.elapsed() < Duration::from_millis(3500) {
            let frame = wire.next_frame().await;
            is_open = frame.first == 0x80 | opcode::PING;
            wire.frame(0x80 | opcode::PONG, &frame.payload).await;
        }
        assert_eq!(is_open, tolerated);
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_ends_at_the_deadline() {
    let broker = Broker::start_with(EAGER);
    let mut silent = Wire::open(&broker).await;
    let since = Instant::now();
    silent.ended().await;
    in_time(since, 0.9, 4.0);
}

#[tokio::test]
async fn a_request_that_never_ends_ends_at_the_deadline() {
    let broker = Broker::start_with(EAGER);
    let mut slow = Wire::open(&broker).await;
    slow.write(b"GET /mqtt HTTP/1.1\r\nHost: x\r\n").await;
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        slow.write_anyway(b"X: y\r\n").await;
        sleep(Duration::from_millis(100)).await;
    }
    slow.ended().await;
}

#[tokio::test]
async fn an_upgrade_without_connect_is_closed_at_the_deadline() {
    let broker = Broker::start_with(EAGER);
    let mut silent = Wire::upgraded(&broker).await;
    let mut partial = Wire::upgraded(&broker).await;
    partial.binary(b"\x10\x0d\x00\x04MQ").await;
    let mut pinging = Wire::upgraded(&broker).await;
    pinging
        .write(&masked(0x80 | opcode::PING, b"still here"))
        .await;
    let since = Instant::now();
    for wire in [&mut silent, &mut partial, &mut pinging] {
        let (code, reason) = wire.closed().await;
        assert_eq!(code, 1008, "{reason}");
        assert!(reason.contains("CONNECT"), "{reason}");
    }
    in_time(since, 0.8, 4.0);
}

#[tokio::test]
async fn a_peer_that_does_not_answer_the_close_is_cut_off() {
    let broker = Broker::start_with("[timing]\nhandshake_seconds = 1\nclose_seconds = 1");
    let mut stubborn = Wire::upgraded(&broker).await;
    stubborn.closed().await;
    let since = Instant::now();
    stubborn.ended().await;
    in_time(since, 0.0, 4.0);
}
