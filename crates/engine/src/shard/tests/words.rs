//! The words of an engine script: packets out of them, and packets into them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use weir_codec::*;

pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

pub(super) fn version_word(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "v3",
        Version::V3_1_1 => "v4",
        Version::V5 => "v5",
    }
}

/// The words of one action.
pub(super) struct Words<'a> {
    plain: Vec<&'a str>,
    keyed: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut words = Self {
            plain: Vec::new(),
            keyed: BTreeMap::new(),
        };
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => drop(words.keyed.insert(key, value)),
                None => words.plain.push(word),
            }
        }
        words
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    fn number<T: core::str::FromStr>(&self, key: &str) -> Option<T> {
        self.keyed.get(key).map(|value| value.parse().ok().unwrap())
    }

    fn qos(&self) -> Qos {
        match (self.has("q1"), self.has("q2")) {
            (true, _) => Qos::AtLeastOnce,
            (_, true) => Qos::ExactlyOnce,
            _ => Qos::AtMostOnce,
        }
    }

    fn reason(&self) -> ReasonCode {
        let code = self.plain.iter().find_map(|word| word.strip_prefix("0x"));
        code.map_or(ReasonCode::Success, |code| {
            ReasonCode::from_u8(u8::from_str_radix(code, 16).unwrap()).unwrap()
        })
    }

    fn id(&self) -> PacketId {
        PacketId::new(self.number("id").unwrap_or(1)).unwrap()
    }

    fn properties(&self) -> Properties {
        let mut properties = Properties::default();
        for (key, value) in &self.keyed {
            let number = || value.parse::<u32>().unwrap();
            match *key {
                "sid" => properties.push(Property::SubscriptionIdentifier(number())),
                "alias" => properties.push(Property::TopicAlias(value.parse().unwrap())),
                "aliases" => properties.push(Property::TopicAliasMaximum(value.parse().unwrap())),
                "receive" => properties.push(Property::ReceiveMaximum(value.parse().unwrap())),
                "max" => properties.push(Property::MaximumPacketSize(number())),
                "life" => properties.push(Property::MessageExpiryInterval(number())),
                "expiry" => properties.push(Property::SessionExpiryInterval(number())),
                "user" => {
                    for pair in value.split(',') {
                        let (name, value) = pair.split_once(':').unwrap();
                        let _ = properties.push(Property::UserProperty(name, value));
                    }
                    true
                }
                "method" => properties.push(Property::AuthenticationMethod(value)),
                "auth" => properties.push(Property::AuthenticationData(value.as_bytes())),
                "format" => properties.push(Property::PayloadFormatIndicator(*value == "1")),
                "type" => properties.push(Property::ContentType(value)),
                "reply" => properties.push(Property::ResponseTopic(value)),
                "data" => properties.push(Property::CorrelationData(value.as_bytes())),
                "reqresp" => properties.push(Property::RequestResponseInformation(true)),
                "noproblem" => properties.push(Property::RequestProblemInformation(false)),
                _ => true,
            };
        }
        properties
    }
}

pub(super) fn parse(name: &str, text: &str, version: Option<Version>) -> Packet {
    let (packet, rest) = text.split_once(' ').unwrap_or((text, ""));
    let words = Words::of(rest);
    let is_v5 = version == Some(Version::V5);
    let ack = || Ack {
        packet_id: words.id(),
        reason: words.reason(),
        properties: Properties::default(),
    };
    match packet {
        "CONNECT" => Packet::Connect(Box::new(connect(name, &words))),
        "PUBLISH" => Packet::Publish(publish(&words)),
        "PUBACK" => Packet::PubAck(ack()),
        "PUBREC" => Packet::PubRec(ack()),
        "PUBREL" => Packet::PubRel(ack()),
        "PUBCOMP" => Packet::PubComp(ack()),
        "PINGREQ" => Packet::PingReq,
        "DISCONNECT" => Packet::Disconnect(Disconnect {
            reason: words.reason(),
            properties: words.properties(),
        }),
        "AUTH" => Packet::Auth(Auth {
            reason: words.reason(),
            properties: words.properties(),
        }),
        "SUBSCRIBE" => Packet::Subscribe(Subscribe {
            packet_id: words.id(),
            filters: SubscribeFilters::new(
                filters(&words).map(|filter| (filter, options(&words, is_v5))),
            )
            .unwrap(),
            properties: words.properties(),
        }),
        "UNSUBSCRIBE" => Packet::Unsubscribe(Unsubscribe {
            packet_id: words.id(),
            filters: UnsubscribeFilters::new(filters(&words)).unwrap(),
            properties: words.properties(),
        }),
        _ => panic!("what is {packet}?"),
    }
}

