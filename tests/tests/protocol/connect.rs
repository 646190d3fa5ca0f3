//! CONNECT and CONNACK: who is accepted, who is refused, and that the refusal can be seen.

use weir_codec::{Connect, Packet, Property, Qos, ReasonCode, Utf8, Version};
use weir_tests::packets::{connect, properties};
use weir_tests::{Broker, Client, Code, Wire};

#[tokio::test]
async fn every_version_is_accepted_with_a_new_session() {
    let broker = Broker::start();
    for version in Version::ALL {
        let client = Client::connect(&broker, connect(version, "fresh")).await;
        assert!(!client.connack().session_present, "{version:?}");
        assert_eq!(client.leave().await.code, 1000);
    }
}

#[tokio::test]
async fn an_unsupported_version_is_refused_by_connack_then_close() {
    let broker = Broker::start();
    for level in [0, 2, 6, 255] {
        let mut wire = Wire::upgraded(&broker).await;
        let mut bytes = b"\x10\x0d\x00\x04MQTT\x00\x02\x00\x00\x00\x01x".to_vec();
        bytes[8] = level;
        wire.binary(&bytes).await;
        let connack = wire.next_frame().await.payload;
        let refusals = [&b"\x20\x02\x00\x01"[..], b"\x20\x03\x00\x84\x00"];
        assert!(
            refusals.contains(&connack.as_slice()),
            "{level}: {connack:02x?}"
        );
        let (code, reason) = wire.closed().await;
        assert!([1002, 1008].contains(&code), "{level}: {code} {reason}");
        assert!(reason.contains("not supported"), "{level}: {reason}");
    }
}

#[tokio::test]
async fn an_empty_client_id_needs_a_clean_session_in_3_1_1_and_is_never_valid_in_3_1() {
    let broker = Broker::start();
    let keep = |version| Connect {
        clean_start: false,
        ..connect(version, "")
    };
    for refused in [
        keep(Version::V3_1_1),
        keep(Version::V3_1),
        connect(Version::V3_1, ""),
    ] {
        let (connack, close) = Client::refused(&broker, refused).await;
        assert_eq!(connack.reason, ReasonCode::ClientIdentifierNotValid);
        assert_eq!(close.code, 1008);
        assert!(
            close.reason.contains("client identifier"),
            "{}",
            close.reason
        );
    }
    Client::connect(&broker, connect(Version::V3_1_1, "")).await;
}

#[tokio::test]
async fn an_empty_client_id_is_assigned_one_of_its_own_in_5_0() {
    let broker = Broker::start();
    let first = Client::v5(&broker, "").await;
    let second = Client::v5(&broker, "").await;
    let id = |client: &Client| {
        client
            .connack()
            .properties
            .assigned_client_identifier()
            .map(str::to_owned)
    };
    assert!(id(&first).is_some_and(|id| !id.is_empty()));
    assert_ne!(id(&first), id(&second));
    let named = Client::v5(&broker, "named").await;
    assert_eq!(id(&named), None);
}

#[tokio::test]
async fn an_authentication_method_is_refused_where_there_is_none() {
    let broker = Broker::start();
    let method = [Property::AuthenticationMethod("SCRAM-SHA-256")];
    let request = Connect {
        properties: properties(method),
        ..connect(Version::V5, "scram")
    };
    let (connack, close) = Client::refused(&broker, request).await;
    assert_eq!(connack.reason, ReasonCode::BadAuthenticationMethod);
    assert_eq!(close.code, 1008);
}

#[tokio::test]
async fn nobody_is_accepted_where_anonymous_is_switched_off() {
    let broker = Broker::start_with("[auth]\nanonymous = \"nowhere\"");
    for version in Version::ALL {
        let named = Connect {
            username: Some(Utf8::from_static("user")),
            password: Some(b"\x00\xffnot text"[..].into()),
            ..connect(version, "refused")
        };
        let (connack, close) = Client::refused(&broker, named).await;
        assert_eq!(connack.reason, ReasonCode::NotAuthorized, "{version:?}");
        assert_eq!(close.code, 1008);
        assert!(close.reason.contains("not authorized"), "{}", close.reason);
    }
    broker.logs("refused");
}

#[tokio::test]
async fn connack_tells_the_limits() {
    let broker = Broker::start();
    let client = Client::v5(&broker, "limits").await;
    let told = &client.connack().properties;
    assert_eq!(told.receive_maximum(), Some(4096));
    assert_eq!(told.maximum_packet_size(), Some(1 << 20));
    assert_eq!(told.topic_alias_maximum(), Some(32));
}

