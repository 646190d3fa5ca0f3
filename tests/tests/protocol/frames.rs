//! WebSocket frames: their borders mean nothing, and broken ones are told what was wrong.

use weir_codec::Qos;
use weir_tests::wire::{Frame, masked, opcode};
use weir_tests::{Broker, Client, SILENCE, Wire};

const FIN: u8 = 0x80;
const CONNECT: &[u8] = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02fr";
const OTHER_CONNECT: &[u8] = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02pu";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";
const PINGREQ: &[u8] = b"\xc0\x00";
const PINGRESP: &[u8] = b"\xd0\x00";

async fn connected(broker: &Broker) -> Wire {
    let mut wire = Wire::upgraded(broker).await;
    wire.binary(CONNECT).await;
    assert_eq!(wire.next_frame().await, Frame::binary(CONNACK));
    wire
}

async fn pings(wire: &mut Wire) {
    wire.binary(PINGREQ).await;
    assert_eq!(wire.next_frame().await, Frame::binary(PINGRESP));
}

#[tokio::test]
async fn a_packet_may_come_in_many_messages() {
    let broker = Broker::start();
    let mut wire = Wire::upgraded(&broker).await;
    for byte in CONNECT {
        wire.binary(&[*byte]).await;
        wire.binary(&[]).await;
    }
    assert_eq!(wire.next_frame().await, Frame::binary(CONNACK));
    pings(&mut wire).await;
}

#[tokio::test]
async fn a_packet_may_come_in_many_fragments_with_pings_between() {
    let broker = Broker::start();
    let mut wire = Wire::upgraded(&broker).await;
    wire.frame(opcode::BINARY, &CONNECT[..1]).await;
    let (last, middle) = CONNECT[1..].split_last().expect("many bytes");
    for byte in middle {
        wire.frame(opcode::CONTINUATION, &[*byte]).await;
        wire.frame(opcode::CONTINUATION, &[]).await;
        wire.frame(FIN | opcode::PING, &[*byte]).await;
        let pong = Frame {
            first: FIN | opcode::PONG,
            payload: vec![*byte],
        };
        assert_eq!(wire.next_frame().await, pong);
    }
    wire.frame(FIN | opcode::PONG, b"unasked").await;
    wire.frame(FIN | opcode::CONTINUATION, &[*last]).await;
    assert_eq!(wire.next_frame().await, Frame::binary(CONNACK));
    pings(&mut wire).await;
}

#[tokio::test]
async fn many_packets_may_come_in_one_message() {
    let broker = Broker::start();
    let mut wire = Wire::upgraded(&broker).await;
    wire.binary(&[CONNECT, PINGREQ, PINGREQ].concat()).await;
    let mut received = Vec::new();
    while received.len() < 8 {
        received.extend(wire.next_frame().await.payload);
    }
    assert_eq!(received, [CONNACK, PINGRESP, PINGRESP].concat());
}

#[tokio::test]
async fn a_message_may_end_inside_a_packet() {
    let broker = Broker::start();
    let mut wire = Wire::upgraded(&broker).await;
    wire.binary(&[CONNECT, &PINGREQ[..1]].concat()).await;
    assert_eq!(wire.next_frame().await, Frame::binary(CONNACK));
    wire.binary(&[&PINGREQ[1..], PINGREQ].concat()).await;
    let mut received = Vec::new();
    while received.len() < 4 {
        received.extend(wire.next_frame().await.payload);
    }
    assert_eq!(received, [PINGRESP, PINGRESP].concat());
}

