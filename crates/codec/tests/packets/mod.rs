//! Strategies for valid packets of every type, version and direction.
//!
//! What they make is what a decoder answers for it: a field that a version does not have is empty, a reason code that it
//! does not have is not used. So a packet must come back equal after it has been encoded and decoded.

#![allow(dead_code)] // not every test uses every strategy

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, option, prelude::*, sample};
use weir_codec::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, Packet, PacketId, PacketType, Properties,
    Property, PropertyId, Publish, Qos, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscribeFilters, SubscriptionOptions, TopicName, UnsubAck, Unsubscribe, UnsubscribeFilters,
    Utf8, Version, Will,
};

/// A conversation in one direction: the version, who speaks, and the packets. A client's begins with a CONNECT.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) version: Version,
    pub(crate) from_server: bool,
    pub(crate) packets: Vec<Packet>,
}

impl Conversation {
    pub(crate) fn encoded(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        for packet in &self.packets {
            packet
                .encode(self.version, &mut bytes)
                .expect("a valid packet");
        }
        bytes.freeze()
    }

    pub(crate) fn decoder(&self) -> weir_codec::Decoder {
        match self.from_server {
            true => weir_codec::Decoder::client(self.version, u32::MAX),
            false => weir_codec::Decoder::server(u32::MAX),
        }
    }
}

pub(crate) fn versions() -> impl Strategy<Value = Version> {
    sample::select(&Version::ALL[..])
}

/// Conversations of up to `len` packets.
pub(crate) fn conversations(len: usize) -> impl Strategy<Value = Conversation> {
    (versions(), any::<bool>()).prop_flat_map(move |(version, from_server)| {
        let packets = match from_server {
            true => vec(server_packet(version), 1..=len).boxed(),
            false => (connect(version), vec(client_packet(version), 0..len))
                .prop_map(|(connect, rest)| std::iter::once(connect).chain(rest).collect())
                .boxed(),
        };
        packets.prop_map(move |packets| Conversation {
            version,
            from_server,
            packets,
        })
    })
}

/// Any packet a client sends after its CONNECT.
pub(crate) fn client_packet(version: Version) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        4 => publish(version, false),
        4 => acks(version),
        2 => subscribe(version),
        2 => unsubscribe(version),
        1 => Just(Packet::PingReq),
        1 => disconnect(version, false),
    ];
    if version.is_v5() {
        prop_oneof![12 => common, 1 => auth(false)].boxed()
    } else {
        common.boxed()
    }
}

/// Any packet a server sends.
pub(crate) fn server_packet(version: Version) -> BoxedStrategy<Packet> {
    let common = prop_oneof![
        2 => connack(version),
        4 => publish(version, true),
        4 => acks(version),
        2 => suback(version),
        2 => unsuback(version),
        1 => Just(Packet::PingResp),
    ];
    if version.is_v5() {
        prop_oneof![12 => common, 1 => auth(true), 1 => disconnect(version, true)].boxed()
    } else {
        common.boxed()
    }
}

pub(crate) fn connect(version: Version) -> impl Strategy<Value = Packet> {
    let properties = properties(
        version,
        &[
            PropertyId::SessionExpiryInterval,
            PropertyId::ReceiveMaximum,
            PropertyId::MaximumPacketSize,
            PropertyId::TopicAliasMaximum,
            PropertyId::RequestResponseInformation,
            PropertyId::RequestProblemInformation,
            PropertyId::AuthenticationMethod,
            PropertyId::AuthenticationData,
        ],
    )
    .prop_map(|mut properties| {
        if properties.authentication_data().is_some()
            && properties.authentication_method().is_none()
        {
            properties.push(Property::AuthenticationMethod("SCRAM"));
        }
        properties
    });
    let login = (option::of(text()), option::of(binary()));
    (
        any::<bool>(),
        any::<u16>(),
        text(),
        option::of(will(version)),
        login,
        properties,
    )
        .prop_map(
            move |(
                clean_start,
                keep_alive_seconds,
                client_id,
                will,
                (username, password),
                properties,
            )| {
                let password = password.filter(|_| version.is_v5() || username.is_some());
                let connect = Connect {
                    version,
                    clean_start,
                    keep_alive_seconds,
                    client_id,
                    will,
                    username,
                    password,
                    properties,
                };
                Packet::Connect(Box::new(connect))
            },
        )
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    let properties = properties(
        version,
        &[
            PropertyId::WillDelayInterval,
            PropertyId::PayloadFormatIndicator,
            PropertyId::MessageExpiryInterval,
            PropertyId::ContentType,
            PropertyId::ResponseTopic,
            PropertyId::CorrelationData,
        ],
    );
    (topic(), binary(), qos(), any::<bool>(), properties).prop_map(
        |(topic, payload, qos, retain, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            properties,
        },
    )
}

