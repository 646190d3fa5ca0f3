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
fn only_a_plain_publish_to_the_topic_is_shown_as_its_payload() {
    let topic = TopicName::try_from("a").unwrap();
    let shown = |bytes: &'static [u8]| {
        let mut shown = None;
        client(bytes).next_payload_if(&topic, |payload| {
            shown = Some(payload.to_vec());
            true
        });
        shown
    };
    assert_eq!(shown(b"\x30\x04\x00\x01ap"), Some(b"p".to_vec()));
    assert_eq!(shown(b"\x30\x03\x00\x01a"), Some(vec![]));
    for other in [
        &b"\x31\x04\x00\x01ap"[..],
        b"\x32\x06\x00\x01a\x00\x01p",
        b"\x30\x04\x00\x01bp",
        b"\x30\x05\x00\x02aap",
        b"\x30\x84\x00\x00\x01ap",
        b"\x30\x04\x00\x01a",
        b"\x30\x02\x00\x02",
        b"\xd0\x00",
    ] {
        assert_eq!(shown(other), None, "{other:?}");
    }
}

#[test]
fn a_payload_that_is_not_taken_still_comes_next() {
    let topic = TopicName::try_from("a").unwrap();
    let mut decoder = Decoder::client(Version::V5, MAX);
    let bytes =
        b"\x30\x05\x00\x01a\x00p\x30\x05\x00\x01a\x00q\x30\x08\x00\x01a\x03\x23\x00\x01r\x30";
    decoder.push(Bytes::from_static(bytes));
    assert!(!decoder.next_payload_if(&topic, |_| false));
    assert_eq!(publish(&mut decoder).payload, "p");
    assert!(decoder.next_payload_if(&topic, |payload| payload == b"q"));
    // It has properties.
    assert!(!decoder.next_payload_if(&topic, |_| true));
    assert_eq!(publish(&mut decoder).payload, "r");
    assert_eq!(decoder.next_packet(), Ok(None));
    assert!(!decoder.next_payload_if(&topic, |_| true));
    decoder.set_max_packet_bytes(6);
    decoder.push(Bytes::from_static(
        b"\x04\x00\x01a\x00\x30\x05\x00\x01a\x00p",
    ));
    assert_eq!(publish(&mut decoder).payload, "");
    assert!(!decoder.next_payload_if(&topic, |_| true));
    assert_eq!(decoder.next_packet(), Err(DecodeError::PacketTooLarge));
}
