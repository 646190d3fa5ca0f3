//! Packets in the fewest words, for tests.
//!
//! Each constructor gives the plainest valid packet; a test changes the fields it is about.

use bytes::Bytes;
use weir_codec::{
    Ack, Connect, Delivery, Disconnect, Packet, PacketId, Properties, Property, Publish, Qos,
    ReasonCode, Subscribe, SubscribeFilters, SubscriptionOptions, TopicName, Unsubscribe,
    UnsubscribeFilters, Utf8, Version, Will,
};

/// A clean CONNECT without a keep alive.
pub fn connect(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive_seconds: 0,
        client_id: text(client_id),
        will: None,
        username: None,
        password: None,
        properties: Properties::default(),
    }
}

/// A CONNECT for a session that outlives its connection: resumed if it is there, kept for ten minutes.
pub fn lasting(version: Version, client_id: &str) -> Connect {
    let expiry = [Property::SessionExpiryInterval(600)];
    Connect {
        clean_start: false,
        properties: if version.is_v5() {
            properties(expiry)
        } else {
            Properties::default()
        },
        ..connect(version, client_id)
    }
}

/// A will of QoS 1, not retained.
pub fn will(topic: &str, payload: &'static str) -> Will {
    Will {
        topic: topic_name(topic),
        payload: Bytes::from_static(payload.as_bytes()),
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Properties::default(),
    }
}

/// A PUBLISH; the packet id is used where the QoS has one.
pub fn publish(topic: &str, payload: impl Into<Bytes>, qos: Qos, id: u16) -> Publish {
    Publish {
        dup: false,
        retain: false,
        delivery: delivery(qos, id),
        topic: Some(topic_name(topic)),
        payload: payload.into(),
        properties: Properties::default(),
    }
}

/// A SUBSCRIBE for one filter.
pub fn subscribe(id: u16, filter: &str, options: impl Into<SubscriptionOptions>) -> Subscribe {
    Subscribe {
        packet_id: packet_id(id),
        filters: SubscribeFilters::new([(filter, options.into())]).expect("a filter"),
        properties: Properties::default(),
    }
}

/// An UNSUBSCRIBE for one filter.
pub fn unsubscribe(id: u16, filter: &str) -> Unsubscribe {
    Unsubscribe {
        packet_id: packet_id(id),
        filters: UnsubscribeFilters::new([filter]).expect("a filter"),
        properties: Properties::default(),
    }
}

/// An acknowledgement that says Success.
pub fn ack(id: u16) -> Ack {
    Ack::success(packet_id(id))
}

/// A DISCONNECT.
pub fn disconnect(reason: ReasonCode) -> Packet {
    Packet::Disconnect(Disconnect {
        reason,
        properties: Properties::default(),
    })
}

/// A block of properties.
pub fn properties<'a>(entries: impl IntoIterator<Item = Property<'a>>) -> Properties {
    entries.into_iter().collect()
}

/// A QoS with the packet id it needs.
pub fn delivery(qos: Qos, id: u16) -> Delivery {
    match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce(packet_id(id)),
        Qos::ExactlyOnce => Delivery::ExactlyOnce(packet_id(id)),
    }
}

/// A packet id that is not 0.
pub fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).expect("a packet id that is not 0")
}

/// A topic name.
pub fn topic_name(topic: &str) -> TopicName {
    TopicName::try_from(topic).expect("a topic name")
}

/// A string of the protocol.
pub fn text(text: &str) -> Utf8 {
    Utf8::try_from(text).expect("a string")
}