fn connack(version: Version) -> impl Strategy<Value = Packet> {
    let reasons: Vec<ReasonCode> = match version {
        Version::V5 => allowed(PacketType::ConnAck, true),
        _ => (0..6)
            .filter_map(ReasonCode::from_connack_return_code)
            .collect(),
    };
    let properties = properties(
        version,
        &[
            PropertyId::SessionExpiryInterval,
            PropertyId::ReceiveMaximum,
            PropertyId::MaximumQos,
            PropertyId::RetainAvailable,
            PropertyId::MaximumPacketSize,
            PropertyId::AssignedClientIdentifier,
            PropertyId::TopicAliasMaximum,
            PropertyId::ReasonString,
            PropertyId::WildcardSubscriptionAvailable,
            PropertyId::SubscriptionIdentifiersAvailable,
            PropertyId::SharedSubscriptionAvailable,
            PropertyId::ServerKeepAlive,
            PropertyId::ResponseInformation,
            PropertyId::ServerReference,
            PropertyId::AuthenticationMethod,
            PropertyId::AuthenticationData,
        ],
    );
    (any::<bool>(), sample::select(reasons), properties).prop_map(
        move |(present, reason, properties)| {
            let session_present = present && !reason.is_error() && version != Version::V3_1;
            Packet::ConnAck(ConnAck {
                session_present,
                reason,
                properties,
            })
        },
    )
}

pub(crate) fn publish(version: Version, from_server: bool) -> impl Strategy<Value = Packet> {
    let properties = properties(
        version,
        &[
            PropertyId::PayloadFormatIndicator,
            PropertyId::MessageExpiryInterval,
            PropertyId::TopicAlias,
            PropertyId::ResponseTopic,
            PropertyId::CorrelationData,
            PropertyId::ContentType,
        ],
    );
    let identifiers = vec(1..=268_435_455_u32, 0..4);
    let topics = (topic(), prop::bool::weighted(0.2));
    (
        any::<bool>(),
        any::<bool>(),
        delivery(),
        topics,
        payload(),
        properties,
        identifiers,
    )
        .prop_map(
            move |(
                dup,
                retain,
                delivery,
                (topic, by_alias),
                payload,
                mut properties,
                identifiers,
            )| {
                if version.is_v5() && from_server {
                    properties.extend(
                        identifiers
                            .into_iter()
                            .map(Property::SubscriptionIdentifier),
                    );
                }
                let topic = Some(topic).filter(|_| !by_alias || properties.topic_alias().is_none());
                let dup = dup && delivery != Delivery::AtMostOnce;
                Packet::Publish(Publish {
                    dup,
                    retain,
                    delivery,
                    topic,
                    payload,
                    properties,
                })
            },
        )
}

