//! `mqttbytes` as an oracle: our packets said in its types, so that its own equality compares them.
//!
//! What its types can't hold is `None`: AUTH, and a reason code that it does not know.

#![allow(dead_code)] // not every test uses both versions

use bytes::{Bytes, BytesMut};
use mqttbytes::{Protocol, QoS, v4, v5};
use weir_codec::{
    Ack, Connect, Packet, Properties, Qos, ReasonCode, SubscribeFilters, UnsubscribeFilters, Will,
};

/// What mqttbytes reads from these bytes as MQTT 3.1.1, if it accepts them as exactly one packet.
pub(crate) fn read_v4(bytes: &[u8]) -> Result<v4::Packet, mqttbytes::Error> {
    v4::read(&mut BytesMut::from(bytes), 1 << 20)
}

/// What mqttbytes reads from these bytes as MQTT 5.0.
pub(crate) fn read_v5(bytes: &[u8]) -> Result<v5::Packet, mqttbytes::Error> {
    v5::read(&mut BytesMut::from(bytes), 1 << 20)
}

/// A packet of 3.1.1 in the types of mqttbytes.
pub(crate) fn to_v4(packet: &Packet) -> Option<v4::Packet> {
    let id = |ack: &Ack| ack.packet_id.get();
    Some(match packet {
        Packet::Connect(connect) => v4::Packet::Connect(v4::Connect {
            protocol: protocol(connect),
            keep_alive: connect.keep_alive_seconds,
            client_id: connect.client_id.to_string(),
            clean_session: connect.clean_start,
            last_will: connect.will.as_ref().map(|will| v4::LastWill {
                topic: will.topic.to_string(),
                message: will.payload.clone(),
                qos: qos(will.qos),
                retain: will.retain,
            }),
            login: login(connect).map(|(username, password)| v4::Login { username, password }),
        }),
        Packet::ConnAck(connack) => v4::Packet::ConnAck(v4::ConnAck {
            session_present: connack.session_present,
            code: return_code_v4(connack.reason),
        }),
        Packet::Publish(publish) => v4::Packet::Publish(v4::Publish {
            dup: publish.dup,
            qos: qos(publish.delivery.qos()),
            retain: publish.retain,
            topic: publish.topic.as_ref()?.to_string(),
            pkid: publish.delivery.packet_id().map_or(0, |id| id.get()),
            payload: publish.payload.clone(),
        }),
        Packet::PubAck(ack) => v4::Packet::PubAck(v4::PubAck { pkid: id(ack) }),
        Packet::PubRec(ack) => v4::Packet::PubRec(v4::PubRec { pkid: id(ack) }),
        Packet::PubRel(ack) => v4::Packet::PubRel(v4::PubRel { pkid: id(ack) }),
        Packet::PubComp(ack) => v4::Packet::PubComp(v4::PubComp { pkid: id(ack) }),
        Packet::Subscribe(subscribe) => v4::Packet::Subscribe(v4::Subscribe {
            pkid: subscribe.packet_id.get(),
            filters: subscriptions(&subscribe.filters)?
                .into_iter()
                .map(|(path, options)| v4::SubscribeFilter {
                    path,
                    qos: qos(options.qos),
                })
                .collect(),
        }),
        Packet::SubAck(suback) => v4::Packet::SubAck(v4::SubAck {
            pkid: suback.packet_id.get(),
            return_codes: suback
                .reasons
                .iter()
                .map(|reason| match reason {
                    ReasonCode::Success => v4::SubscribeReasonCode::Success(QoS::AtMostOnce),
                    ReasonCode::GrantedQos1 => v4::SubscribeReasonCode::Success(QoS::AtLeastOnce),
                    ReasonCode::GrantedQos2 => v4::SubscribeReasonCode::Success(QoS::ExactlyOnce),
                    _ => v4::SubscribeReasonCode::Failure,
                })
                .collect(),
        }),
        Packet::Unsubscribe(unsubscribe) => v4::Packet::Unsubscribe(v4::Unsubscribe {
            pkid: unsubscribe.packet_id.get(),
            topics: filters(&unsubscribe.filters)?,
        }),
        Packet::UnsubAck(unsuback) => v4::Packet::UnsubAck(v4::UnsubAck {
            pkid: unsuback.packet_id.get(),
        }),
        Packet::PingReq => v4::Packet::PingReq,
        Packet::PingResp => v4::Packet::PingResp,
        Packet::Disconnect(_) => v4::Packet::Disconnect,
        Packet::Auth(_) => return None,
    })
}

