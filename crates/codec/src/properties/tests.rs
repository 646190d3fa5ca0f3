//! Building blocks of properties, looking into them, and what each packet may carry.

use super::*;
use crate::Qos;
use std::{format, string::String, vec, vec::Vec};

/// One property of each kind, with its encoding.
fn samples() -> Vec<(Property<'static>, &'static [u8])> {
    vec![
        (Property::PayloadFormatIndicator(true), b"\x01\x01"),
        (
            Property::MessageExpiryInterval(0x0102_0304),
            b"\x02\x01\x02\x03\x04",
        ),
        (Property::ContentType("t"), b"\x03\x00\x01t"),
        (Property::ResponseTopic("r"), b"\x08\x00\x01r"),
        (Property::CorrelationData(b"\xff"), b"\x09\x00\x01\xff"),
        (Property::SubscriptionIdentifier(128), b"\x0b\x80\x01"),
        (
            Property::SessionExpiryInterval(u32::MAX),
            b"\x11\xff\xff\xff\xff",
        ),
        (Property::AssignedClientIdentifier("c"), b"\x12\x00\x01c"),
        (Property::ServerKeepAlive(45), b"\x13\x00\x2d"),
        (Property::AuthenticationMethod("m"), b"\x15\x00\x01m"),
        (Property::AuthenticationData(b""), b"\x16\x00\x00"),
        (Property::RequestProblemInformation(false), b"\x17\x00"),
        (Property::WillDelayInterval(1), b"\x18\x00\x00\x00\x01"),
        (Property::RequestResponseInformation(true), b"\x19\x01"),
        (Property::ResponseInformation("i"), b"\x1a\x00\x01i"),
        (Property::ServerReference("s"), b"\x1c\x00\x01s"),
        (Property::ReasonString("w"), b"\x1f\x00\x01w"),
        (Property::ReceiveMaximum(1), b"\x21\x00\x01"),
        (Property::TopicAliasMaximum(0), b"\x22\x00\x00"),
        (Property::TopicAlias(7), b"\x23\x00\x07"),
        (Property::MaximumQos(Qos::AtLeastOnce), b"\x24\x01"),
        (Property::RetainAvailable(false), b"\x25\x00"),
        (Property::UserProperty("k", "v"), b"\x26\x00\x01k\x00\x01v"),
        (Property::MaximumPacketSize(100), b"\x27\x00\x00\x00\x64"),
        (Property::WildcardSubscriptionAvailable(true), b"\x28\x01"),
        (
            Property::SubscriptionIdentifiersAvailable(true),
            b"\x29\x01",
        ),
        (Property::SharedSubscriptionAvailable(false), b"\x2a\x00"),
    ]
}

#[test]
fn every_property_is_encoded_as_the_specification_says() {
    let samples = samples();
    assert!(
        samples
            .iter()
            .map(|(property, _)| property.id())
            .eq(PropertyId::ALL.iter().copied())
    );
    let mut block = Properties::new();
    for (property, encoded) in &samples {
        assert_eq!(
            Properties::from_iter([*property]).encoded(),
            *encoded,
            "{property:?}"
        );
        assert!(block.push(*property));
    }
    assert!(
        block
            .iter()
            .eq(samples.iter().map(|(property, _)| *property))
    );
    assert_eq!(
        block,
        samples.iter().map(|(property, _)| *property).collect()
    );
    assert_eq!(block.detached(), block);
}

#[test]
fn lookups_find_the_value_behind_others() {
    let block: Properties = samples()
        .into_iter()
        .map(|(property, _)| property)
        .collect();
    assert_eq!(block.payload_format_indicator(), Some(true));
    assert_eq!(block.message_expiry_interval(), Some(0x0102_0304));
    assert_eq!(block.session_expiry_interval(), Some(u32::MAX));
    assert_eq!(block.correlation_data(), Some(&b"\xff"[..]));
    assert_eq!(block.authentication_method(), Some("m"));
    assert_eq!(block.topic_alias(), Some(7));
    assert_eq!(block.maximum_qos(), Some(Qos::AtLeastOnce));
    assert_eq!(block.shared_subscription_available(), Some(false));
    assert!(block.user_properties().eq([("k", "v")]));
    assert!(block.subscription_identifiers().eq([128]));
    assert_eq!(Properties::new().topic_alias(), None);
}

#[test]
fn values_that_no_receiver_accepts_are_not_taken() {
    let long = "a".repeat(65_536);
    for property in [
        Property::ReceiveMaximum(0),
        Property::MaximumPacketSize(0),
        Property::TopicAlias(0),
        Property::SubscriptionIdentifier(0),
        Property::SubscriptionIdentifier(268_435_456),
        Property::MaximumQos(Qos::ExactlyOnce),
        Property::ReasonString("a\0"),
        Property::ReasonString(&long),
        Property::UserProperty("k", &long),
        Property::CorrelationData(long.as_bytes()),
    ] {
        let mut block = Properties::new();
        assert!(!block.push(property));
        assert!(block.is_empty());
    }
}

#[test]
fn pushing_to_a_shared_block_leaves_the_other_as_it_is() {
    let mut block = Properties::from_iter([Property::TopicAlias(1)]);
    let other = block.clone();
    block.push(Property::PayloadFormatIndicator(true));
    assert_eq!(other.encoded(), b"\x23\x00\x01");
    assert_eq!(block.encoded(), b"\x23\x00\x01\x01\x01");
    assert_eq!(
        format!("{block:?}"),
        "[TopicAlias(1), PayloadFormatIndicator(true)]"
    );
}

/// Table 2-4 of the specification: which property stands in which packet.
#[test]
fn each_packet_carries_its_own_properties() {
    use crate::{Auth, ConnAck, Disconnect, Packet, PacketId, ReasonCode, Version};
    let id = PacketId::MIN;
    let success = ReasonCode::Success;
    let packets = |properties: Properties| {
        let method = || {
            properties
                .iter()
                .chain([Property::AuthenticationMethod("m")])
                .collect()
        };
        vec![
            Packet::ConnAck(ConnAck {
                session_present: false,
                reason: success,
                properties: properties.clone(),
            }),
            Packet::PubAck(crate::Ack {
                packet_id: id,
                reason: success,
                properties: properties.clone(),
            }),
            Packet::Disconnect(Disconnect {
                reason: success,
                properties: properties.clone(),
            }),
            Packet::Auth(Auth {
                reason: ReasonCode::ContinueAuthentication,
                properties: method(),
            }),
        ]
    };
    let mut carried: Vec<String> = vec![String::new(); 4];
    for (property, _) in samples() {
        for (packet, ids) in packets(Properties::from_iter([property]))
            .iter()
            .zip(&mut carried)
        {
            if packet.encoded_bytes(Version::V5).is_ok() {
                ids.push_str(&format!("{:02x} ", property.id() as u8));
            }
        }
    }
    assert_eq!(
        carried[0],
        "11 12 13 15 16 1a 1c 1f 21 22 24 25 26 27 28 29 2a "
    );
    assert_eq!(carried[1], "1f 26 ");
    assert_eq!(carried[2], "11 1c 1f 26 ");
    // The method is there already, and twice would be one too many.
    assert_eq!(carried[3], "16 1f 26 ");
}
