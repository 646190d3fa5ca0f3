//! Every malformed packet of the tables is refused with the fault and the reason code that the table names, however its
//! bytes arrive; and what is well-formed but comes from the wrong side, or at the wrong time, is refused as well.

#[path = "../../../tests/data/malformed.rs"]
mod malformed;

use bytes::Bytes;
use malformed::{Case, When};
use weir_codec::{DecodeError, Decoder, PacketType, Version};

const CONNECT_3_1: &[u8] = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a";
const CONNECT_3_1_1: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";
const CONNECT_5: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a";

fn connect(version: Version) -> &'static [u8] {
    match version {
        Version::V3_1 => CONNECT_3_1,
        Version::V3_1_1 => CONNECT_3_1_1,
        Version::V5 => CONNECT_5,
    }
}

/// A server's decoder that has seen a CONNECT.
fn connected(version: Version) -> Decoder {
    let mut decoder = Decoder::server(1 << 20);
    decoder.push(Bytes::from_static(connect(version)));
    assert!(decoder.next_packet().unwrap().is_some());
    decoder
}

fn decoder(case: &Case, version: Version) -> Decoder {
    match case.when {
        When::ToClient => Decoder::client(version, 1 << 20),
        When::First => Decoder::server(1 << 20),
        When::Connected => connected(version),
    }
}

/// Checks that the packet is refused as its line says, however its bytes arrive; gives the fault.
fn check(case: &Case, version: Version) -> DecodeError {
    let mut whole = decoder(case, version);
    whole.push(Bytes::from(case.bytes.clone()));
    let fault = whole
        .next_packet()
        .expect_err(&format!("{version}: {case:?}"));
    assert_eq!(format!("{fault:?}"), case.fault, "{version}: {case:?}");
    let reason = fault.reason_code() as u8;
    assert_eq!(reason, case.reason, "{version}: {case:?}");
    // The same fault for ever after.
    whole.push(Bytes::from_static(b"\xc0\x00"));
    assert_eq!(whole.next_packet(), Err(fault), "{version}: {case:?}");
    assert_eq!(whole.buffered_bytes(), 0);

    let mut slow = decoder(case, version);
    let mut answer = Ok(None);
    for byte in &case.bytes {
        slow.push(Bytes::from(vec![*byte]));
        answer = slow.next_packet();
        if answer.is_err() {
            break;
        }
        assert_eq!(answer, Ok(None), "{version}: {case:?}");
    }
    assert_eq!(answer, Err(fault), "byte by byte, {version}: {case:?}");
    fault
}

#[test]
fn malformed_packets_of_3_1_1_are_refused_with_their_reason() {
    let cases = malformed::cases(Version::V3_1_1);
    assert!(cases.len() >= 100, "{}", cases.len());
    for case in cases {
        check(&case, Version::V3_1_1);
    }
}

#[test]
fn malformed_packets_of_5_0_are_refused_with_their_reason() {
    let cases = malformed::cases(Version::V5);
    assert!(cases.len() >= 150, "{}", cases.len());
    for case in cases {
        check(&case, Version::V5);
    }
}

#[test]
fn every_fault_has_a_text_that_names_its_packet() {
    let mut texts = std::collections::HashMap::new();
    for version in [Version::V3_1_1, Version::V5] {
        for case in malformed::cases(version) {
            let fault = check(&case, version);
            let text = fault.to_string();
            assert!(
                !text.ends_with(": malformed"),
                "{fault:?} has no text of its own"
            );
            let first = *texts.entry(text).or_insert(fault);
            assert_eq!(first, fault, "two faults, one text");
        }
    }
    assert_eq!(
        DecodeError::TopicNameWildcard.to_string(),
        "PUBLISH: topic name contains a wildcard"
    );
}

fn server_refuses(version: Version, bytes: &'static [u8], fault: DecodeError) {
    let mut decoder = connected(version);
    decoder.push(Bytes::from_static(bytes));
    assert_eq!(decoder.next_packet(), Err(fault));
    assert_eq!(fault.reason_code() as u8, 0x82);
}

fn client_refuses(version: Version, bytes: &'static [u8], fault: DecodeError) {
    let mut decoder = Decoder::client(version, 1 << 20);
    decoder.push(Bytes::from_static(bytes));
    assert_eq!(decoder.next_packet(), Err(fault));
    assert_eq!(fault.reason_code() as u8, 0x82);
}

/// [MQTT-3.1.0-1]
#[test]
fn the_first_packet_of_a_client_must_be_connect() {
    for first in [b"\xc0", b"\x30", b"\xe0", b"\xf0", b"\x82"] {
        let mut decoder = Decoder::server(1 << 20);
        decoder.push(Bytes::from_static(first));
        let packet = PacketType::of(first[0]).unwrap();
        assert_eq!(
            decoder.next_packet(),
            Err(DecodeError::ConnectExpected(packet))
        );
    }
}

/// [MQTT-3.1.0-2]
#[test]
fn a_second_connect_is_a_protocol_error() {
    for version in Version::ALL {
        server_refuses(version, connect(version), DecodeError::SecondConnect);
    }
}