fn return_code_v4(reason: ReasonCode) -> v4::ConnectReturnCode {
    match reason.connack_return_code() {
        0 => v4::ConnectReturnCode::Success,
        1 => v4::ConnectReturnCode::RefusedProtocolVersion,
        2 => v4::ConnectReturnCode::BadClientId,
        3 => v4::ConnectReturnCode::ServiceUnavailable,
        4 => v4::ConnectReturnCode::BadUserNamePassword,
        _ => v4::ConnectReturnCode::NotAuthorized,
    }
}

/// The four acknowledgements of mqttbytes are four equal structures.
macro_rules! ack {
    ($ack:ident, $packet:ident, $reason:ident, $properties:ident, $($code:ident),*) => {
        v5::Packet::$packet(v5::$packet {
            pkid: $ack.packet_id.get(),
            reason: match $ack.reason {
                $(ReasonCode::$code => v5::$reason::$code,)*
                _ => return None,
            },
            properties: some(&$ack.properties, |properties| v5::$properties {
                reason_string: properties.reason_string().map(String::from),
                user_properties: user_properties(properties),
            }),
        })
    };
}

/// A packet of 5.0 in the types of mqttbytes.
pub(crate) fn to_v5(packet: &Packet) -> Option<v5::Packet> {
    Some(match packet {
        Packet::Connect(connect) => v5::Packet::Connect(v5::Connect {
            protocol: protocol(connect),
            keep_alive: connect.keep_alive_seconds,
            client_id: connect.client_id.to_string(),
            clean_session: connect.clean_start,
            last_will: connect.will.as_ref().map(will),
            login: login(connect).map(|(username, password)| v5::Login { username, password }),
            properties: some(&connect.properties, connect_properties),
        }),
        Packet::ConnAck(connack) => v5::Packet::ConnAck(v5::ConnAck {
            session_present: connack.session_present,
            code: return_code(connack.reason)?,
            properties: some(&connack.properties, connack_properties),
        }),
        Packet::Publish(publish) => v5::Packet::Publish(v5::Publish {
            dup: publish.dup,
            qos: qos(publish.delivery.qos()),
            retain: publish.retain,
            topic: publish
                .topic
                .as_ref()
                .map_or(String::new(), ToString::to_string),
            pkid: publish.delivery.packet_id().map_or(0, |id| id.get()),
            properties: some(&publish.properties, publish_properties),
            payload: publish.payload.clone(),
        }),
        Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_) => {
            acknowledgement_v5(packet)?
        }
        Packet::Subscribe(_) | Packet::SubAck(_) | Packet::Unsubscribe(_) | Packet::UnsubAck(_) => {
            subscribing_v5(packet)?
        }
        Packet::PingReq => v5::Packet::PingReq,
        Packet::PingResp => v5::Packet::PingResp,
        Packet::Disconnect(disconnect) => v5::Packet::Disconnect(v5::Disconnect {
            reason_code: v5::DisconnectReasonCode::try_from(disconnect.reason as u8).ok()?,
            properties: some(&disconnect.properties, |properties| {
                v5::DisconnectProperties {
                    session_expiry_interval: properties.session_expiry_interval(),
                    reason_string: properties.reason_string().map(String::from),
                    user_properties: user_properties(properties),
                    server_reference: properties.server_reference().map(String::from),
                }
            }),
        }),
        Packet::Auth(_) => return None,
    })
}

