//! From wishes to packets.
//!
//! Every payload begins with the number of its message, so that whoever sees it knows which one it is; an empty payload,
//! which deletes a retained message, is known by its topic alone.

use crate::message::Message;
use crate::script::{ConnectWish, User};
use std::collections::BTreeMap;
use weir_codec::{
    Auth, Connect, Delivery, Packet, Properties, Property, Publish, ReasonCode, Utf8, Version, Will,
};

/// The only method of enhanced authentication there is.
pub(crate) const METHOD: &str = "steps";

/// The CONNECT of a wish.
pub(crate) fn connect(name: &str, wish: &ConnectWish, will: Option<&Message>) -> Connect {
    let is_v5 = wish.version == Version::V5;
    let anonymous = wish.anonymous && (is_v5 || wish.clean_start) && wish.version != Version::V3_1;
    let name = if anonymous { "" } else { name };
    let username =
        Some(name_of(wish.user)).filter(|_| !is_in_steps(wish) && wish.user != User::Plain);
    Connect {
        version: wish.version,
        clean_start: wish.clean_start,
        keep_alive_seconds: wish.keep_alive_seconds,
        client_id: utf8(name),
        will: will.map(|message| Will {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            qos: message.qos,
            retain: message.retain,
            properties: if is_v5 {
                will_properties(message, wish)
            } else {
                Properties::default()
            },
        }),
        username: username.map(utf8),
        password: None,
        properties: if is_v5 {
            connect_properties(wish)
        } else {
            Properties::default()
        },
    }
}

/// Whether authentication goes in steps.
pub(crate) fn is_in_steps(wish: &ConnectWish) -> bool {
    wish.in_steps && wish.version == Version::V5
}

/// What this user is called.
pub(crate) const fn name_of(user: User) -> &'static str {
    match user {
        User::Plain => "plain",
        User::Slow => "slow",
        User::Never => "never",
        User::Refused => "refused",
        User::Limited => "limited",
        User::Token => "token",
        User::Owner => "owner",
        User::File => "file",
    }
}

/// An AUTH.
pub(crate) fn auth(reason: ReasonCode, method: &str, data: &str) -> Packet {
    let mut properties = Properties::default();
    properties.push(Property::AuthenticationMethod(method));
    properties.push(Property::AuthenticationData(data.as_bytes()));
    Packet::Auth(Auth { reason, properties })
}

/// A PUBLISH of a message.
pub(crate) fn publish(message: &Message, delivery: Delivery, version: Version) -> Publish {
    Publish {
        dup: false,
        retain: message.retain,
        delivery,
        topic: Some(message.topic.clone()),
        payload: message.payload.clone(),
        properties: match version {
            Version::V5 => publish_properties(message),
            _ => Properties::default(),
        },
    }
}

/// Uses a topic alias: one that is set already stands for the topic, a new one is set.
pub(crate) fn alias(
    publish: &mut Publish,
    message: &Message,
    aliases: &mut BTreeMap<&'static str, u16>,
    next: u16,
    maximum: u16,
) {
    if let Some(known) = aliases.get(message.topic_text) {
        publish.topic = None;
        publish.properties.push(Property::TopicAlias(*known));
    } else if next <= maximum {
        aliases.insert(message.topic_text, next);
        publish.properties.push(Property::TopicAlias(next));
    }
}

/// The number of the message that a payload belongs to.
pub(crate) fn payload_id(payload: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(payload).ok()?;
    text.strip_prefix('m')?.split(' ').next()?.parse().ok()
}

fn utf8(text: &str) -> Utf8 {
    Utf8::try_from(text).expect("names have no control characters")
}

fn connect_properties(wish: &ConnectWish) -> Properties {
    let mut properties = Properties::default();
    if wish.expiry_seconds > 0 {
        properties.push(Property::SessionExpiryInterval(wish.expiry_seconds));
    }
    // A Receive Maximum of 0 is not expressible, which leaves it out.
    properties.push(Property::ReceiveMaximum(wish.receive_maximum));
    properties.push(Property::MaximumPacketSize(wish.max_packet_bytes));
    if is_in_steps(wish) {
        properties.push(Property::AuthenticationMethod(METHOD));
        properties.push(Property::AuthenticationData(name_of(wish.user).as_bytes()));
    }
    if wish.topic_alias_maximum > 0 {
        properties.push(Property::TopicAliasMaximum(wish.topic_alias_maximum));
    }
    properties
}

fn publish_properties(message: &Message) -> Properties {
    let mut properties = message.properties.clone();
    if let Some(seconds) = message.life_seconds {
        properties.push(Property::MessageExpiryInterval(seconds));
    }
    properties
}

fn will_properties(message: &Message, wish: &ConnectWish) -> Properties {
    let mut properties = publish_properties(message);
    let delay = wish.will.as_ref().map_or(0, |will| will.delay_seconds);
    if delay > 0 {
        properties.push(Property::WillDelayInterval(delay));
    }
    properties
}
