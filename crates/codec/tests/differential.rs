//! The differential test: an independent implementation, mqttbytes, reads the same bytes.
//!
//! Every packet that both accept must mean the same to both: valid ones, and valid ones with a few bytes changed. Where they
//! differ for a known reason, the reason is a variant of [`Divergence`], and a test of its own shows it on a fixed packet;
//! any other difference fails. Packets that only one of the two accepts are not compared here: what mqttbytes accepts too
//! much is counted in the test of findings, what it refuses wrongly is listed there.

mod oracle;
mod packets;

use bytes::{Bytes, BytesMut};
use mqttbytes::{v4, v5};
use oracle::{read_v4, read_v5, to_v4, to_v5};
use packets::{client_packet, connect, server_packet};
use proptest::{collection::vec, prelude::*, sample::Index, strategy::ValueTree};
use weir_codec::{Decoder, Packet, ReasonCode, Version};

/// Why both accept a packet and understand it differently, or it can't be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Divergence {
    /// mqttbytes reads the CONNECT of either level with either version's reader, so a 5.0 CONNECT is read without
    /// properties and a 3.1.1 one with will properties. It does not know level 3 at all.
    LevelOfAnotherVersion,
    /// mqttbytes counts each subscription identifier one byte too long, so from the second on the last properties can leak
    /// into the payload.
    SubscriptionIdentifiersLeak,
    /// A topic filter that is not a good one: ours says what is wrong with it and not its text; mqttbytes does not check it.
    BadFilter,
}

fn divergence(ours: &Packet, version: Version) -> Option<Divergence> {
    match ours {
        Packet::Connect(connect) if connect.version != version => {
            Some(Divergence::LevelOfAnotherVersion)
        }
        Packet::Publish(publish) if publish.properties.subscription_identifiers().count() > 1 => {
            Some(Divergence::SubscriptionIdentifiersLeak)
        }
        Packet::Subscribe(subscribe)
            if subscribe.filters.iter().any(|(filter, _)| filter.is_err()) =>
        {
            Some(Divergence::BadFilter)
        }
        Packet::Unsubscribe(unsubscribe)
            if unsubscribe.filters.iter().any(|filter| filter.is_err()) =>
        {
            Some(Divergence::BadFilter)
        }
        _ => None,
    }
}

/// What ours reads from the bytes of one packet.
fn read_ours(bytes: &[u8], version: Version, from_server: bool) -> Option<Packet> {
    let connect = bytes[0] >> 4 == 1;
    let mut decoder = match from_server {
        true => Decoder::client(version, 1 << 20),
        false => Decoder::server(1 << 20),
    };
    if !from_server && !connect {
        decoder.push(Bytes::from_static(match version {
            Version::V5 => b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00",
            _ => b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
        }));
        decoder.next_packet().unwrap().unwrap();
    }
    decoder.push(Bytes::copy_from_slice(bytes));
    decoder.next_packet().ok().flatten()
}

/// Compares the two. Says whether both accepted the packet and it could be compared.
fn compare(bytes: &[u8], version: Version, from_server: bool) -> bool {
    let Some(ours) = read_ours(bytes, version, from_server) else {
        return false;
    };
    let diverges = divergence(&ours, version).is_some();
    match version {
        Version::V5 => match read_v5(bytes) {
            Ok(theirs) if !diverges => assert_eq!(to_v5(&ours), Some(theirs), "{bytes:02x?}"),
            _ => return false,
        },
        _ => match read_v4(bytes) {
            Ok(theirs) if !diverges => assert_eq!(to_v4(&ours), Some(theirs), "{bytes:02x?}"),
            _ => return false,
        },
    }
    true
}

fn encoded(packet: &Packet, version: Version) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.encode(version, &mut bytes).expect("a valid packet");
    bytes.to_vec()
}

/// A packet with the version and the direction it is for.
fn any_packet() -> impl Strategy<Value = (Version, bool, Packet)> {
    (
        prop_oneof![Just(Version::V3_1_1), Just(Version::V5)],
        0..5_u8,
    )
        .prop_flat_map(|(version, kind)| {
            let packet = match kind {
                0 => connect(version).boxed(),
                1 | 2 => client_packet(version),
                _ => server_packet(version),
            };
            packet.prop_map(move |packet| (version, kind > 2, packet))
        })
}

