//! Why mqttbytes is the oracle and not the parser: what was found about version 0.6.0, as assertions.
//!
//! The decision that rests on these findings is the book's page "Our own codec". A newer version of mqttbytes that
//! behaves otherwise makes this test fail, and the decision worth reading again.

#[path = "../../../tests/data/malformed.rs"]
mod malformed;
mod oracle;

use malformed::Case;
use oracle::{read_v4, read_v5};
use std::panic::catch_unwind;
use weir_codec::Version;

/// How many of the malformed packets are accepted.
fn accepted(cases: &[Case], accepts: impl Fn(&[u8]) -> bool) -> usize {
    cases.iter().filter(|case| accepts(&case.bytes)).count()
}

#[test]
fn it_accepts_a_good_part_of_the_malformed_packets() {
    let cases = |version| {
        let mut cases = malformed::cases(version);
        cases.retain(Case::is_wrong_in_itself);
        cases
    };
    let (cases_3, cases_5) = (cases(Version::V3_1_1), cases(Version::V5));
    let three = accepted(&cases_3, |bytes| read_v4(bytes).is_ok());
    let five = accepted(&cases_5, |bytes| read_v5(bytes).is_ok());
    // The table grows; these are what it accepted of the first 96 and 179.
    assert!(three >= 54, "{three} of {}", cases_3.len());
    assert!(five >= 93, "{five} of {}", cases_5.len());
}

#[test]
fn it_has_no_mqtt_3_1() {
    let connect = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a";
    assert_eq!(read_v4(connect), Err(mqttbytes::Error::InvalidProtocol));
    assert_eq!(read_v5(connect), Err(mqttbytes::Error::InvalidProtocol));
}

#[test]
fn it_has_no_auth() {
    assert_eq!(
        read_v5(b"\xf0\x06\x18\x04\x15\x00\x01m"),
        Err(mqttbytes::Error::InvalidPacketType(15))
    );
}

#[test]
fn it_refuses_the_short_forms_of_disconnect() {
    assert_eq!(read_v5(b"\xe0\x00"), Err(mqttbytes::Error::PayloadRequired));
    assert!(read_v5(b"\xe0\x01\x04").is_err());
}

#[test]
fn it_cannot_hold_a_binary_password() {
    let three = b"\x10\x13\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x01u\x00\x01\xff";
    let five = b"\x10\x14\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x01a\x00\x01u\x00\x01\xff";
    assert_eq!(read_v4(three), Err(mqttbytes::Error::TopicNotUtf8));
    assert_eq!(read_v5(five), Err(mqttbytes::Error::TopicNotUtf8));
}

#[test]
fn its_matches_panics_where_a_topic_begins_with_a_character_that_is_not_ascii() {
    assert!(catch_unwind(|| mqttbytes::matches("ä/b", "#")).is_err());
    assert!(catch_unwind(|| mqttbytes::matches("a/ä", "#")).is_ok());
}

#[test]
fn its_connect_corrupts_a_buffer_that_is_not_empty() {
    let mut buffer = bytes::BytesMut::from(&b"\xc0\x00"[..]);
    let mut connect = mqttbytes::v4::Connect::new("a");
    connect.set_login("u", "p");
    connect.write(&mut buffer).unwrap();
    // The flags were written where they would be in an empty buffer.
    assert_eq!(buffer[2 + 9], 0b10);
    assert_eq!(buffer[9], 0b1100_0010);
}
