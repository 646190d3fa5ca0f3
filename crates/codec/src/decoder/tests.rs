//! The decoder's own business: limits, gathering, and that nothing is copied that need not be.

use super::*;
use crate::{Delivery, Publish};
use std::{vec, vec::Vec};

const MAX: u32 = 1 << 20;

fn client(bytes: &'static [u8]) -> Decoder {
    let mut decoder = Decoder::client(Version::V3_1_1, MAX);
    decoder.push(Bytes::from_static(bytes));
    decoder
}

fn publish(decoder: &mut Decoder) -> Publish {
    match decoder.next_packet() {
        Ok(Some(Packet::Publish(publish))) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_packet_is_a_slice_of_what_was_pushed() {
    let bytes = Bytes::from(b"\x30\x06\x00\x03a/bp\x30\x04\x00\x01aq".to_vec());
    let mut decoder = Decoder::client(Version::V3_1_1, MAX);
    decoder.push(bytes.clone());
    let first = publish(&mut decoder);
    assert_eq!(
        first.topic.unwrap().as_utf8().as_bytes().as_ptr(),
        bytes[4..].as_ptr()
    );
    assert_eq!(first.payload.as_ptr(), bytes[7..].as_ptr());
    assert_eq!(publish(&mut decoder).payload.as_ptr(), bytes[13..].as_ptr());
}

#[test]
fn only_the_straddling_packet_is_gathered() {
    let mut decoder = client(b"\x30\x04\x00\x01ap\x30\x04\x00");
    let rest = Bytes::from(b"\x01aq\x30\x04\x00\x01ar".to_vec());
    assert_eq!(publish(&mut decoder).payload, "p");
    assert_eq!(decoder.next_packet(), Ok(None));
    assert_eq!(decoder.buffered_bytes(), 3);
    decoder.push(rest.clone());
    assert_eq!(publish(&mut decoder).payload, "q");
    assert_eq!(publish(&mut decoder).payload.as_ptr(), rest[8..].as_ptr());
    assert_eq!(
        (decoder.gathered.capacity(), decoder.buffered_bytes()),
        (0, 0)
    );
}

#[test]
fn an_incomplete_packet_does_not_pin_the_buffer_it_was_read_into() {
    let large = Bytes::from(vec![0x30; 1]);
    let mut decoder = Decoder::client(Version::V3_1_1, MAX);
    decoder.push(large.clone());
    assert_eq!(decoder.next_packet(), Ok(None));
    assert!(large.is_unique());
}

/// [MQTT-3.2.2-15]
#[test]
fn the_limit_counts_the_whole_packet_and_is_checked_before_the_body() {
    let mut decoder = Decoder::client(Version::V3_1_1, 6);
    decoder.push(Bytes::from_static(b"\x30\x04\x00\x01ap\x30\x05"));
    assert_eq!(publish(&mut decoder).payload, "p");
    assert_eq!(decoder.next_packet(), Err(DecodeError::PacketTooLarge));
    assert_eq!(DecodeError::PacketTooLarge.reason_code() as u8, 0x95);
}

#[test]
fn the_limit_can_be_raised_after_connect() {
    let mut decoder = Decoder::client(Version::V3_1_1, 2);
    decoder.push(Bytes::from_static(b"\xd0\x00"));
    assert_eq!(decoder.next_packet(), Ok(Some(Packet::PingResp)));
    decoder.set_max_packet_bytes(6);
    decoder.push(Bytes::from_static(b"\x30\x04\x00\x01ap"));
    assert_eq!(publish(&mut decoder).delivery, Delivery::AtMostOnce);
}

#[test]
fn a_bad_first_byte_is_refused_alone() {
    assert_eq!(client(b"\x36").next_packet(), Err(DecodeError::PublishQos));
    assert_eq!(
        client(b"\x00").next_packet(),
        Err(DecodeError::ReservedPacketType(0))
    );
}

#[test]
fn after_a_fault_nothing_is_kept() {
    let mut decoder = client(b"\x00\x00\x00\x00");
    assert!(decoder.next_packet().is_err());
    decoder.push(Bytes::from_static(b"\xd0\x00"));
    assert_eq!(decoder.buffered_bytes(), 0);
    assert!(decoder.next_packet().is_err());
}

#[test]
fn pushes_wait_in_order() {
    let mut decoder = client(b"\xd0");
    for piece in [&b""[..], b"\x00\xd0", b"\x00", b"\x30\x04\x00\x01ap"] {
        decoder.push(Bytes::from_static(piece));
    }
    let mut names = Vec::new();
    while let Ok(Some(packet)) = decoder.next_packet() {
        names.push(packet.name());
    }
    assert_eq!(names, ["PINGRESP", "PINGRESP", "PUBLISH"]);
}

#[test]
fn what_is_not_taken_of_a_run_still_comes_next() {
    let topic = TopicName::try_from("a").unwrap();
    let mut decoder = Decoder::client(Version::V5, MAX);
    let bytes = b"\x30\x05\x00\x01a\x00p\x30\x05\x00\x01a\x00q\x30\x05\x00\x01a\x00r\x30\x08\x00\x01a\x03\x23\x00\x01s\x30";
    decoder.push(Bytes::from_static(bytes));
    for taken in [0, 2] {
        let run = decoder.run(&topic, MAX as usize).unwrap();
        assert_eq!(run.len(), 3);
        let run_bytes = run.first(taken).bytes().len();
        decoder.skip(run_bytes);
    }
    assert_eq!(publish(&mut decoder).payload, "r");
    // It has properties.
    assert!(decoder.run(&topic, MAX as usize).is_none() && decoder.has_unread());
    assert_eq!(publish(&mut decoder).payload, "s");
    assert_eq!(decoder.next_packet(), Ok(None));
    // The first byte of the next one is kept elsewhere.
    assert!(decoder.run(&topic, MAX as usize).is_none() && !decoder.has_unread());
    decoder.set_max_packet_bytes(6);
    decoder.push(Bytes::from_static(
        b"\x04\x00\x01a\x00\x30\x05\x00\x01a\x00p",
    ));
    assert_eq!(publish(&mut decoder).payload, "");
    assert!(decoder.run(&topic, MAX as usize).is_none());
    assert_eq!(decoder.next_packet(), Err(DecodeError::PacketTooLarge));
}

#[test]
fn pubacks_that_say_nothing_else_are_shown_together() {
    let mut decoder = Decoder::server(MAX);
    let connect = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00";
    decoder.push(Bytes::from_static(connect));
    assert_eq!(decoder.next_pubacks(|acks| acks.count()), 0);
    assert!(decoder.next_packet().unwrap().is_some());
    decoder.push(Bytes::from_static(
        b"\x40\x02\x00\x01\x40\x02\x12\x34\x40\x02\x00\x03\x40\x03\x00\x04\x10\x40\x02\x00\x05\x40\x02\x00\x00",
    ));
    let take = |decoder: &mut Decoder, most: usize| {
        let mut shown = Vec::new();
        decoder.next_pubacks(|acks| {
            shown.extend(acks.map(PacketId::get));
            shown.len().min(most)
        });
        shown
    };
    assert_eq!(take(&mut decoder, 2), [1, 0x1234, 3]);
    assert_eq!(take(&mut decoder, 1), [3]);
    assert_eq!(take(&mut decoder, 1), []);
    let Ok(Some(Packet::PubAck(ack))) = decoder.next_packet() else {
        panic!("a PUBACK with a reason");
    };
    assert_eq!(ack.reason, crate::ReasonCode::NoMatchingSubscribers);
    assert_eq!(take(&mut decoder, 1), [5]);
    // No packet has the id 0.
    assert_eq!(take(&mut decoder, 1), []);
    assert!(decoder.next_packet().is_err());
}
