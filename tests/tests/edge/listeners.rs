//! Listeners that are not WebSocket on TCP, and clients that come to the wrong one.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_codec::{Qos, Version};
use weir_tests::folder;
use weir_tests::packets::connect;
use weir_tests::transport::clear;
use weir_tests::{Broker, Client, Endpoint, PATIENCE};

use super::{certificate, listener};

#[tokio::test]
async fn clients_of_every_transport_meet_on_every_shard() {
    let socket = folder().join("weir.sock");
    let config = [
        "shards = 4\n".to_owned(),
        listener("ws", ""),
        listener("wss", &certificate()),
        listener("mqtt", ""),
        listener("mqtts", &certificate()),
        format!(
            "[[listener]]\nbind = \"unix:{}\"\nprotocol = \"mqtt\"\n",
            socket.display()
        ),
    ];
    let broker = Broker::start_with(&config.concat());
    let mut clients = Vec::new();
    for (transport, endpoint) in broker.listeners() {
        // Enough of them that some have to move to their home shard.
        for number in 0..4 {
            let mut client = Client::open_at(*transport, endpoint, Version::V5).await;
            let id = format!("{transport:?}{number}{}", clients.len());
            client.ask(connect(Version::V5, &id)).await;
            client.subscribe("all", Qos::AtLeastOnce).await;
            clients.push(client);
        }
    }
    for sender in 0..clients.len() {
        let text = format!("from {sender}");
        clients[sender]
            .publish("all", &text, Qos::ExactlyOnce)
            .await;
        for client in &mut clients {
            assert_eq!(client.payload().await, text);
        }
    }
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_with_the_broker() {
    let path = folder().join("weir.sock");
    let config = format!(
        "[[listener]]\nbind = \"unix:{}\"\nsocket_mode = \"0600\"\n",
        path.display()
    );
    let mut broker = Broker::start_with(&config);
    let mode = std::fs::metadata(&path)
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    Client::v5(&broker, "local").await.leave().await;
    broker.logs("peer=unix");
    broker.terminate();
    assert!(broker.exit().success());
    assert!(!path.exists(), "the socket is left behind");

    // One that nobody listens on any more is taken over.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let broker = Broker::start_with(&config);
    Client::v5(&broker, "again").await.leave().await;
}

/// What is answered to these bytes, until the end.
async fn answer(endpoint: &Endpoint, bytes: &[u8]) -> Vec<u8> {
    let mut stream = clear(endpoint).await;
    stream.write_all(bytes).await.expect("an open connection");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "no end");
    answer
}

#[tokio::test]
async fn who_comes_to_the_wrong_port_is_told_which_it_is() {
    let config = listener("wss", &certificate()) + &listener("mqtt", "") + &listener("ws", "");
    let broker = Broker::start_with(&config);
    let [(_, wss), (_, mqtt), (_, ws)] = broker.listeners() else {
        panic!("three listeners")
    };
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let text = |answer: Vec<u8>| String::from_utf8_lossy(&answer).into_owned();
    let said = text(answer(wss, request).await);
    assert!(
        said.starts_with("HTTP/1.1 400") && said.contains("this port speaks TLS"),
        "{said}"
    );
    broker.logs("refused: this port speaks TLS");
    let said = text(answer(mqtt, request).await);
    assert!(
        said.starts_with("HTTP/1.1 400") && said.contains("without WebSocket"),
        "{said}"
    );
    answer(ws, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    broker.logs("TLS was begun");
    answer(ws, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x").await;
    broker.logs("MQTT was begun without a WebSocket");
}

#[tokio::test]
async fn a_silent_tcp_client_without_keep_alive_stays() {
    let config =
        listener("mqtt", "") + "[timing]\nping_interval_seconds = 1\nhandshake_seconds = 1\n";
    let broker = Broker::start_with(&config);
    let since = Instant::now();
    let mut client = Client::v5(&broker, "quiet").await;
    let (_, endpoint) = broker.listener();
    assert!(answer(endpoint, b"").await.is_empty(), "no CONNECT in time");
    assert!(since.elapsed() >= Duration::from_millis(900));
    // Four intervals of silence end a WebSocket that answers no pings.
    client.silent_for(Duration::from_millis(4_500)).await;
    client.publish("t", "still there", Qos::AtLeastOnce).await;
}