fn acks(version: Version) -> impl Strategy<Value = Packet> {
    let ack = move |packet: PacketType| {
        let reasons = if version.is_v5() {
            allowed(packet, true)
        } else {
            vec![ReasonCode::Success]
        };
        let properties = properties(version, &[PropertyId::ReasonString]);
        (packet_id(), sample::select(reasons), properties).prop_map(
            |(packet_id, reason, properties)| Ack {
                packet_id,
                reason,
                properties,
            },
        )
    };
    prop_oneof![
        ack(PacketType::PubAck).prop_map(Packet::PubAck),
        ack(PacketType::PubRec).prop_map(Packet::PubRec),
        ack(PacketType::PubRel).prop_map(Packet::PubRel),
        ack(PacketType::PubComp).prop_map(Packet::PubComp),
    ]
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet> {
    let filters = vec((filter(), options(version)), 1..5);
    let properties = properties(version, &[PropertyId::SubscriptionIdentifier]);
    (packet_id(), filters, properties).prop_map(|(packet_id, mut filters, properties)| {
        for (filter, options) in &mut filters {
            options.no_local &= !filter.starts_with("$share/");
        }
        let filters = SubscribeFilters::new(filters).expect("strings");
        Packet::Subscribe(Subscribe {
            packet_id,
            filters,
            properties,
        })
    })
}

fn suback(version: Version) -> impl Strategy<Value = Packet> {
    let mut reasons = allowed(PacketType::SubAck, true);
    reasons.retain(|&reason| version.is_v5() || reason <= ReasonCode::UnspecifiedError);
    let properties = properties(version, &[PropertyId::ReasonString]);
    (packet_id(), vec(sample::select(reasons), 1..5), properties).prop_map(
        |(packet_id, reasons, properties)| {
            Packet::SubAck(SubAck {
                packet_id,
                reasons,
                properties,
            })
        },
    )
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Packet> {
    (packet_id(), vec(filter(), 1..5), properties(version, &[])).prop_map(
        |(packet_id, filters, properties)| {
            let filters = UnsubscribeFilters::new(filters).expect("strings");
            Packet::Unsubscribe(Unsubscribe {
                packet_id,
                filters,
                properties,
            })
        },
    )
}

fn unsuback(version: Version) -> impl Strategy<Value = Packet> {
    let reasons = sample::select(allowed(PacketType::UnsubAck, true));
    let properties = properties(version, &[PropertyId::ReasonString]);
    let count = if version.is_v5() { 1..5 } else { 0..1 };
    (packet_id(), vec(reasons, count), properties).prop_map(|(packet_id, reasons, properties)| {
        Packet::UnsubAck(UnsubAck {
            packet_id,
            reasons,
            properties,
        })
    })
}

fn disconnect(version: Version, from_server: bool) -> impl Strategy<Value = Packet> {
    let reasons = match version {
        Version::V5 => allowed(PacketType::Disconnect, from_server),
        _ => vec![ReasonCode::Success],
    };
    let ids: &[PropertyId] = match from_server {
        true => &[PropertyId::ReasonString, PropertyId::ServerReference],
        false => &[PropertyId::ReasonString, PropertyId::SessionExpiryInterval],
    };
    (sample::select(reasons), properties(version, ids))
        .prop_map(|(reason, properties)| Packet::Disconnect(Disconnect { reason, properties }))
}

fn auth(from_server: bool) -> impl Strategy<Value = Packet> {
    let reasons = allowed(PacketType::Auth, from_server);
    let properties = properties(
        Version::V5,
        &[PropertyId::AuthenticationData, PropertyId::ReasonString],
    );
    (sample::select(reasons), text(), properties).prop_map(|(reason, method, mut properties)| {
        properties.push(Property::AuthenticationMethod(&method));
        Packet::Auth(Auth { reason, properties })
    })
}

/// The reason codes a packet may carry.
fn allowed(packet: PacketType, from_server: bool) -> Vec<ReasonCode> {
    ReasonCode::ALL
        .iter()
        .copied()
        .filter(|reason| reason.allowed_in(packet, from_server))
        .collect()
}

/// Some of these properties in any order, with user properties between them.
fn properties(version: Version, ids: &'static [PropertyId]) -> BoxedStrategy<Properties> {
    if !version.is_v5() {
        return Just(Properties::new()).boxed();
    }
    let some = sample::subsequence(ids, 0..=ids.len());
    let user = vec(Just(PropertyId::UserProperty), 0..3);
    let order = (some, user)
        .prop_map(|(some, user)| [some, user].concat())
        .prop_shuffle();
    let values = vec(
        (text(), text(), topic(), binary(), any::<u32>()),
        ids.len() + 3,
    );
    let filled = (order, values).prop_map(|(order, values)| {
        let pairs = order.iter().zip(&values);
        pairs
            .map(|(id, (one, two, topic, bytes, number))| {
                property(*id, one, two, topic, bytes, *number)
            })
            .collect()
    });
    prop_oneof![1 => Just(Properties::new()), 2 => filled].boxed()
}

fn property<'a>(
    id: PropertyId,
    text: &'a str,
    other: &'a str,
    topic: &'a TopicName,
    bytes: &'a [u8],
    number: u32,
) -> Property<'a> {
    let flag = number % 2 == 1;
    let short = number as u16;
    match id {
        PropertyId::PayloadFormatIndicator => Property::PayloadFormatIndicator(flag),
        PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(number),
        PropertyId::ContentType => Property::ContentType(text),
        PropertyId::ResponseTopic => Property::ResponseTopic(topic.as_str()),
        PropertyId::CorrelationData => Property::CorrelationData(bytes),
        PropertyId::SubscriptionIdentifier => {
            Property::SubscriptionIdentifier(number % 268_435_455 + 1)
        }
        PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(number),
        PropertyId::AssignedClientIdentifier => Property::AssignedClientIdentifier(text),
        PropertyId::ServerKeepAlive => Property::ServerKeepAlive(short),
        PropertyId::AuthenticationMethod => Property::AuthenticationMethod(text),
        PropertyId::AuthenticationData => Property::AuthenticationData(bytes),
        PropertyId::RequestProblemInformation => Property::RequestProblemInformation(flag),
        PropertyId::WillDelayInterval => Property::WillDelayInterval(number),
        PropertyId::RequestResponseInformation => Property::RequestResponseInformation(flag),
        PropertyId::ResponseInformation => Property::ResponseInformation(text),
        PropertyId::ServerReference => Property::ServerReference(text),
        PropertyId::ReasonString => Property::ReasonString(text),
        PropertyId::ReceiveMaximum => Property::ReceiveMaximum(short.max(1)),
        PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(short),
        PropertyId::TopicAlias => Property::TopicAlias(short.max(1)),
        PropertyId::MaximumQos => Property::MaximumQos(if flag {
            Qos::AtLeastOnce
        } else {
            Qos::AtMostOnce
        }),
        PropertyId::RetainAvailable => Property::RetainAvailable(flag),
        PropertyId::UserProperty => Property::UserProperty(text, other),
        PropertyId::MaximumPacketSize => Property::MaximumPacketSize(number.max(1)),
        PropertyId::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(flag),
        PropertyId::SubscriptionIdentifiersAvailable => {
            Property::SubscriptionIdentifiersAvailable(flag)
        }
        PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(flag),
    }
}