/// Valid packets that mqttbytes refuses, by the letter of its source.
fn refused_by_mqttbytes(packet: &Packet, version: Version) -> bool {
    match packet {
        Packet::Auth(_) => true,
        // A password is read as text.
        Packet::Connect(connect) => connect
            .password
            .as_ref()
            .is_some_and(|password| std::str::from_utf8(password).is_err()),
        // The short forms, and 0x8C, which table 2-6 of the specification has for DISCONNECT and table 3-10 has not.
        Packet::Disconnect(disconnect) => {
            let unknown = disconnect.reason == ReasonCode::BadAuthenticationMethod;
            version.is_v5() && (disconnect.properties.is_empty() || unknown)
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn valid_packets_mean_the_same_to_both((version, from_server, packet) in any_packet()) {
        let compared = compare(&encoded(&packet, version), version, from_server);
        let expected = divergence(&packet, version).is_none() && !refused_by_mqttbytes(&packet, version);
        prop_assert_eq!(compared, expected, "{:?}", packet);
    }

    #[test]
    fn damaged_packets_that_both_accept_mean_the_same_to_both(
        (version, from_server, packet) in any_packet(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&packet, version);
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        compare(&bytes, version, from_server);
    }
}

/// The damaged packets above are worth their time: many of them are accepted by both.
#[test]
fn damage_often_leaves_a_packet_that_both_accept() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (any_packet(), any::<Index>(), any::<u8>());
    let mut compared = 0;
    for _ in 0..1000 {
        let ((version, from_server, packet), place, value) =
            strategy.new_tree(&mut runner).unwrap().current();
        let mut bytes = encoded(&packet, version);
        let place = place.index(bytes.len());
        bytes[place] = value;
        compared += usize::from(compare(&bytes, version, from_server));
    }
    assert!(compared > 200, "{compared} of 1000");
}

/// [`Divergence::LevelOfAnotherVersion`]
#[test]
fn mqttbytes_reads_a_connect_with_the_reader_of_another_version() {
    let connect = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03abc";
    let Ok(v4::Packet::Connect(theirs)) = read_v4(connect) else {
        panic!("accepted")
    };
    assert_eq!(theirs.client_id, "");
    let Some(Packet::Connect(ours)) = read_ours(connect, Version::V3_1_1, false) else {
        panic!("accepted")
    };
    assert_eq!(
        (ours.version, ours.client_id.as_str()),
        (Version::V5, "abc")
    );
    assert_eq!(
        divergence(&Packet::Connect(ours), Version::V3_1_1),
        Some(Divergence::LevelOfAnotherVersion)
    );
}

/// [`Divergence::SubscriptionIdentifiersLeak`]
#[test]
fn mqttbytes_leaks_a_third_subscription_identifier_into_the_payload() {
    let publish = b"\x30\x0b\x00\x01a\x06\x0b\x01\x0b\x02\x0b\x03p";
    let Ok(v5::Packet::Publish(theirs)) = read_v5(publish) else {
        panic!("accepted")
    };
    assert_eq!(theirs.payload, &b"\x0b\x03p"[..]);
    let Some(Packet::Publish(ours)) = read_ours(publish, Version::V5, true) else {
        panic!("accepted")
    };
    assert_eq!(ours.payload, &b"p"[..]);
    assert!(ours.properties.subscription_identifiers().eq([1, 2, 3]));
    assert_eq!(
        divergence(&Packet::Publish(ours), Version::V5),
        Some(Divergence::SubscriptionIdentifiersLeak)
    );
}

/// [`Divergence::BadFilter`]
#[test]
fn mqttbytes_does_not_look_at_filters() {
    let subscribe = b"\x82\x07\x00\x01\x00\x02a#\x00";
    assert!(read_v4(subscribe).is_ok());
    let ours = read_ours(subscribe, Version::V3_1_1, false).expect("accepted");
    assert_eq!(
        divergence(&ours, Version::V3_1_1),
        Some(Divergence::BadFilter)
    );
}