fn acknowledgement_v5(packet: &Packet) -> Option<v5::Packet> {
    Some(match packet {
        Packet::PubAck(a) => ack!(
            a,
            PubAck,
            PubAckReason,
            PubAckProperties,
            Success,
            NoMatchingSubscribers,
            UnspecifiedError,
            ImplementationSpecificError,
            NotAuthorized,
            TopicNameInvalid,
            PacketIdentifierInUse,
            QuotaExceeded,
            PayloadFormatInvalid
        ),
        Packet::PubRec(a) => ack!(
            a,
            PubRec,
            PubRecReason,
            PubRecProperties,
            Success,
            NoMatchingSubscribers,
            UnspecifiedError,
            ImplementationSpecificError,
            NotAuthorized,
            TopicNameInvalid,
            PacketIdentifierInUse,
            QuotaExceeded,
            PayloadFormatInvalid
        ),
        Packet::PubRel(a) => ack!(
            a,
            PubRel,
            PubRelReason,
            PubRelProperties,
            Success,
            PacketIdentifierNotFound
        ),
        Packet::PubComp(a) => ack!(
            a,
            PubComp,
            PubCompReason,
            PubCompProperties,
            Success,
            PacketIdentifierNotFound
        ),
        _ => return None,
    })
}

fn subscribing_v5(packet: &Packet) -> Option<v5::Packet> {
    Some(match packet {
        Packet::Subscribe(subscribe) => v5::Packet::Subscribe(v5::Subscribe {
            pkid: subscribe.packet_id.get(),
            filters: subscriptions(&subscribe.filters)?
                .into_iter()
                .map(subscription)
                .collect(),
            properties: some(&subscribe.properties, |properties| {
                v5::SubscribeProperties {
                    id: properties
                        .subscription_identifiers()
                        .next()
                        .map(|id| id as usize),
                    user_properties: user_properties(properties),
                }
            }),
        }),
        Packet::SubAck(suback) => v5::Packet::SubAck(v5::SubAck {
            pkid: suback.packet_id.get(),
            return_codes: suback
                .reasons
                .iter()
                .map(|&reason| suback_reason(reason))
                .collect::<Option<_>>()?,
            properties: some(&suback.properties, |properties| v5::SubAckProperties {
                reason_string: properties.reason_string().map(String::from),
                user_properties: user_properties(properties),
            }),
        }),
        Packet::Unsubscribe(unsubscribe) => v5::Packet::Unsubscribe(v5::Unsubscribe {
            pkid: unsubscribe.packet_id.get(),
            filters: filters(&unsubscribe.filters)?,
            properties: some(&unsubscribe.properties, |properties| {
                v5::UnsubscribeProperties {
                    user_properties: user_properties(properties),
                }
            }),
        }),
        Packet::UnsubAck(unsuback) => v5::Packet::UnsubAck(v5::UnsubAck {
            pkid: unsuback.packet_id.get(),
            reasons: unsuback
                .reasons
                .iter()
                .map(|&reason| unsuback_reason(reason))
                .collect::<Option<_>>()?,
            properties: some(&unsuback.properties, |properties| v5::UnsubAckProperties {
                reason_string: properties.reason_string().map(String::from),
                user_properties: user_properties(properties),
            }),
        }),
        _ => return None,
    })
}

/// mqttbytes has no properties instead of an empty block.
fn some<T>(properties: &Properties, convert: impl Fn(&Properties) -> T) -> Option<T> {
    (!properties.is_empty()).then(|| convert(properties))
}