#[test]
fn packets_from_the_wrong_side_are_refused() {
    for version in Version::ALL {
        for (first, packet) in [
            (b"\x20", PacketType::ConnAck),
            (b"\x90", PacketType::SubAck),
            (b"\xb0", PacketType::UnsubAck),
            (b"\xd0", PacketType::PingResp),
        ] {
            server_refuses(version, first, DecodeError::UnexpectedPacket(packet));
        }
        for (first, packet) in [
            (b"\x10", PacketType::Connect),
            (b"\x82", PacketType::Subscribe),
            (b"\xa2", PacketType::Unsubscribe),
            (b"\xc0", PacketType::PingReq),
        ] {
            client_refuses(version, first, DecodeError::UnexpectedPacket(packet));
        }
    }
    for version in [Version::V3_1, Version::V3_1_1] {
        client_refuses(
            version,
            b"\xe0",
            DecodeError::UnexpectedPacket(PacketType::Disconnect),
        );
    }
}

#[test]
fn the_version_is_known_although_the_rest_of_the_connect_is_malformed() {
    for (bytes, version) in [
        (&b"\x10\x07\x00\x04MQTT\x05"[..], Some(Version::V5)),
        (b"\x10\x07\x00\x04MQTT\x04", Some(Version::V3_1_1)),
        (b"\x10\x09\x00\x06MQIsdp\x03", Some(Version::V3_1)),
        (b"\x10\x07\x00\x04MQTT\x06", None),
    ] {
        let mut decoder = Decoder::server(1 << 20);
        decoder.push(Bytes::from_static(bytes));
        assert!(decoder.next_packet().is_err());
        assert_eq!(decoder.version(), version);
    }
}

/// MQTT 3.1 is laxer in four places, by the letter of its own specification.
#[test]
fn what_3_1_disregards_is_disregarded() {
    // Will QoS and will retain without a will.
    let mut decoder = Decoder::server(1 << 20);
    decoder.push(Bytes::from_static(
        b"\x10\x0f\x00\x06MQIsdp\x03\x3a\x00\x3c\x00\x01a",
    ));
    assert!(decoder.next_packet().unwrap().is_some());
    // The flag of a user name that is not there.
    let mut decoder = Decoder::server(1 << 20);
    decoder.push(Bytes::from_static(
        b"\x10\x0f\x00\x06MQIsdp\x03\xc2\x00\x3c\x00\x01a",
    ));
    assert!(decoder.next_packet().unwrap().is_some());
    // DUP on a repeated PUBREL, SUBSCRIBE or UNSUBSCRIBE.
    let mut decoder = connected(Version::V3_1);
    decoder.push(Bytes::from_static(
        b"\x6a\x02\x00\x01\x8a\x06\x00\x01\x00\x01a\x00\xaa\x05\x00\x01\x00\x01a",
    ));
    for name in ["PUBREL", "SUBSCRIBE", "UNSUBSCRIBE"] {
        assert_eq!(decoder.next_packet().unwrap().unwrap().name(), name);
    }
    // The first byte of a CONNACK.
    let mut decoder = Decoder::client(Version::V3_1, 1 << 20);
    decoder.push(Bytes::from_static(b"\x20\x02\xff\x00"));
    assert!(decoder.next_packet().unwrap().is_some());
}

/// What 3.1 has in common with 3.1.1 is as strict as there.
#[test]
fn the_malformed_packets_of_3_1_1_are_refused_in_3_1() {
    let cases = malformed::cases(Version::V3_1_1);
    for case in cases.iter().filter(|case| !case.is_allowed_in_3_1()) {
        check(case, Version::V3_1);
    }
}

/// What some decoders refuse and is allowed.
#[test]
fn short_forms_and_binary_fields_are_accepted() {
    for bytes in [
        &b"\x40\x02\x00\x01"[..],                     // PUBACK without a reason code
        b"\x40\x03\x00\x01\x10",                      // PUBACK without a property length
        b"\x40\x04\x00\x01\x00\x00",                  // PUBACK with everything, saying nothing
        b"\xe0\x00",                                  // DISCONNECT without a reason code
        b"\xe0\x01\x04",                              // DISCONNECT without a property length
        b"\xf0\x06\x18\x04\x15\x00\x01m",             // AUTH
        b"\x32\x09\x00\x00\x00\x01\x03\x23\x00\x01p", // PUBLISH with a topic alias only
        b"\x30\x07\x00\x01a\x02\x01\x01\xff", // a payload that is not UTF-8 although declared so: the broker's business
        b"\x82\x08\x00\x01\x00\x00\x02a#\x00", // a bad filter is answered in the SUBACK
    ] {
        let mut decoder = connected(Version::V5);
        decoder.push(Bytes::from_static(bytes));
        assert!(matches!(decoder.next_packet(), Ok(Some(_))), "{bytes:02x?}");
    }
    let mut decoder = Decoder::client(Version::V5, 1 << 20);
    decoder.push(Bytes::from_static(b"\xf0\x00"));
    assert!(
        matches!(decoder.next_packet(), Ok(Some(_))),
        "AUTH without anything"
    );
    // A binary password, and an empty client identifier without a clean session, which the broker answers.
    let mut decoder = Decoder::server(1 << 20);
    decoder.push(Bytes::from_static(
        b"\x10\x13\x00\x04MQTT\x04\xc0\x00\x3c\x00\x00\x00\x01u\x00\x02\xff\x00",
    ));
    assert!(matches!(decoder.next_packet(), Ok(Some(_))));
}