/// Filters come first, separated by commas.
fn filters<'a>(words: &Words<'a>) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
    words.plain[0].split(',')
}

fn options(words: &Words<'_>, is_v5: bool) -> SubscriptionOptions {
    let options = SubscriptionOptions {
        qos: words.qos(),
        no_local: words.has("nolocal"),
        retain_as_published: words.has("rap"),
        retain_handling: match words.number("rh") {
            Some(1) => RetainHandling::SendIfNew,
            Some(2) => RetainHandling::DoNotSend,
            _ => RetainHandling::SendAtSubscribe,
        },
    };
    if is_v5 {
        options
    } else {
        SubscriptionOptions {
            qos: options.qos,
            ..Default::default()
        }
    }
}

pub(super) fn connect(name: &str, words: &Words<'_>) -> Connect {
    let version = match (words.has("v3"), words.has("v4")) {
        (true, _) => Version::V3_1,
        (_, true) => Version::V3_1_1,
        _ => Version::V5,
    };
    let mut will_properties = Properties::default();
    if let Some(delay) = words.number("will-delay") {
        will_properties.push(Property::WillDelayInterval(delay));
    }
    for pair in words
        .keyed
        .get("will-user")
        .into_iter()
        .flat_map(|user| user.split(','))
    {
        let (name, value) = pair.split_once(':').unwrap();
        will_properties.push(Property::UserProperty(name, value));
    }
    Connect {
        version,
        clean_start: !words.has("dirty"),
        keep_alive_seconds: words.number("keep").unwrap_or(0),
        client_id: match words.keyed.get("as") {
            Some(&"-") => Utf8::default(),
            Some(other) => Utf8::try_from(*other).unwrap(),
            None => Utf8::try_from(name).unwrap(),
        },
        will: words.keyed.get("will").map(|topic| Will {
            topic: TopicName::try_from(*topic).unwrap(),
            payload: Bytes::from_static(b"gone"),
            qos: words.qos(),
            retain: words.has("will-retain"),
            properties: will_properties,
        }),
        username: words
            .keyed
            .get("user-name")
            .map(|name| Utf8::try_from(*name).unwrap()),
        password: None,
        properties: if version == Version::V5 {
            words.properties()
        } else {
            Properties::default()
        },
    }
}

fn publish(words: &Words<'_>) -> Publish {
    let topic = words.plain[0];
    let payload = words.plain[1];
    Publish {
        dup: words.has("dup"),
        retain: words.has("retain"),
        delivery: match words.qos() {
            Qos::AtMostOnce => Delivery::AtMostOnce,
            Qos::AtLeastOnce => Delivery::AtLeastOnce(words.id()),
            Qos::ExactlyOnce => Delivery::ExactlyOnce(words.id()),
        },
        topic: (topic != "-").then(|| TopicName::try_from(topic).unwrap()),
        payload: if payload == "-" {
            Bytes::new()
        } else {
            Bytes::copy_from_slice(payload.as_bytes())
        },
        properties: words.properties(),
    }
}