fn text() -> impl Strategy<Value = Utf8> {
    prop_oneof!["[^\\x00]{0,8}", "[a-z]{0,40}"]
        .prop_map(|text| Utf8::try_from(text.as_str()).expect("no U+0000"))
}

pub(crate) fn topic() -> impl Strategy<Value = TopicName> {
    prop_oneof!["([^\\x00#+]|/){1,8}", "[a-z/$]{1,40}"]
        .prop_map(|text| TopicName::try_from(text.as_str()).expect("a name"))
}

/// Filters, good and bad.
pub(crate) fn filter() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(\\$share/[a-z]{1,3}/)?([a-zé]{0,3}|\\+)(/([a-z]{0,3}|\\+)){0,4}(/#)?",
        1 => "[a-z/$#+]{0,8}",
        1 => Just(String::from("#")),
    ]
}

fn options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    let handling = sample::select(vec![
        RetainHandling::SendAtSubscribe,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ]);
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| match version {
            Version::V5 => SubscriptionOptions {
                qos,
                no_local,
                retain_as_published,
                retain_handling,
            },
            _ => SubscriptionOptions::from(qos),
        },
    )
}

fn qos() -> impl Strategy<Value = Qos> {
    sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|value| PacketId::new(value).expect("not 0"))
}

pub(crate) fn delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![
        Just(Delivery::AtMostOnce),
        packet_id().prop_map(Delivery::AtLeastOnce),
        packet_id().prop_map(Delivery::ExactlyOnce),
    ]
}

fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

/// Payloads that are mostly small, and sometimes large enough for a remaining length of three bytes.
pub(crate) fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..60),
        1 => vec(any::<u8>(), 100..200),
        1 => (any::<u8>(), 2_000..20_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
    .prop_map(Bytes::from)
}
