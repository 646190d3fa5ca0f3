//! Encoding: the exact bytes of the forms that versions differ in, and what is not written at all.

use super::*;
use crate::{
    Delivery, PacketId, Properties, Property, Qos, ReasonCode, SubscribeFilters,
    SubscriptionOptions, TopicError, UnsubscribeFilters, Utf8,
};
use bytes::Bytes;
use std::{vec, vec::Vec};

const ID: PacketId = PacketId::MIN;

fn encode(packet: &Packet, version: Version) -> Result<Vec<u8>, EncodeError> {
    let mut out = BytesMut::from(&b"before"[..]);
    let result = packet.encode(version, &mut out);
    let written = out
        .strip_prefix(b"before")
        .expect("what was there before")
        .to_vec();
    assert!(
        result.is_ok() || written.is_empty(),
        "an error writes nothing"
    );
    result.map(|()| written)
}

fn connect(version: Version) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive_seconds: 60,
        client_id: Utf8::from_static("a"),
        will: None,
        username: None,
        password: None,
        properties: Properties::new(),
    }
}

fn connect_packet(connect: Connect) -> Packet {
    Packet::Connect(Box::new(connect))
}

fn publish() -> Publish {
    Publish {
        dup: false,
        retain: false,
        delivery: Delivery::AtMostOnce,
        topic: None,
        payload: Bytes::from_static(b"p"),
        properties: Properties::new(),
    }
}

/// [MQTT-2.2.2-1], [MQTT-3.1.2-1], [MQTT-3.1.2-2], [MQTT-3.1.3-1]
#[test]
fn connect_names_its_version() {
    for (version, bytes) in [
        (
            Version::V3_1,
            &b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a"[..],
        ),
        (
            Version::V3_1_1,
            b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a",
        ),
        (
            Version::V5,
            b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a",
        ),
    ] {
        assert_eq!(
            encode(&connect_packet(connect(version)), version),
            Ok(bytes.to_vec())
        );
    }
    let other = connect_packet(connect(Version::V5));
    assert_eq!(
        encode(&other, Version::V3_1_1),
        Err(EncodeError::VersionMismatch)
    );
}

/// [MQTT3-3.1.2-22]
#[test]
fn a_password_alone_is_for_5_0_only() {
    let login = |version| {
        let password = Some(Bytes::from_static(b"\xff"));
        connect_packet(Connect {
            password,
            ..connect(version)
        })
    };
    assert!(encode(&login(Version::V5), Version::V5).is_ok());
    for version in [Version::V3_1, Version::V3_1_1] {
        assert_eq!(
            encode(&login(version), version),
            Err(EncodeError::PasswordWithoutUserName)
        );
    }
}

#[test]
fn a_password_has_65535_bytes_at_most() {
    let password = Some(Bytes::from(vec![0; 65_536]));
    let packet = connect_packet(Connect {
        password,
        ..connect(Version::V5)
    });
    assert_eq!(
        encode(&packet, Version::V5),
        Err(EncodeError::FieldTooLong(PacketType::Connect))
    );
}

#[test]
fn connack_says_a_return_code_before_5_0() {
    let connack = |reason| {
        let properties = Properties::from_iter([Property::ReasonString("r")]);
        Packet::ConnAck(ConnAck {
            session_present: true,
            reason,
            properties,
        })
    };
    let accepted = connack(ReasonCode::Success);
    assert_eq!(
        encode(&accepted, Version::V3_1),
        Ok(b"\x20\x02\x00\x00".to_vec())
    );
    assert_eq!(
        encode(&accepted, Version::V3_1_1),
        Ok(b"\x20\x02\x01\x00".to_vec())
    );
    assert_eq!(
        encode(&accepted, Version::V5),
        Ok(b"\x20\x07\x01\x00\x04\x1f\x00\x01r".to_vec())
    );
    // [MQTT-3.2.2-1], [MQTT-3.2.2-6], [MQTT3-3.2.2-4]
    let refused = connack(ReasonCode::Banned);
    assert_eq!(
        encode(&refused, Version::V3_1_1),
        Ok(b"\x20\x02\x00\x05".to_vec())
    );
    assert_eq!(
        encode(&refused, Version::V5),
        Ok(b"\x20\x07\x00\x8a\x04\x1f\x00\x01r".to_vec())
    );
}