/// A packet that a client was sent, in the words of a script.
pub(super) fn text(packet: &Packet) -> String {
    let mut words = alloc::vec![packet.name().to_string()];
    match packet {
        Packet::ConnAck(connack) => {
            reason(&mut words, connack.reason);
            flag(&mut words, connack.session_present, "present");
            properties(&mut words, &connack.properties);
        }
        Packet::Publish(publish) => publish_text(&mut words, publish),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            words.push(format!("id={}", ack.packet_id.get()));
            reason(&mut words, ack.reason);
            properties(&mut words, &ack.properties);
        }
        Packet::SubAck(SubAck {
            packet_id, reasons, ..
        })
        | Packet::UnsubAck(UnsubAck {
            packet_id, reasons, ..
        }) => {
            // Scripts that don't care use 1.
            if packet_id.get() != 1 {
                words.push(format!("id={}", packet_id.get()));
            }
            words.extend(
                reasons
                    .iter()
                    .map(|reason| format!("{:02x}", *reason as u8)),
            );
        }
        Packet::Disconnect(disconnect) => {
            reason(&mut words, disconnect.reason);
            properties(&mut words, &disconnect.properties);
        }
        Packet::Auth(auth) => {
            reason(&mut words, auth.reason);
            properties(&mut words, &auth.properties);
        }
        _ => {}
    }
    words.join(" ")
}

fn publish_text(words: &mut Vec<String>, publish: &Publish) {
    words.push(
        publish
            .topic
            .as_ref()
            .map_or("-", |topic| topic.as_str())
            .to_string(),
    );
    let payload = core::str::from_utf8(&publish.payload).unwrap();
    words.push(if payload.is_empty() { "-" } else { payload }.to_string());
    if let Some(id) = publish.delivery.packet_id() {
        words.push(format!("q{} id={}", publish.delivery.qos() as u8, id.get()));
    }
    flag(words, publish.dup, "dup");
    flag(words, publish.retain, "retain");
    properties(words, &publish.properties);
}

pub(super) fn told_why(packet: &Packet) -> bool {
    let (Packet::ConnAck(ConnAck { properties, .. })
    | Packet::SubAck(SubAck { properties, .. })
    | Packet::Disconnect(Disconnect { properties, .. })) = packet
    else {
        return false;
    };
    properties.reason_string().is_some()
}

fn flag(words: &mut Vec<String>, set: bool, word: &str) {
    if set {
        words.push(word.to_string());
    }
}

fn reason(words: &mut Vec<String>, reason: ReasonCode) {
    if reason != ReasonCode::Success {
        words.push(format!("0x{:02x}", reason as u8));
    }
}

/// Properties, without those that every CONNACK and DISCONNECT of ours carries.
fn properties(words: &mut Vec<String>, properties: &Properties) {
    for property in properties.iter() {
        words.push(match property {
            Property::ReceiveMaximum(_)
            | Property::MaximumPacketSize(_)
            | Property::TopicAliasMaximum(_) => continue,
            Property::ReasonString(_) => continue,
            Property::SubscriptionIdentifier(id) => format!("sid={id}"),
            Property::TopicAlias(alias) => format!("alias={alias}"),
            Property::MessageExpiryInterval(seconds) => format!("life={seconds}"),
            Property::SessionExpiryInterval(seconds) => format!("expiry={seconds}"),
            Property::ServerKeepAlive(seconds) => format!("keep={seconds}"),
            Property::UserProperty(name, value) => format!("user={name}:{value}"),
            Property::AssignedClientIdentifier(_) => "assigned".to_string(),
            Property::PayloadFormatIndicator(text) => format!("format={}", u8::from(text)),
            Property::ContentType(text) => format!("type={text}"),
            Property::ResponseTopic(text) => format!("reply={text}"),
            Property::CorrelationData(data) => {
                format!("data={}", core::str::from_utf8(data).unwrap())
            }
            Property::AuthenticationMethod(method) => format!("method={method}"),
            Property::AuthenticationData(data) => {
                format!("auth={}", core::str::from_utf8(data).unwrap())
            }
            Property::ResponseInformation(text) => format!("response={text}"),
            other => format!("{other:?}"),
        });
    }
}
