//! As much of MQTT 3.1.1 and 5.0 as load needs: packets as ready-made bytes, and incoming ones cut apart.
//!
//! Nothing of Weir is used here, so that a fault of its codec can't hide on both sides. Malformed input ends the
//! measurement, it is not explained.

/// The protocol level in CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    V3_1_1 = 4,
    V5 = 5,
}

/// The first byte of the packets that matter here, without flags.
pub(crate) mod kind {
    pub(crate) const CONNACK: u8 = 0x20;
    pub(crate) const PUBLISH: u8 = 0x30;
    pub(crate) const PUBACK: u8 = 0x40;
    pub(crate) const PUBREC: u8 = 0x50;
    pub(crate) const PUBREL: u8 = 0x62;
    pub(crate) const PUBCOMP: u8 = 0x70;
    pub(crate) const SUBACK: u8 = 0x90;
}

/// DISCONNECT, normal, in every version.
pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Topic Alias Maximum, as offered here and looked for in CONNACK.
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;

/// Longer than any measurement; rumqttd refuses 0.
const KEEP_ALIVE_SECONDS: u16 = 600;

/// CONNECT. In 5.0 an unclean session lasts for an hour and topic aliases are welcome.
pub(crate) fn connect(level: Level, client_id: &str, clean: bool) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT".to_vec();
    body.push(level as u8);
    body.push(if clean { 2 } else { 0 });
    body.extend_from_slice(&KEEP_ALIVE_SECONDS.to_be_bytes());
    if level == Level::V5 {
        let mut properties = vec![TOPIC_ALIAS_MAXIMUM, 0, 16];
        if !clean {
            properties.extend_from_slice(&[0x11, 0, 0, 0x0e, 0x10]);
        }
        body.push(properties.len() as u8);
        body.extend_from_slice(&properties);
    }
    field(&mut body, client_id.as_bytes());
    packet(0x10, &body)
}

/// SUBSCRIBE to all the filters at once; in 5.0 with a subscription identifier.
pub(crate) fn subscribe<'a>(
    level: Level,
    filters: impl Iterator<Item = &'a str>,
    qos: u8,
) -> Vec<u8> {
    let mut body = vec![0, 1];
    if level == Level::V5 {
        body.extend_from_slice(&[2, 0x0b, 7]);
    }
    for filter in filters {
        field(&mut body, filter.as_bytes());
        body.push(qos);
    }
    packet(0x82, &body)
}

/// An acknowledgement: `first` says which.
pub(crate) fn ack(first: u8, packet_id: u16) -> [u8; 4] {
    let id = packet_id.to_be_bytes();
    [first, 2, id[0], id[1]]
}

/// A PUBLISH to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) topic: &'a str,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) packet_id: u16,
    /// The properties of 5.0, encoded, without their length.
    pub(crate) properties: Option<&'a [u8]>,
}

impl Publish<'_> {
    /// Appends the packet with a payload of `payload_bytes` that begins with `start`.
    pub(crate) fn write(&self, start: &[u8], payload_bytes: usize, out: &mut Vec<u8>) {
        let payload_bytes = payload_bytes.max(start.len());
        let id_bytes = if self.qos > 0 { 2 } else { 0 };
        let properties_bytes = self.properties.map_or(0, |bytes| bytes.len() + 1);
        out.push(0x30 | self.qos << 1 | u8::from(self.retain));
        length(
            out,
            2 + self.topic.len() + id_bytes + properties_bytes + payload_bytes,
        );
        field(out, self.topic.as_bytes());
        if self.qos > 0 {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if let Some(properties) = self.properties {
            out.push(properties.len() as u8);
            out.extend_from_slice(properties);
        }
        out.extend_from_slice(start);
        out.resize(out.len() + payload_bytes - start.len(), b'x');
    }
}

/// A PUBLISH that came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) packet_id: u16,
    pub(crate) payload: &'a [u8],
}

/// Takes a PUBLISH apart; `None` if it is too short to be one.
pub(crate) fn incoming(level: Level, first: u8, body: &[u8]) -> Option<Incoming<'_>> {
    let (_, mut rest) = text(body)?;
    let qos = first >> 1 & 3;
    let mut packet_id = 0;
    if qos > 0 {
        packet_id = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
        rest = &rest[2..];
    }
    if level == Level::V5 {
        let (properties_bytes, after) = varint(rest)?;
        rest = after.get(properties_bytes..)?;
    }
    Some(Incoming {
        qos,
        retain: first & 1 != 0,
        packet_id,
        payload: rest,
    })
}

/// The Topic Alias Maximum of a CONNACK; 0 if it has none.
pub(crate) fn topic_alias_maximum(level: Level, connack: &[u8]) -> u16 {
    if level != Level::V5 {
        return 0;
    }
    let block = connack.get(2..).and_then(varint);
    let mut rest = block.map_or(&[][..], |(_, properties)| properties);
    while let Some((id, value)) = rest.split_first() {
        let value_bytes = match *id {
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            0x13 | 0x21 | TOPIC_ALIAS_MAXIMUM => 2,
            0x11 | 0x27 => 4,
            0x26 => text(value).map_or(0, |(key, rest)| {
                4 + key.len() + text(rest).map_or(0, |(text, _)| text.len())
            }),
            _ => text(value).map_or(0, |(text, _)| 2 + text.len()),
        };
        match (*id, value) {
            (TOPIC_ALIAS_MAXIMUM, [high, low, ..]) => return u16::from_be_bytes([*high, *low]),
            _ => rest = value.get(value_bytes..).unwrap_or_default(),
        }
    }
    0
}

/// The first whole packet: first byte, body, and what is behind it.
pub(crate) fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (body_bytes, rest) = varint(rest)?;
    (rest.len() >= body_bytes).then(|| {
        let (body, after) = rest.split_at(body_bytes);
        (*first, body, after)
    })
}

/// A packet: first byte, remaining length, body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    length(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

fn length(out: &mut Vec<u8>, mut left: usize) {
    loop {
        let more = if left > 127 { 0x80 } else { 0 };
        out.push((left & 0x7f) as u8 | more);
        left >>= 7;
        if left == 0 {
            break;
        }
    }
}

fn field(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    body.extend_from_slice(bytes);
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [high, low, rest @ ..] = bytes else {
        return None;
    };
    rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for index in 0..4 {
        let byte = *bytes.get(index)?;
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_read_as_it_was_written() {
        for (level, properties) in [(Level::V3_1_1, None), (Level::V5, Some(&[0x01, 1][..]))] {
            let publish = Publish {
                topic: "a/b",
                qos: 1,
                retain: true,
                packet_id: 7,
                properties,
            };
            let mut bytes = Vec::new();
            publish.write(b"start", 200, &mut bytes);
            let (first, body, after) = split(&bytes).unwrap();
            assert!(after.is_empty());
            let read = incoming(level, first, body).unwrap();
            assert_eq!((read.qos, read.retain, read.packet_id), (1, true, 7));
            assert_eq!(read.payload.len(), 200);
            assert!(read.payload.starts_with(b"startx"));
            assert!(split(&bytes[..bytes.len() - 1]).is_none());
        }
    }

    #[test]
    fn the_topic_alias_maximum_is_found_behind_other_properties() {
        let connack = b"\x00\x00\x0d\x12\x00\x03abc\x24\x01\x22\x00\x0a\x2a\x01";
        assert_eq!(topic_alias_maximum(Level::V5, connack), 10);
        assert_eq!(topic_alias_maximum(Level::V5, b"\x00\x00\x00"), 0);
    }
}