fn user_properties(properties: &Properties) -> Vec<(String, String)> {
    properties
        .user_properties()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

fn protocol(connect: &Connect) -> Protocol {
    if connect.version.is_v5() {
        Protocol::V5
    } else {
        Protocol::V4
    }
}

/// mqttbytes can't tell an empty user name or password from none, and a password is text.
fn login(connect: &Connect) -> Option<(String, String)> {
    let username = connect.username.as_deref().unwrap_or_default();
    let password = connect.password.as_deref().unwrap_or_default();
    let password = String::from_utf8(password.to_vec()).expect("mqttbytes has read it as text");
    (!username.is_empty() || !password.is_empty()).then(|| (username.into(), password))
}

fn will(will: &Will) -> v5::LastWill {
    v5::LastWill {
        topic: will.topic.to_string(),
        message: will.payload.clone(),
        qos: qos(will.qos),
        retain: will.retain,
        properties: some(&will.properties, |properties| v5::WillProperties {
            delay_interval: properties.will_delay_interval(),
            payload_format_indicator: properties.payload_format_indicator().map(u8::from),
            message_expiry_interval: properties.message_expiry_interval(),
            content_type: properties.content_type().map(String::from),
            response_topic: properties.response_topic().map(String::from),
            correlation_data: properties.correlation_data().map(Bytes::copy_from_slice),
            user_properties: user_properties(properties),
        }),
    }
}

fn connect_properties(properties: &Properties) -> v5::ConnectProperties {
    v5::ConnectProperties {
        session_expiry_interval: properties.session_expiry_interval(),
        receive_maximum: properties.receive_maximum(),
        max_packet_size: properties.maximum_packet_size(),
        topic_alias_max: properties.topic_alias_maximum(),
        request_response_info: properties.request_response_information().map(u8::from),
        request_problem_info: properties.request_problem_information().map(u8::from),
        user_properties: user_properties(properties),
        authentication_method: properties.authentication_method().map(String::from),
        authentication_data: properties.authentication_data().map(Bytes::copy_from_slice),
    }
}

fn connack_properties(properties: &Properties) -> v5::ConnAckProperties {
    v5::ConnAckProperties {
        session_expiry_interval: properties.session_expiry_interval(),
        receive_max: properties.receive_maximum(),
        max_qos: properties.maximum_qos().map(|qos| qos as u8),
        retain_available: properties.retain_available().map(u8::from),
        max_packet_size: properties.maximum_packet_size(),
        assigned_client_identifier: properties.assigned_client_identifier().map(String::from),
        topic_alias_max: properties.topic_alias_maximum(),
        reason_string: properties.reason_string().map(String::from),
        user_properties: user_properties(properties),
        wildcard_subscription_available: properties.wildcard_subscription_available().map(u8::from),
        subscription_identifiers_available: properties
            .subscription_identifiers_available()
            .map(u8::from),
        shared_subscription_available: properties.shared_subscription_available().map(u8::from),
        server_keep_alive: properties.server_keep_alive(),
        response_information: properties.response_information().map(String::from),
        server_reference: properties.server_reference().map(String::from),
        authentication_method: properties.authentication_method().map(String::from),
        authentication_data: properties.authentication_data().map(Bytes::copy_from_slice),
    }
}

fn publish_properties(properties: &Properties) -> v5::PublishProperties {
    v5::PublishProperties {
        payload_format_indicator: properties.payload_format_indicator().map(u8::from),
        message_expiry_interval: properties.message_expiry_interval(),
        topic_alias: properties.topic_alias(),
        response_topic: properties.response_topic().map(String::from),
        correlation_data: properties.correlation_data().map(Bytes::copy_from_slice),
        user_properties: user_properties(properties),
        subscription_identifiers: properties
            .subscription_identifiers()
            .map(|id| id as usize)
            .collect(),
        content_type: properties.content_type().map(String::from),
    }
}

/// The filters as text. mqttbytes does not look at them, and a bad one can't be had as text from ours: `None` then.
fn subscriptions(
    filters: &SubscribeFilters,
) -> Option<Vec<(String, weir_codec::SubscriptionOptions)>> {
    filters
        .iter()
        .map(|(filter, options)| Some((filter.ok()?.to_string(), options)))
        .collect()
}

fn filters(filters: &UnsubscribeFilters) -> Option<Vec<String>> {
    filters
        .iter()
        .map(|filter| Some(filter.ok()?.to_string()))
        .collect()
}

fn subscription((path, options): (String, weir_codec::SubscriptionOptions)) -> v5::SubscribeFilter {
    v5::SubscribeFilter {
        path,
        qos: qos(options.qos),
        nolocal: options.no_local,
        preserve_retain: options.retain_as_published,
        retain_forward_rule: match options.retain_handling {
            weir_codec::RetainHandling::SendAtSubscribe => v5::RetainForwardRule::OnEverySubscribe,
            weir_codec::RetainHandling::SendIfNew => v5::RetainForwardRule::OnNewSubscribe,
            weir_codec::RetainHandling::DoNotSend => v5::RetainForwardRule::Never,
        },
    }
}

fn suback_reason(reason: ReasonCode) -> Option<v5::SubscribeReasonCode> {
    use v5::SubscribeReasonCode as Theirs;
    Some(match reason {
        ReasonCode::Success => Theirs::QoS0,
        ReasonCode::GrantedQos1 => Theirs::QoS1,
        ReasonCode::GrantedQos2 => Theirs::QoS2,
        ReasonCode::UnspecifiedError => Theirs::Unspecified,
        ReasonCode::ImplementationSpecificError => Theirs::ImplementationSpecific,
        ReasonCode::NotAuthorized => Theirs::NotAuthorized,
        ReasonCode::TopicFilterInvalid => Theirs::TopicFilterInvalid,
        ReasonCode::PacketIdentifierInUse => Theirs::PkidInUse,
        ReasonCode::QuotaExceeded => Theirs::QuotaExceeded,
        ReasonCode::SharedSubscriptionsNotSupported => Theirs::SharedSubscriptionsNotSupported,
        ReasonCode::SubscriptionIdentifiersNotSupported => Theirs::SubscriptionIdNotSupported,
        ReasonCode::WildcardSubscriptionsNotSupported => Theirs::WildcardSubscriptionsNotSupported,
        _ => return None,
    })
}

fn unsuback_reason(reason: ReasonCode) -> Option<v5::UnsubAckReason> {
    use v5::UnsubAckReason as Theirs;
    Some(match reason {
        ReasonCode::Success => Theirs::Success,
        ReasonCode::NoSubscriptionExisted => Theirs::NoSubscriptionExisted,
        ReasonCode::UnspecifiedError => Theirs::UnspecifiedError,
        ReasonCode::ImplementationSpecificError => Theirs::ImplementationSpecificError,
        ReasonCode::NotAuthorized => Theirs::NotAuthorized,
        ReasonCode::TopicFilterInvalid => Theirs::TopicFilterInvalid,
        ReasonCode::PacketIdentifierInUse => Theirs::PacketIdentifierInUse,
        _ => return None,
    })
}

fn return_code(reason: ReasonCode) -> Option<v5::ConnectReturnCode> {
    use v5::ConnectReturnCode as Theirs;
    Some(match reason {
        ReasonCode::Success => Theirs::Success,
        ReasonCode::UnspecifiedError => Theirs::UnspecifiedError,
        ReasonCode::MalformedPacket => Theirs::MalformedPacket,
        ReasonCode::ProtocolError => Theirs::ProtocolError,
        ReasonCode::ImplementationSpecificError => Theirs::ImplementationSpecificError,
        ReasonCode::UnsupportedProtocolVersion => Theirs::UnsupportedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid => Theirs::ClientIdentifierNotValid,
        ReasonCode::BadUserNameOrPassword => Theirs::BadUserNamePassword,
        ReasonCode::NotAuthorized => Theirs::NotAuthorized,
        ReasonCode::ServerUnavailable => Theirs::ServerUnavailable,
        ReasonCode::ServerBusy => Theirs::ServerBusy,
        ReasonCode::Banned => Theirs::Banned,
        ReasonCode::BadAuthenticationMethod => Theirs::BadAuthenticationMethod,
        ReasonCode::TopicNameInvalid => Theirs::TopicNameInvalid,
        ReasonCode::PacketTooLarge => Theirs::PacketTooLarge,
        ReasonCode::QuotaExceeded => Theirs::QuotaExceeded,
        ReasonCode::PayloadFormatInvalid => Theirs::PayloadFormatInvalid,
        ReasonCode::RetainNotSupported => Theirs::RetainNotSupported,
        ReasonCode::QosNotSupported => Theirs::QoSNotSupported,
        ReasonCode::UseAnotherServer => Theirs::UseAnotherServer,
        ReasonCode::ServerMoved => Theirs::ServerMoved,
        ReasonCode::ConnectionRateExceeded => Theirs::ConnectionRateExceeded,
        _ => return None,
    })
}