#[tokio::test]
async fn tcp_may_deliver_byte_by_byte() {
    let broker = Broker::start();
    let mut wire = Wire::upgraded(&broker).await;
    for byte in masked(FIN | opcode::BINARY, CONNECT) {
        wire.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.next_frame().await, Frame::binary(CONNACK));
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_payload() {
    let broker = Broker::start();
    let mut wire = connected(&broker).await;
    for payload in [&b""[..], b"payload", &[7; 125]] {
        wire.frame(FIN | opcode::PING, payload).await;
        let pong = Frame {
            first: FIN | opcode::PONG,
            payload: payload.to_vec(),
        };
        assert_eq!(wire.next_frame().await, pong);
    }
}

#[tokio::test]
async fn a_clients_close_is_echoed() {
    let broker = Broker::start();
    for code in [1000_u16, 1001, 4321] {
        let mut wire = connected(&broker).await;
        wire.frame(FIN | opcode::CLOSE, &code.to_be_bytes()).await;
        assert_eq!(wire.closed().await.0, code);
        wire.ended().await;
    }
    let mut wire = connected(&broker).await;
    wire.frame(FIN | opcode::CLOSE, &[]).await;
    assert_eq!(
        wire.next_frame().await,
        Frame {
            first: FIN | opcode::CLOSE,
            payload: vec![]
        }
    );
    wire.ended().await;
}

#[tokio::test]
async fn text_is_refused_with_1003() {
    let broker = Broker::start();
    let mut wire = connected(&broker).await;
    wire.frame(FIN | opcode::TEXT, b"hello").await;
    let (code, reason) = wire.closed().await;
    assert_eq!(code, 1003, "{reason}");
    assert!(!reason.is_empty());
    wire.ended().await;
}

#[tokio::test]
async fn broken_frames_are_refused_with_1002() {
    let broker = Broker::start();
    let long_ping = masked(FIN | opcode::PING, &[0; 126]);
    let broken: [(&str, &[u8]); 9] = [
        ("an unmasked frame", b"\x82\x02\xc0\x00"),
        (
            "a reserved bit",
            &masked(FIN | 0x40 | opcode::BINARY, PINGREQ),
        ),
        (
            "another reserved bit",
            &masked(FIN | 0x10 | opcode::BINARY, PINGREQ),
        ),
        (
            "a continuation of nothing",
            &masked(FIN | opcode::CONTINUATION, PINGREQ),
        ),
        ("a reserved opcode", &masked(FIN | 0x3, PINGREQ)),
        ("a reserved control opcode", &masked(FIN | 0xb, b"")),
        ("a fragmented ping", &masked(opcode::PING, b"")),
        ("a ping above 125 bytes", &long_ping),
        (
            "a close code that is never sent",
            &masked(FIN | opcode::CLOSE, &1005_u16.to_be_bytes()),
        ),
    ];
    for (what, bytes) in broken {
        let mut wire = connected(&broker).await;
        wire.write(bytes).await;
        let (code, reason) = wire.closed().await;
        assert_eq!(code, 1002, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
        wire.ended().await;
    }
}

#[tokio::test]
async fn a_new_message_inside_a_fragmented_one_is_refused_with_1002() {
    let broker = Broker::start();
    let mut wire = connected(&broker).await;
    wire.frame(opcode::BINARY, &PINGREQ[..1]).await;
    wire.frame(FIN | opcode::BINARY, &PINGREQ[1..]).await;
    assert_eq!(wire.closed().await.0, 1002);
}

#[tokio::test]
async fn broken_peers_cost_others_nothing() {
    let broker = Broker::start();
    let mut healthy = Client::v5(&broker, "healthy").await;
    healthy.subscribe("t", Qos::AtLeastOnce).await;
    for bytes in [
        &b"\x82\x02\xc0\x00"[..],
        &masked(FIN | opcode::TEXT, b"x"),
        &masked(FIN | opcode::BINARY, b"\xff"),
    ] {
        let mut wire = connected(&broker).await;
        wire.write(bytes).await;
        wire.ended().await;
    }
    let mut half = Wire::upgraded(&broker).await;
    half.write(&masked(FIN | opcode::BINARY, CONNECT)[..5])
        .await;
    drop(half);
    healthy.publish("t", "still here", Qos::AtLeastOnce).await;
    assert_eq!(healthy.payload().await, "still here");
}

#[tokio::test]
async fn deliveries_that_are_ready_together_share_a_message() {
    let broker = Broker::start();
    let mut subscriber = connected(&broker).await;
    subscriber.binary(b"\x82\x06\x00\x01\x00\x01t\x00").await;
    assert_eq!(
        subscriber.next_frame().await,
        Frame::binary(b"\x90\x03\x00\x01\x00")
    );
    let mut publisher = Wire::upgraded(&broker).await;
    let publish = b"\x30\x07\x00\x01t1234";
    publisher
        .binary(&[OTHER_CONNECT, &publish.repeat(50)].concat())
        .await;
    let mut frames = Vec::new();
    while frames.iter().map(Vec::len).sum::<usize>() < 50 * publish.len() {
        frames.push(subscriber.next_frame().await.payload);
    }
    assert_eq!(frames.concat(), publish.repeat(50));
    assert!(
        frames.len() < 10,
        "50 deliveries came as {} messages",
        frames.len()
    );
    assert!(subscriber.silent(SILENCE).await);
}

#[tokio::test]
async fn frames_sent_before_the_answer_to_the_upgrade_are_not_lost() {
    let broker = Broker::start();
    let mut wire = Wire::open(&broker).await;
    let request = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    wire.write(&[&request[..], &masked(FIN | opcode::BINARY, CONNECT)].concat())
        .await;
    assert_eq!(wire.reply(false).await.status, 101);
    assert_eq!(wire.next_frame().await, Frame::binary(CONNACK));
    pings(&mut wire).await;
}

#[tokio::test]
async fn a_close_without_disconnect_publishes_the_will() {
    let broker = Broker::start();
    let mut watcher = Client::v5(&broker, "watcher").await;
    watcher.subscribe("w", Qos::AtMostOnce).await;
    let mut wire = Wire::upgraded(&broker).await;
    wire.binary(b"\x10\x15\x00\x04MQTT\x04\x06\x00\x00\x00\x01x\x00\x01w\x00\x03bye")
        .await;
    assert_eq!(wire.next_frame().await, Frame::binary(CONNACK));
    wire.frame(FIN | opcode::CLOSE, &1000_u16.to_be_bytes())
        .await;
    assert_eq!(watcher.payload().await, "bye");
    assert_eq!(wire.closed().await.0, 1000);
}