#[tokio::test]
async fn the_first_packet_has_to_be_connect() {
    let broker = Broker::start();
    for packet in [&b"\xc0\x00"[..], b"\x30\x03\x00\x01t", b"\xe0\x00"] {
        let mut wire = Wire::upgraded(&broker).await;
        wire.binary(packet).await;
        let (code, reason) = wire.closed().await;
        assert_eq!(code, 1002, "{reason}");
        assert!(!reason.is_empty());
        wire.ended().await;
    }
}

#[tokio::test]
async fn a_second_connect_is_a_protocol_error() {
    let broker = Broker::start();
    let mut client = Client::v5(&broker, "twice").await;
    client
        .send(Packet::Connect(Box::new(connect(Version::V5, "twice"))))
        .await;
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::ProtocolError, Code(1002))
    );
    let mut client = Client::connect(&broker, connect(Version::V3_1_1, "twice")).await;
    client
        .send(Packet::Connect(Box::new(connect(Version::V3_1_1, "twice"))))
        .await;
    assert_eq!(client.closed().await.code, 1002);
}

#[tokio::test]
async fn malformed_packets_end_5_0_with_a_disconnect_and_3_1_1_with_a_close() {
    let broker = Broker::start();
    let malformed: [(&str, &[u8]); 6] = [
        ("a reserved packet type", b"\x00\x00"),
        ("reserved flags", b"\xc1\x00"),
        ("QoS 3", b"\x36\x06\x00\x01t\x00\x01\x00"),
        ("a topic that is not UTF-8", b"\x30\x05\x00\x02\xff\xfe\x00"),
        (
            "a remaining length of five bytes",
            b"\x30\xff\xff\xff\xff\x01",
        ),
        (
            "a SUBSCRIBE without flags",
            b"\x80\x07\x00\x01\x00\x00\x01t\x00",
        ),
    ];
    for (what, bytes) in malformed {
        let mut client = Client::v5(&broker, "malformed").await;
        client.send_bytes(bytes).await;
        assert_eq!(
            client.disconnected().await,
            (ReasonCode::MalformedPacket, Code(1002)),
            "{what}"
        );
        let mut client = Client::connect(&broker, connect(Version::V3_1_1, "malformed")).await;
        client.send_bytes(bytes).await;
        let close = client.closed().await;
        assert_eq!(close.code, 1002, "{what}");
        assert!(!close.reason.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn packets_that_only_a_server_sends_are_a_protocol_error() {
    let broker = Broker::start();
    for bytes in [
        &b"\x20\x03\x00\x00\x00"[..],
        b"\x90\x04\x00\x01\x00\x00",
        b"\xd0\x00",
    ] {
        let mut client = Client::v5(&broker, "backwards").await;
        client.send_bytes(bytes).await;
        assert_eq!(
            client.disconnected().await,
            (ReasonCode::ProtocolError, Code(1002)),
            "{bytes:02x?}"
        );
    }
}

#[tokio::test]
async fn packets_sent_right_behind_connect_are_not_lost() {
    let broker = Broker::start();
    let mut wire = Wire::upgraded(&broker).await;
    let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01x";
    wire.binary(
        &[
            &connect[..],
            b"\x82\x06\x00\x01\x00\x01t\x01",
            b"\x32\x07\x00\x01t\x00\x02ok",
        ]
        .concat(),
    )
    .await;
    let mut received = Vec::new();
    while received.len() < 4 + 5 + 4 + 9 {
        received.extend(wire.next_frame().await.payload);
    }
    assert!(received.starts_with(b"\x20\x02\x00\x00"), "{received:02x?}");
    assert!(
        received
            .windows(5)
            .any(|packet| packet == b"\x90\x03\x00\x01\x01"),
        "{received:02x?}"
    );
    assert!(
        received
            .windows(4)
            .any(|packet| packet == b"\x40\x02\x00\x02"),
        "{received:02x?}"
    );
    assert!(
        received.windows(2).any(|payload| payload == b"ok"),
        "{received:02x?}"
    );
    wire.binary(b"\xe0\x00").await;
    assert_eq!(wire.closed().await.0, 1000);
}

#[tokio::test]
async fn response_information_is_given_to_who_asks() {
    let broker = Broker::start();
    let asking = [Property::RequestResponseInformation(true)];
    let asking = Connect {
        properties: properties(asking),
        ..connect(Version::V5, "asking")
    };
    let asked = Client::connect(&broker, asking).await;
    let topics = asked
        .connack()
        .properties
        .response_information()
        .map(str::to_owned);
    let topics = topics.expect("Response Information");
    let mut quiet = Client::v5(&broker, "quiet").await;
    assert_eq!(quiet.connack().properties.response_information(), None);
    let below = format!("{}/answer", topics.trim_end_matches('/'));
    quiet.subscribe(&below, Qos::AtMostOnce).await;
    quiet.publish(&below, "usable", Qos::AtMostOnce).await;
    assert_eq!(quiet.payload().await, "usable");
}
