//! Peers that take their time: at every stage there is a deadline, and dripping bytes does not move it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use weir_codec::{Connect, Packet, ReasonCode, Version};
use weir_tests::packets::connect;
use weir_tests::wire::{masked, opcode};
use weir_tests::{Broker, Client, Wire};

use crate::Canary;

const BINARY: u8 = 0x80 | opcode::BINARY;
const CONNECT_5: &[u8] = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00";
const HALF_A_REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: webso";

/// A deadline of one second and patience for a busy machine.
const DEADLINE: Duration = Duration::from_secs(5);

fn broker() -> Arc<Broker> {
    Arc::new(Broker::start_with(
        "[timing]\nhandshake_seconds = 1\nclose_seconds = 1\nping_interval_seconds = 1",
    ))
}

/// Checks that it takes a second or somewhat longer.
async fn at_the_deadline<T>(what: &str, future: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let result = timeout(DEADLINE, future).await;
    let Ok(result) = result else {
        panic!("{what}: still there after {DEADLINE:?}")
    };
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(800), "{what}: after {took:?}");
    result
}

#[tokio::test]
async fn every_stage_before_connect_ends_at_the_deadline() {
    let broker = broker();
    let canary = Canary::fly(&broker);
    let frame = masked(BINARY, CONNECT_5);
    let half_a_connect = masked(BINARY, &CONNECT_5[..9]);
    let empty_frames = masked(BINARY, b"").repeat(3);
    let fragment = masked(opcode::BINARY, b"\x10");
    let before_upgrade = async |what: &str, bytes: &[u8]| {
        let mut wire = Wire::open(&broker).await;
        wire.write(bytes).await;
        at_the_deadline(what, wire.ended()).await;
    };
    let after_upgrade = async |what: &str, bytes: &[u8]| {
        let mut wire = Wire::upgraded(&broker).await;
        wire.write(bytes).await;
        let (code, reason) = at_the_deadline(what, wire.closed()).await;
        assert_eq!(
            (code, reason.as_str()),
            (1008, "no CONNECT in time"),
            "{what}"
        );
    };
    tokio::join!(
        before_upgrade("TCP only", b""),
        before_upgrade("half a request", HALF_A_REQUEST),
        after_upgrade("upgraded, silent", b""),
        after_upgrade("half a frame's header", &frame[..1]),
        after_upgrade("half a frame", &frame[..12]),
        after_upgrade("half a CONNECT", &half_a_connect),
        after_upgrade("empty frames only", &empty_frames),
        after_upgrade("a fragment without an end", &fragment),
    );
    canary.unharmed();
}

/// Sends a byte every tenth of a second, as long as the peer takes them.
async fn drip(wire: &mut Wire, bytes: &[u8]) {
    for byte in bytes {
        wire.write_anyway(&[*byte]).await;
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn dripping_bytes_does_not_move_the_deadline() {
    let broker = broker();
    let canary = Canary::fly(&broker);
    let request = async {
        let mut wire = Wire::open(&broker).await;
        let slow = timeout(Duration::from_millis(1900), drip(&mut wire, HALF_A_REQUEST));
        assert!(slow.await.is_err());
        // It has ended long ago.
        timeout(Duration::from_secs(2), wire.ended())
            .await
            .expect("an end");
    };
    let packet = async {
        let mut wire = Wire::upgraded(&broker).await;
        let frames: Vec<u8> = CONNECT_5
            .iter()
            .flat_map(|byte| masked(BINARY, &[*byte]))
            .collect();
        let slow = timeout(Duration::from_millis(1900), drip(&mut wire, &frames));
        assert!(slow.await.is_err());
        let closed = timeout(Duration::from_secs(2), wire.closed()).await;
        assert_eq!(closed.expect("a close").0, 1008);
    };
    tokio::join!(request, packet);
    canary.unharmed();
}

#[tokio::test]
async fn dripping_bytes_of_a_packet_does_not_keep_a_client_alive() {
    let broker = Arc::new(Broker::start());
    let canary = Canary::fly(&broker);
    let request = Connect {
        keep_alive_seconds: 1,
        ..connect(Version::V5, "dripping")
    };
    let mut client = Client::connect(&broker, request).await;
    // A PUBLISH of some 10,000 bytes, of which a few arrive.
    client.send_bytes(&b"\x30\x90\x4e\x00\x01t\x00"[..]).await;
    let begin = Instant::now();
    let end = loop {
        if begin.elapsed() > DEADLINE {
            panic!("kept alive by drops");
        }
        match timeout(Duration::from_millis(100), client.recv()).await {
            Ok(packet) => break packet,
            Err(_) => client.send_bytes(&b"x"[..]).await,
        }
    };
    let Packet::Disconnect(disconnect) = end else {
        panic!("expected DISCONNECT, got {end:?}")
    };
    assert_eq!(disconnect.reason, ReasonCode::KeepAliveTimeout);
    assert!(begin.elapsed() > Duration::from_millis(1300));
    assert_eq!(client.closed().await.code, 1008);
    canary.unharmed();
}

/// A peer behind a dead network neither answers nor ends its connection: nor does this one.
#[tokio::test]
async fn a_half_open_socket_is_given_up_when_pings_stay_unanswered() {
    let broker = broker();
    let mut wire = Wire::upgraded(&broker).await;
    wire.binary(CONNECT_5).await;
    let begin = Instant::now();
    broker.logs("no answer to ping");
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(1500), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(wire.closed().await.0, 1008);
    wire.ended().await;
}

#[tokio::test]
async fn a_peer_that_ends_its_direction_is_not_waited_for() {
    // With a handshake deadline of ten seconds.
    let broker = Arc::new(Broker::start());
    let canary = Canary::fly(&broker);
    let upgrade =
        b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    let connected = [&upgrade[..], &masked(BINARY, CONNECT_5)].concat();
    for bytes in [&b""[..], HALF_A_REQUEST, upgrade, &connected] {
        let mut stream = TcpStream::connect(broker.address())
            .await
            .expect("a connection");
        stream.write_all(bytes).await.expect("an open connection");
        stream.shutdown().await.expect("an open connection");
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "not ended after {} bytes", bytes.len());
    }
    canary.unharmed();
}

/// What is sent after the close is thrown away, for a while.
#[tokio::test]
async fn a_peer_that_goes_on_sending_after_the_close_is_cut_off() {
    let broker = broker();
    let canary = Canary::fly(&broker);
    let mut wire = Wire::upgraded(&broker).await;
    wire.binary(b"\x00\x00").await;
    let noise = masked(BINARY, &[0; 1000]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1600) {
        wire.write_anyway(&noise).await;
        sleep(Duration::from_millis(5)).await;
    }
    let ended = timeout(Duration::from_secs(2), wire.ended()).await;
    assert!(ended.is_ok(), "still connected after {:?}", begin.elapsed());
    canary.unharmed();
}
