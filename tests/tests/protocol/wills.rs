//! Wills: published when a connection is lost, after their delay, and not after a goodbye.

use std::time::{Duration, Instant};

use weir_codec::{Connect, Property, Qos, ReasonCode, Version, Will};
use weir_tests::packets::{connect, disconnect, lasting, properties, will};
use weir_tests::{Broker, Client};

async fn watcher(broker: &Broker) -> Client {
    let mut watcher = Client::v5(broker, "watcher").await;
    watcher.subscribe("will", Qos::ExactlyOnce).await;
    watcher
}

fn with_will(connect: Connect) -> Connect {
    Connect {
        will: Some(will("will", "gone")),
        ..connect
    }
}

fn delayed(client_id: &str, seconds: u32) -> Connect {
    let properties = properties([Property::WillDelayInterval(seconds)]);
    let will = Will {
        properties,
        ..will("will", "gone")
    };
    Connect {
        will: Some(will),
        ..lasting(Version::V5, client_id)
    }
}

#[tokio::test]
async fn a_lost_connection_publishes_the_will() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker).await;
    for version in Version::ALL {
        Client::connect(&broker, with_will(connect(version, "mortal")))
            .await
            .vanish();
        let message = watcher.message().await;
        assert_eq!(
            (&message.payload[..], message.delivery.qos()),
            (&b"gone"[..], Qos::AtLeastOnce)
        );
        assert!(!message.retain);
    }
}

#[tokio::test]
async fn a_goodbye_discards_the_will() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker).await;
    for version in Version::ALL {
        Client::connect(&broker, with_will(connect(version, "polite")))
            .await
            .leave()
            .await;
    }
    watcher.silent().await;
}

#[tokio::test]
async fn a_goodbye_may_ask_for_the_will() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker).await;
    let mut client = Client::connect(&broker, with_will(connect(Version::V5, "asking"))).await;
    client
        .send(disconnect(ReasonCode::DisconnectWithWillMessage))
        .await;
    assert_eq!(watcher.payload().await, "gone");
}

#[tokio::test]
async fn a_protocol_error_publishes_the_will() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker).await;
    let mut client = Client::connect(&broker, with_will(connect(Version::V3_1_1, "wrong"))).await;
    client.send_bytes(&b"\xff\xff"[..]).await;
    assert_eq!(watcher.payload().await, "gone");
}

#[tokio::test]
async fn a_retained_will_is_kept_and_its_properties_go_with_it() {
    let broker = Broker::start();
    let entries = [
        Property::ContentType("text/plain"),
        Property::UserProperty("why", "lost"),
    ];
    let retained = Will {
        retain: true,
        properties: properties(entries),
        ..will("will", "gone")
    };
    let mortal = Connect {
        will: Some(retained),
        ..connect(Version::V5, "mortal")
    };
    let mut watcher = watcher(&broker).await;
    Client::connect(&broker, mortal).await.vanish();
    watcher.message().await;
    let mut late = Client::v5(&broker, "late").await;
    late.subscribe("will", Qos::AtLeastOnce).await;
    let message = late.message().await;
    assert!(message.retain);
    assert_eq!(message.properties, properties(entries));
}

#[tokio::test]
async fn a_delayed_will_waits_its_time() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker).await;
    let client = Client::connect(&broker, delayed("mortal", 1)).await;
    let lost = Instant::now();
    client.vanish();
    assert_eq!(watcher.payload().await, "gone");
    let waited = lost.elapsed();
    assert!(waited > Duration::from_millis(900), "{waited:?}");
}

#[tokio::test]
async fn a_client_that_returns_in_time_cancels_its_delayed_will() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker).await;
    Client::connect(&broker, delayed("returning", 1))
        .await
        .vanish();
    let returned = Client::connect(&broker, lasting(Version::V5, "returning")).await;
    assert!(returned.connack().session_present);
    watcher.silent_for(Duration::from_millis(1500)).await;
}

#[tokio::test]
async fn the_end_of_the_session_ends_the_delay() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker).await;
    let short = Connect {
        properties: properties([Property::SessionExpiryInterval(1)]),
        ..delayed("short", 600)
    };
    Client::connect(&broker, short).await.vanish();
    assert_eq!(watcher.payload().await, "gone");
    let clean = Connect {
        clean_start: true,
        ..delayed("clean", 600)
    };
    Client::connect(&broker, clean.clone()).await.vanish();
    Client::connect(&broker, clean).await;
    assert_eq!(watcher.payload().await, "gone");
}