#[test]
fn what_says_nothing_is_left_out() {
    let ack = |reason, properties| {
        Packet::PubRec(Ack {
            packet_id: ID,
            reason,
            properties,
        })
    };
    let failed = ReasonCode::QuotaExceeded;
    let reason = || Properties::from_iter([Property::ReasonString("r")]);
    for (packet, bytes) in [
        (
            ack(ReasonCode::Success, Properties::new()),
            &b"\x50\x02\x00\x01"[..],
        ),
        (ack(failed, Properties::new()), b"\x50\x03\x00\x01\x97"),
        (
            ack(failed, reason()),
            b"\x50\x08\x00\x01\x97\x04\x1f\x00\x01r",
        ),
        (
            ack(ReasonCode::Success, reason()),
            b"\x50\x08\x00\x01\x00\x04\x1f\x00\x01r",
        ),
    ] {
        assert_eq!(encode(&packet, Version::V5), Ok(bytes.to_vec()));
        assert_eq!(
            encode(&packet, Version::V3_1_1),
            Ok(b"\x50\x02\x00\x01".to_vec())
        );
    }
    let disconnect = |reason| {
        Packet::Disconnect(Disconnect {
            reason,
            properties: Properties::new(),
        })
    };
    assert_eq!(
        encode(&disconnect(ReasonCode::Success), Version::V5),
        Ok(b"\xe0\x00".to_vec())
    );
    assert_eq!(
        encode(&disconnect(ReasonCode::ServerBusy), Version::V5),
        Ok(b"\xe0\x01\x89".to_vec())
    );
    assert_eq!(
        encode(&disconnect(ReasonCode::ServerBusy), Version::V3_1),
        Ok(b"\xe0\x00".to_vec())
    );
}

/// [MQTT3-3.8.4-5], [MQTT3-3.9.3-2]
#[test]
fn suback_knows_one_failure_before_5_0() {
    let reasons = vec![ReasonCode::GrantedQos2, ReasonCode::TopicFilterInvalid];
    let packet = Packet::SubAck(SubAck {
        packet_id: ID,
        reasons,
        properties: Properties::new(),
    });
    assert_eq!(
        encode(&packet, Version::V3_1_1),
        Ok(b"\x90\x04\x00\x01\x02\x80".to_vec())
    );
    assert_eq!(
        encode(&packet, Version::V5),
        Ok(b"\x90\x05\x00\x01\x00\x02\x8f".to_vec())
    );
}

#[test]
fn subscription_options_shrink_to_the_qos_before_5_0() {
    let options = SubscriptionOptions {
        no_local: true,
        ..SubscriptionOptions::from(Qos::AtLeastOnce)
    };
    let filters = SubscribeFilters::new([("a", options)]).unwrap();
    let packet = Packet::Subscribe(Subscribe {
        packet_id: ID,
        filters,
        properties: Properties::new(),
    });
    assert_eq!(
        encode(&packet, Version::V3_1_1),
        Ok(b"\x82\x06\x00\x01\x00\x01a\x01".to_vec())
    );
    assert_eq!(
        encode(&packet, Version::V5),
        Ok(b"\x82\x07\x00\x01\x00\x00\x01a\x05".to_vec())
    );
}

/// [MQTT-3.8.3-2], [MQTT-3.10.3-2]
#[test]
fn lists_of_filters_are_not_empty() {
    let none: [(&str, SubscriptionOptions); 0] = [];
    let filters = SubscribeFilters::new(none).unwrap();
    let packet = Packet::Subscribe(Subscribe {
        packet_id: ID,
        filters,
        properties: Properties::new(),
    });
    assert_eq!(
        encode(&packet, Version::V5),
        Err(EncodeError::NoFilters(PacketType::Subscribe))
    );
    let filters = UnsubscribeFilters::new::<&str>([]).unwrap();
    let packet = Packet::Unsubscribe(Unsubscribe {
        packet_id: ID,
        filters,
        properties: Properties::new(),
    });
    assert_eq!(
        encode(&packet, Version::V5),
        Err(EncodeError::NoFilters(PacketType::Unsubscribe))
    );
}

#[test]
fn a_bad_filter_is_a_result_of_its_own() {
    let filters = UnsubscribeFilters::new(["a/#", "a#", "b"]).unwrap();
    let results: Vec<Result<_, TopicError>> =
        filters.iter().map(|filter| filter.map(|_| ())).collect();
    assert_eq!(
        results,
        [Ok(()), Err(TopicError::MultiLevelWildcard), Ok(())]
    );
    assert!(UnsubscribeFilters::new(["a\0"]).is_err());
}

#[test]
fn a_publish_needs_a_topic_or_in_5_0_an_alias() {
    let alone = Packet::Publish(publish());
    assert_eq!(encode(&alone, Version::V5), Err(EncodeError::TopicMissing));
    let properties = Properties::from_iter([Property::TopicAlias(1)]);
    let aliased = Packet::Publish(Publish {
        properties,
        ..publish()
    });
    assert_eq!(
        encode(&aliased, Version::V5),
        Ok(b"\x30\x07\x00\x00\x03\x23\x00\x01p".to_vec())
    );
    assert_eq!(
        encode(&aliased, Version::V3_1_1),
        Err(EncodeError::TopicMissing)
    );
    // [MQTT-3.3.1-2]
    let properties = Properties::from_iter([Property::TopicAlias(1)]);
    let dup = Packet::Publish(Publish {
        dup: true,
        properties,
        ..publish()
    });
    assert_eq!(encode(&dup, Version::V5), Err(EncodeError::DupWithoutQos));
}

