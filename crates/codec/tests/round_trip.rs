//! What is encoded is decoded again as it was: every packet in every version, whole and in any pieces; frames too.

mod packets;

use bytes::{Bytes, BytesMut};
use packets::{Conversation, conversations, delivery, payload, publish, topic, versions};
use proptest::{collection::vec, option, prelude::*, sample::Index};
use weir_codec::{
    Decoder, Delivery, Output, Packet, Properties, Property, PropertyId, Publish, PublishFrame,
    PublishHead, Segment, TopicFilter, Version,
};

fn decode_all(decoder: &mut Decoder, into: &mut Vec<Packet>) {
    while let Some(packet) = decoder.next_packet().expect("valid packets") {
        into.push(packet);
    }
}

/// Cuts `bytes` at these places.
fn cut(bytes: &Bytes, places: &[Index]) -> Vec<Bytes> {
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place.index(bytes.len() + 1))
        .collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places {
        pieces.push(bytes.slice(from..place));
        from = place;
    }
    pieces.push(bytes.slice(from..));
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_packet_comes_back_as_it_was(conversation in conversations(6)) {
        let mut decoder = conversation.decoder();
        for packet in &conversation.packets {
            let mut bytes = BytesMut::new();
            packet.encode(conversation.version, &mut bytes).unwrap();
            prop_assert_eq!(packet.encoded_bytes(conversation.version), Ok(bytes.len()));
            let mut output = Output::new();
            output.encode(packet, conversation.version).unwrap();
            prop_assert_eq!(output.parts(&Segment::new()).collect::<Vec<_>>().concat(), bytes.to_vec());
            decoder.push(bytes.freeze());
            prop_assert_eq!(decoder.next_packet(), Ok(Some(packet.clone())));
            prop_assert_eq!(decoder.next_packet(), Ok(None));
        }
    }

    /// [MQTT-6.0.0-2]: where the pieces end has no meaning.
    #[test]
    fn any_split_gives_the_same_packets(
        conversation in conversations(12),
        places in vec(any::<Index>(), 0..40),
        decode_after in vec(any::<bool>(), 41),
    ) {
        let mut decoder = conversation.decoder();
        let mut decoded = Vec::new();
        for (piece, decode) in cut(&conversation.encoded(), &places).into_iter().zip(decode_after) {
            decoder.push(piece);
            if decode {
                decode_all(&mut decoder, &mut decoded);
            }
        }
        decode_all(&mut decoder, &mut decoded);
        prop_assert_eq!(decoder.buffered_bytes(), 0);
        prop_assert_eq!(decoded, conversation.packets);
    }

    #[test]
    fn a_packet_in_single_bytes_is_the_same(conversation in conversations(3)) {
        let mut decoder = conversation.decoder();
        let mut decoded = Vec::new();
        for byte in conversation.encoded() {
            decoder.push(Bytes::from(vec![byte]));
            decode_all(&mut decoder, &mut decoded);
        }
        prop_assert_eq!(decoded, conversation.packets);
    }

    /// Damaged bytes never panic, and what is accepted all the same can be written and read again.
    #[test]
    fn damaged_packets_are_refused_or_make_sense(
        conversation in conversations(3),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = conversation.encoded().to_vec();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let mut decoder = conversation.decoder();
        decoder.push(Bytes::from(bytes));
        let mut again = conversation.decoder();
        while let Ok(Some(packet)) = decoder.next_packet() {
            let version = decoder.version().unwrap();
            let mut bytes = BytesMut::new();
            prop_assert_eq!(packet.encode(version, &mut bytes), Ok(()));
            again.push(bytes.freeze());
            prop_assert_eq!(again.next_packet(), Ok(Some(packet)));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), version in versions()) {
        for mut decoder in [Decoder::server(1000), Decoder::client(version, 1000)] {
            decoder.push(Bytes::from(bytes.clone()));
            while let Ok(Some(_)) = decoder.next_packet() {}
            prop_assert!(decoder.buffered_bytes() <= bytes.len());
        }
    }

    /// A frame writes the bytes that encoding the packet would have written: the publisher's properties in their order
    /// [MQTT-3.3.2-17], [MQTT-3.3.2-18], the delivery's own expiry [MQTT-3.3.2-6] and identifiers [MQTT-3.3.4-3],
    /// [MQTT-3.3.4-4] instead of those that were there.
    #[test]
    fn a_frame_is_the_packet_encoded_once(
        version in versions(),
        published in publish(Version::V5, true),
        name in topic(),
        own in (option::of(1..=u16::MAX), option::of(any::<u32>()), vec(1..=268_435_455_u32, 0..3)),
        (dup, retain) in any::<(bool, bool)>(),
        delivery in delivery(),
        payload in payload(),
    ) {
        let Packet::Publish(Publish { properties, .. }) = published else { unreachable!() };
        let (topic_alias, message_expiry_interval, identifiers) = own;
        let head = PublishHead {
            version,
            topic: name.as_str(),
            topic_alias,
            message_expiry_interval,
            subscription_identifiers: &identifiers,
            properties: &properties,
        };
        let frame = PublishFrame::new(&head, &payload, delivery.packet_id().is_some()).unwrap();
        let mut output = Output::new();
        output.put(b"before");
        frame.write(dup, retain, delivery, &mut output);
        prop_assert_eq!(frame.wire_bytes() + 6, output.len());

        let mut expected = Properties::new();
        if version.is_v5() {
            expected.extend(topic_alias.map(Property::TopicAlias));
            expected.extend(message_expiry_interval.map(Property::MessageExpiryInterval));
            expected.extend(identifiers.iter().copied().map(Property::SubscriptionIdentifier));
            let own = [PropertyId::TopicAlias, PropertyId::MessageExpiryInterval, PropertyId::SubscriptionIdentifier];
            expected.extend(properties.iter().filter(|property| !own.contains(&property.id())));
        }
        let dup = dup && delivery != Delivery::AtMostOnce;
        let packet = Publish { dup, retain, delivery, topic: Some(name), payload, properties: expected };
        let mut bytes = BytesMut::from(&b"before"[..]);
        Packet::Publish(packet).encode(version, &mut bytes).unwrap();
        let segment = Segment::new();
        let written: Vec<&[u8]> = output.parts(&segment).collect();
        prop_assert_eq!(written.concat(), bytes.to_vec());
    }

    /// The definition of matching, said in another way: as a regular expression would.
    #[test]
    fn a_filter_made_from_a_name_matches_it(name in topic(), wild in vec(any::<bool>(), 10), cut_at in 0..10_usize) {
        let levels: Vec<&str> = name.levels().collect();
        let dollar = name.as_str().starts_with('$');
        let mut filter: Vec<&str> = levels.clone();
        for (level, _) in filter.iter_mut().zip(&wild).filter(|(_, wild)| **wild) {
            *level = "+";
        }
        if cut_at < levels.len() {
            filter.truncate(cut_at);
            filter.push("#");
        }
        let leading = filter[0] == "+" || filter[0] == "#";
        let filter = TopicFilter::try_from(filter.join("/").as_str());
        // A name of "$share/.." makes a shared subscription, which is another thing.
if let Ok(filter) = filter && filter.share_name().is_none() {
            prop_assert_eq!(filter.matches(&name), !(leading && dollar));
        }
    }
}

/// Conversations are what the tests above think they are.
#[test]
fn all_packet_types_are_tested() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..300 {
        let tree = conversations(12).new_tree(&mut runner).unwrap();
        let Conversation {
            version, packets, ..
        } = proptest::strategy::ValueTree::current(&tree);
        seen.extend(packets.iter().map(|packet| (version, packet.name())));
    }
    // AUTH is of 5.0 alone.
    assert_eq!(seen.len(), 14 + 14 + 15);
}
