//! Sessions: what is kept for a client that is away, and for how long.

use std::time::Duration;

use tokio::time::sleep;
use weir_codec::{Connect, Disconnect, Packet, Property, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, lasting, properties};
use weir_tests::{Broker, Client, Code};

#[tokio::test]
async fn a_session_is_resumed_with_what_arrived_meanwhile() {
    let broker = Broker::start();
    let mut publisher = Client::v5(&broker, "publisher").await;
    for version in Version::ALL {
        let id = format!("kept{}", version.level());
        let mut first = Client::connect(&broker, lasting(version, &id)).await;
        assert!(!first.connack().session_present);
        first.subscribe("t", Qos::ExactlyOnce).await;
        first.leave().await;
        for n in 0..50 {
            let qos = if n % 2 == 0 {
                Qos::AtLeastOnce
            } else {
                Qos::ExactlyOnce
            };
            publisher.publish("t", &n.to_string(), qos).await;
        }
        let mut second = Client::connect(&broker, lasting(version, &id)).await;
        let told = version != Version::V3_1; // 3.1 has no Session Present
        assert_eq!(second.connack().session_present, told, "{version:?}");
        for n in 0..50 {
            assert_eq!(second.payload().await, n.to_string());
        }
        publisher.publish("t", "live", Qos::AtLeastOnce).await;
        assert_eq!(second.payload().await, "live");
        second.unsubscribe("t").await;
    }
}

#[tokio::test]
async fn a_clean_start_forgets_the_session() {
    let broker = Broker::start();
    let mut publisher = Client::v5(&broker, "publisher").await;
    for version in Version::ALL {
        let id = format!("forget{}", version.level());
        let mut first = Client::connect(&broker, lasting(version, &id)).await;
        first.subscribe("t", Qos::AtLeastOnce).await;
        first.leave().await;
        publisher.publish("t", "lost", Qos::AtLeastOnce).await;
        let mut clean = Client::connect(&broker, connect(version, &id)).await;
        assert!(!clean.connack().session_present);
        publisher.publish("t", "unheard", Qos::AtLeastOnce).await;
        clean.silent().await;
        clean.leave().await;
        let again = Client::connect(&broker, lasting(version, &id)).await;
        assert!(
            !again.connack().session_present,
            "{version:?}: a clean session is not kept"
        );
    }
}

#[tokio::test]
async fn a_session_ends_when_its_expiry_is_over() {
    let broker = Broker::start();
    let short = Connect {
        properties: properties([Property::SessionExpiryInterval(1)]),
        ..lasting(Version::V5, "short")
    };
    Client::connect(&broker, short.clone()).await.leave().await;
    let back = Client::connect(&broker, short.clone()).await;
    assert!(back.connack().session_present);
    back.leave().await;
    sleep(Duration::from_millis(1600)).await;
    let late = Client::connect(&broker, short).await;
    assert!(!late.connack().session_present);
}

#[tokio::test]
async fn a_5_0_session_without_expiry_ends_with_its_connection() {
    let broker = Broker::start();
    let kept = Connect {
        clean_start: false,
        ..connect(Version::V5, "brief")
    };
    Client::connect(&broker, kept.clone()).await.leave().await;
    let again = Client::connect(&broker, kept).await;
    assert!(!again.connack().session_present);
}

#[tokio::test]
async fn disconnect_may_change_the_expiry() {
    let broker = Broker::start();
    let goodbye = |seconds| {
        let properties = properties([Property::SessionExpiryInterval(seconds)]);
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::Success,
            properties,
        })
    };
    let mut client = Client::connect(&broker, lasting(Version::V5, "changing")).await;
    client.send(goodbye(0)).await;
    client.closed().await;
    let again = Client::connect(&broker, lasting(Version::V5, "changing")).await;
    assert!(
        !again.connack().session_present,
        "the session was ended by DISCONNECT"
    );
    let mut brief = Client::v5(&broker, "brief").await;
    brief.send(goodbye(60)).await;
    assert_eq!(
        brief.disconnected().await,
        (ReasonCode::ProtocolError, Code(1002))
    );
}

#[tokio::test]
async fn a_longer_expiry_than_allowed_is_cut_and_connack_says_so() {
    let broker = Broker::start_with("[limits]\nmax_session_expiry_seconds = 60");
    let client = Client::connect(&broker, lasting(Version::V5, "long")).await;
    assert_eq!(
        client.connack().properties.session_expiry_interval(),
        Some(60)
    );
    let modest = Connect {
        properties: properties([Property::SessionExpiryInterval(5)]),
        ..lasting(Version::V5, "modest")
    };
    let client = Client::connect(&broker, modest).await;
    assert_eq!(client.connack().properties.session_expiry_interval(), None);
}

#[tokio::test]
async fn qos_0_messages_do_not_have_to_wait_for_an_absent_client_but_later_ones_arrive() {
    let broker = Broker::start();
    let mut first = Client::connect(&broker, lasting(Version::V3_1_1, "away")).await;
    first.subscribe("t", Qos::AtLeastOnce).await;
    first.leave().await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    publisher.publish("t", "zero", Qos::AtMostOnce).await;
    publisher.publish("t", "one", Qos::AtLeastOnce).await;
    let mut second = Client::connect(&broker, lasting(Version::V3_1_1, "away")).await;
    let first_payload = second.payload().await;
    if first_payload == "zero" {
        assert_eq!(second.payload().await, "one");
    } else {
        assert_eq!(first_payload, "one");
    }
}

#[tokio::test]
async fn one_session_too_many_is_refused_and_an_earlier_one_is_resumed() {
    let broker = Broker::start_with("shards = 1\n[limits]\nmax_connections = 4\nmax_sessions = 4");
    for number in 0..4 {
        let kept = lasting(Version::V5, &format!("kept {number}"));
        Client::connect(&broker, kept).await.leave().await;
    }
    for (version, reason) in [
        (Version::V5, ReasonCode::QuotaExceeded),
        (Version::V3_1_1, ReasonCode::ServerUnavailable),
    ] {
        let (connack, close) = Client::refused(&broker, connect(version, "new")).await;
        assert_eq!((connack.reason, close.code), (reason, Code(1008)));
    }
    broker.logs("refused: too many sessions");
    let again = Client::connect(&broker, lasting(Version::V5, "kept 0")).await;
    assert!(again.connack().session_present);
}