/// One of each packet that has a reason code.
fn packets_with(reason: ReasonCode) -> [Packet; 9] {
    let (packet_id, properties) = (ID, Properties::new);
    let ack = || Ack {
        reason,
        ..Ack::success(ID)
    };
    [
        Packet::ConnAck(ConnAck {
            session_present: false,
            reason,
            properties: properties(),
        }),
        Packet::PubAck(ack()),
        Packet::PubRec(ack()),
        Packet::PubRel(ack()),
        Packet::PubComp(ack()),
        Packet::SubAck(SubAck {
            packet_id,
            reasons: vec![reason],
            properties: properties(),
        }),
        Packet::UnsubAck(UnsubAck {
            packet_id,
            reasons: vec![reason],
            properties: properties(),
        }),
        Packet::Disconnect(Disconnect {
            reason,
            properties: properties(),
        }),
        Packet::Auth(Auth {
            reason,
            properties: Properties::from_iter([Property::AuthenticationMethod("m")]),
        }),
    ]
}

/// [MQTT-3.2.2-8], [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2],
/// [MQTT-3.14.2-1], [MQTT-3.15.2-1]: the lists of the sections on each packet.
#[test]
fn a_packet_is_written_with_reason_codes_of_its_own_list_only() {
    let mut written = vec![Vec::new(); 9];
    for reason in ReasonCode::ALL {
        for (packet, codes) in packets_with(*reason).iter().zip(&mut written) {
            if encode(packet, Version::V5).is_ok() {
                codes.push(*reason as u8);
            }
        }
    }
    let publish = vec![0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let release = vec![0x00, 0x92];
    let expected = [
        vec![
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90,
            0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
        ],
        publish.clone(),
        publish,
        release.clone(),
        release,
        vec![
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2,
        ],
        vec![0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
    ];
    assert_eq!(written[..7], expected);
    // What a server or a client may say: who says which is the caller's business.
    let mut ends = vec![0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89];
    ends.extend(0x8b..=0x90);
    ends.extend(0x93..=0xa2);
    assert_eq!(written[7], ends);
    assert_eq!(written[8], [0x00, 0x18, 0x19]);
}

#[test]
fn what_a_receiver_would_refuse_is_not_written() {
    let reason = ReasonCode::ServerBusy;
    let ack = Packet::PubAck(Ack {
        packet_id: ID,
        reason,
        properties: Properties::new(),
    });
    assert_eq!(
        encode(&ack, Version::V5),
        Err(EncodeError::ReasonCode(PacketType::PubAck, reason))
    );
    let twice = Properties::from_iter([Property::TopicAlias(1), Property::TopicAlias(1)]);
    let packet = Packet::Publish(Publish {
        properties: twice,
        ..publish()
    });
    assert!(matches!(
        encode(&packet, Version::V5),
        Err(EncodeError::Properties(DecodeError::PropertyTwice(..)))
    ));
    let auth = Packet::Auth(Auth {
        reason: ReasonCode::ReAuthenticate,
        properties: Properties::new(),
    });
    let missing = EncodeError::Properties(DecodeError::AuthenticationMethodMissing);
    assert_eq!(encode(&auth, Version::V5), Err(missing));
    assert_eq!(
        encode(&auth, Version::V3_1_1),
        Err(EncodeError::NotInVersion(PacketType::Auth, Version::V3_1_1))
    );
}

/// [MQTT-1.5.5-1]: a remaining length says 268,435,455 at most.
#[test]
fn a_packet_too_long_for_its_length_is_not_written() {
    let topic = Some(crate::TopicName::try_from("a").unwrap());
    // Zeroed pages that nobody touches cost nothing.
    let longest = Bytes::from(vec![0; 268_435_455 - 3]);
    let fits = Packet::Publish(Publish {
        topic: topic.clone(),
        payload: longest,
        ..publish()
    });
    assert_eq!(fits.encoded_bytes(Version::V3_1_1), Ok(5 + 268_435_455));
    let longer = Bytes::from(vec![0; 268_435_455 - 2]);
    let packet = Packet::Publish(Publish {
        topic,
        payload: longer,
        ..publish()
    });
    assert_eq!(
        packet.encoded_bytes(Version::V3_1_1),
        Err(EncodeError::PacketTooLong)
    );
}

/// [MQTT-3.1.3-1]: client identifier, will properties, will topic, will payload, user name, password.
#[test]
fn the_fields_of_a_connect_come_in_their_order() {
    let will = crate::Will {
        topic: crate::TopicName::try_from("w").unwrap(),
        payload: Bytes::from_static(b"p"),
        qos: Qos::ExactlyOnce,
        retain: true,
        properties: Properties::from_iter([Property::PayloadFormatIndicator(true)]),
    };
    let packet = connect_packet(Connect {
        will: Some(will),
        username: Some(Utf8::from_static("u")),
        password: Some(Bytes::from_static(b"\xff")),
        properties: Properties::from_iter([Property::ReceiveMaximum(2)]),
        ..connect(Version::V5)
    });
    let bytes = b"\x10\x20\x00\x04MQTT\x05\xf6\x00\x3c\x03\x21\x00\x02\x00\x01a\x02\x01\x01\x00\x01w\x00\x01p\x00\x01u\x00\x01\xff";
    assert_eq!(encode(&packet, Version::V5), Ok(bytes.to_vec()));
}
