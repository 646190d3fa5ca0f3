//! Peers that take nothing of what they are sent, or acknowledge nothing of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use weir_codec::{Connect, Packet, Property, Qos, ReasonCode, Version};
use weir_tests::packets::{ack, connect, properties, publish};
use weir_tests::wire::{masked, opcode};
use weir_tests::{Broker, Client, Code, Wire};

use crate::{Canary, MIB};

const BINARY: u8 = 0x80 | opcode::BINARY;

/// More than any buffer holds, the kernel's included.
const POUR_BYTES: usize = 32 * MIB;

/// What answers may take that nobody reads.
const ANSWERS_BYTES: usize = 8 * MIB;

/// The same of SUBACKs, which wait for the other shards before they count as something to send.
const HELD_ANSWERS_BYTES: usize = 8 * MIB;

const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00";

/// Ten readers that stop, one publisher that does not: 320 MiB that nobody takes.
#[tokio::test]
async fn clients_that_never_read_hold_no_more_than_their_queues() {
    let toml = "[limits]\nmax_packet_bytes = 65536\nqueue_bytes = 1048576\noutbox_bytes = 65536\n\
                [timing]\nclose_seconds = 60";
    let broker = Arc::new(Broker::start_with(toml));
    let canary = Canary::fly(&broker);
    let mut stuck = Vec::new();
    for n in 0..10 {
        let mut client = Client::v5(&broker, &format!("stuck{n}")).await;
        let qos = if n < 5 {
            Qos::AtMostOnce
        } else {
            Qos::AtLeastOnce
        };
        client.subscribe("flood", qos).await;
        stuck.push(client);
    }
    let mut publisher = Client::v5(&broker, "publisher").await;
    let before = broker.resident_bytes();
    let mut highest = 0;
    for n in 1..=2000 {
        let packet = publish("flood", vec![b'x'; 16 << 10], Qos::AtLeastOnce, n);
        publisher.publish_packet(packet).await;
        if n % 100 == 0 {
            highest = highest.max(broker.resident_bytes().saturating_sub(before));
        }
    }
    assert!(
        highest < 32 * MIB,
        "{highest} bytes for ten queues of a MiB"
    );
    // Whoever lost a message of QoS 1 is told so, and here given the time to come to it; QoS 0 is dropped without a word.
    for client in &mut stuck[5..] {
        let end = loop {
            match client.recv().await {
                Packet::Publish(_) => {}
                other => break other,
            }
        };
        let Packet::Disconnect(disconnect) = end else {
            panic!("expected DISCONNECT, got {end:?}")
        };
        assert_eq!(disconnect.reason, ReasonCode::QuotaExceeded);
        assert_eq!(client.closed().await.code, 1008);
    }
    canary.unharmed();
}

/// Sends the same for as long as the broker takes it; gives how much it took and by how much it grew.
async fn pour(broker: &Broker, flood: &[u8]) -> (usize, usize) {
    let mut wire = Wire::upgraded(broker).await;
    wire.binary(CONNECT).await;
    let before = broker.resident_bytes();
    let mut sent = 0;
    while sent < POUR_BYTES {
        let write = timeout(Duration::from_millis(150), wire.write_anyway(flood));
        if write.await.is_err() {
            break;
        }
        sent += flood.len();
    }
    (sent, broker.resident_bytes().saturating_sub(before))
}

/// What a client asks for has to be answered, but not before it takes the answers.
#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_not_read_from() {
    let broker = Arc::new(Broker::start_with("[limits]\noutbox_bytes = 65536"));
    let canary = Canary::fly(&broker);
    let pingreq = masked(BINARY, b"\xc0\x00").repeat(1000);
    let packed = masked(BINARY, &b"\xc0\x00".repeat(5000));
    let subscribe = b"\x82\x09\x00\x01\x00\x00\x03a/b\x00";
    let subscribes = masked(BINARY, &subscribe.repeat(1000));
    for (what, flood, ceiling) in [
        ("PINGREQ", pingreq, ANSWERS_BYTES),
        ("packed PINGREQ", packed, ANSWERS_BYTES),
        ("SUBSCRIBE", subscribes, HELD_ANSWERS_BYTES),
    ] {
        let (sent, grown) = pour(&broker, &flood).await;
        println!("{what}: {sent} bytes taken, {grown} bytes kept");
        assert!(sent < POUR_BYTES, "{what}: the broker goes on reading");
        assert!(grown < ceiling, "{what}: {grown} bytes");
    }
    canary.unharmed();
}

/// A WebSocket ping may be left out when a later one is answered (RFC 6455, 5.5.3): these may all be read.
#[tokio::test]
async fn pings_whose_pongs_nobody_reads_take_no_memory() {
    let broker = Arc::new(Broker::start());
    let canary = Canary::fly(&broker);
    let pings = masked(0x80 | opcode::PING, &[b'p'; 125]).repeat(100);
    let (sent, grown) = pour(&broker, &pings).await;
    assert!(grown < 4 * MIB, "{grown} bytes kept of {sent}");
    canary.unharmed();
}

/// A client that acknowledges nothing: every packet id is in flight once, and the next message waits for one.
#[tokio::test]
async fn packet_ids_run_out_and_none_is_used_twice() {
    let toml = "[limits]\nreceive_maximum = 65535\ninflight_maximum = 65535\nqueue_messages = 100000\n\
                max_subscriptions_per_session = 10";
    let broker = Arc::new(Broker::start_with(toml));
    let canary = Canary::fly(&broker);
    let mut silent = Client::v5(&broker, "silent").await;
    silent.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    for batch in 0..70 {
        let ids = batch * 900 + 1..=batch * 900 + 1000;
        let packets = (0..1000).map(|n| publish("t", "x", Qos::AtLeastOnce, *ids.start() + n));
        publisher.send_together(packets.map(Packet::Publish)).await;
        for _ in 0..1000 {
            assert!(matches!(publisher.recv().await, Packet::PubAck(_)));
        }
    }
    let mut ids = HashSet::new();
    for _ in 0..65_535 {
        let id = silent.publication().await.delivery.packet_id();
        assert!(ids.insert(id.expect("QoS 1")), "{id:?} is used twice");
    }
    silent.silent().await;
    // Ids go round in their order: the next to be used is the first that was.
    for id in [1, 2] {
        silent.send(Packet::PubAck(ack(id))).await;
        let next = silent.publication().await.delivery.packet_id();
        assert_eq!(next.expect("QoS 1").get(), id);
    }
    silent.send(Packet::PubAck(ack(4))).await;
    silent.silent().await;
    silent.send(Packet::PubAck(ack(3))).await;
    for id in [3, 4] {
        let next = silent.publication().await.delivery.packet_id();
        assert_eq!(next.expect("QoS 1").get(), id);
    }
    silent.silent().await;
    canary.unharmed();
}

/// With the limits as they are, a client that acknowledges nothing is given up long before that.
#[tokio::test]
async fn a_client_that_never_acknowledges_is_told_that_its_queue_is_full() {
    let broker = Arc::new(Broker::start_with(
        "[limits]\ninflight_maximum = 100\nqueue_messages = 500",
    ));
    let canary = Canary::fly(&broker);
    let request = Connect {
        properties: properties([Property::ReceiveMaximum(65_535)]),
        ..connect(Version::V5, "silent")
    };
    let mut silent = Client::connect(&broker, request).await;
    silent.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    for _ in 0..602 {
        publisher.publish("t", "x", Qos::AtLeastOnce).await;
    }
    for _ in 0..100 {
        silent.publication().await;
    }
    assert_eq!(
        silent.disconnected().await,
        (ReasonCode::QuotaExceeded, Code(1008))
    );
    canary.unharmed();
}
