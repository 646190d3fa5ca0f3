//! What outlasts the broker, and what a full or foreign folder gets.
//!
//! A broker that is dropped is killed with SIGKILL: nothing is written down in time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use weir_codec::{Connect, Packet, Property, Publish, Qos, Version};
use weir_tests::packets::{connect, lasting, properties, publish, will};
use weir_tests::{Broker, Client, PATIENCE, folder, weir};

fn keeping(folder: &Path) -> Broker {
    Broker::start_with(&format!("[store]\npath = {:?}\n", &folder))
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = folder();
    for version in Version::ALL {
        let broker = keeping(&folder);
        let id = format!("kept{}", version.level());
        let mut first = Client::connect(&broker, lasting(version, &id)).await;
        first.subscribe("t/#", Qos::ExactlyOnce).await;
        first.leave().await;
        let mut publisher = Client::v5(&broker, "publisher").await;
        for n in 0..50 {
            let text = n.to_string();
            publisher.publish("t/1", &text, Qos::AtLeastOnce).await;
            publisher.publish("t/2", &text, Qos::ExactlyOnce).await;
        }
        drop(broker);
        let broker = keeping(&folder);
        let mut second = Client::connect(&broker, lasting(version, &id)).await;
        let mut expected = BTreeMap::from([("t/1", 0), ("t/2", 0)]);
        for _ in 0..100 {
            // In order for each topic and QoS.
            let message = second.message().await;
            let topic = message.topic.expect("no aliases here");
            let next = expected.get_mut(topic.as_str()).expect("a topic");
            assert_eq!(message.payload, next.to_string());
            *next += 1;
        }
        let mut publisher = Client::v5(&broker, "publisher").await;
        publisher.publish("t/y", "live", Qos::AtLeastOnce).await;
        assert_eq!(second.payload().await, "live");
        second.unsubscribe("t/#").await;
    }
}

#[tokio::test]
async fn retained_messages_survive_a_kill_and_an_orderly_end() {
    let folder = folder();
    let broker = keeping(&folder);
    let mut publisher = Client::v5(&broker, "publisher").await;
    for (topic, payload) in [("r/1", "one"), ("r/2", "two"), ("r/1", "un"), ("r/2", "")] {
        publisher.send(retained(topic, payload)).await;
        publisher.recv().await;
    }
    drop(broker);
    let mut broker = keeping(&folder);
    let mut publisher = Client::v5(&broker, "publisher").await;
    publisher.send(retained("r/3", "three")).await;
    publisher.recv().await;
    broker.terminate();
    assert!(broker.exit().success());
    let broker = keeping(&folder);
    let mut reader = Client::v5(&broker, "reader").await;
    reader.subscribe("r/#", Qos::AtMostOnce).await;
    assert_eq!(reader.payload().await, "un");
    assert_eq!(reader.payload().await, "three");
    reader.silent().await;
}

/// Sessions, wills and subscribers are spread over the shards, so most wills are another shard's to keep.
#[tokio::test]
async fn what_an_orderly_end_leads_to_lasts_on_every_shard() {
    const EACH: usize = 12;
    let folder = folder();
    let config = format!("shards = 3\n[store]\npath = {:?}\n", &folder);
    let mut broker = Broker::start_with(&config);
    for n in 0..EACH {
        let id = format!("reader{n}");
        let mut reader = Client::connect(&broker, lasting(Version::V5, &id)).await;
        reader.subscribe("w/#", Qos::ExactlyOnce).await;
        reader.leave().await;
    }
    let mut here = Vec::new();
    for n in 0..EACH {
        let mut last_will = will(&format!("w/{n}"), "gone");
        last_will.qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][n % 2];
        last_will.retain = true;
        let with_will = Connect {
            will: Some(last_will),
            ..connect(Version::V5, &format!("here{n}"))
        };
        here.push(Client::connect(&broker, with_will).await);
    }
    broker.terminate();
    assert!(broker.exit().success());
    let broker = Broker::start_with(&config);
    for n in 0..EACH {
        let id = format!("reader{n}");
        let mut reader = Client::connect(&broker, lasting(Version::V5, &id)).await;
        let mut topics = BTreeSet::new();
        for _ in 0..EACH {
            let topic = reader.message().await.topic.expect("no aliases here");
            topics.insert(topic.as_str().to_owned());
        }
        assert_eq!(topics.len(), EACH, "{topics:?}");
    }
    let mut late = Client::v5(&broker, "late").await;
    late.subscribe("w/#", Qos::AtMostOnce).await;
    for _ in 0..EACH {
        assert_eq!(late.payload().await, "gone");
    }
}

fn retained(topic: &str, payload: &str) -> Packet {
    Packet::Publish(Publish {
        retain: true,
        ..publish(topic, payload.to_owned(), Qos::AtLeastOnce, 1)
    })
}

#[tokio::test]
async fn a_session_without_expiry_does_not_survive() {
    let folder = folder();
    let broker = keeping(&folder);
    let mut passing = Client::v5(&broker, "passing").await;
    passing.subscribe("t", Qos::AtLeastOnce).await;
    drop(broker);
    let broker = keeping(&folder);
    let again = Connect {
        clean_start: false,
        ..connect(Version::V5, "passing")
    };
    let again = Client::connect(&broker, again).await;
    assert!(!again.connack().session_present);
}

#[tokio::test]
async fn a_session_expires_while_the_broker_is_down() {
    let folder = folder();
    let short = Connect {
        properties: properties([Property::SessionExpiryInterval(1)]),
        ..lasting(Version::V5, "short")
    };
    let mut broker = keeping(&folder);
    Client::connect(&broker, short.clone()).await.leave().await;
    // A kill might come before it is written down that the client has left.
    broker.terminate();
    assert!(broker.exit().success());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let broker = keeping(&folder);
    let again = Client::connect(&broker, short).await;
    assert!(!again.connack().session_present);
}

#[tokio::test]
async fn a_second_broker_on_the_same_folder_is_refused() {
    let folder = folder();
    let _first = keeping(&folder);
    let mut second = Command::new(weir())
        .args(["run", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&folder)
        .stderr(Stdio::piped())
        .spawn()
        .expect("weir runs");
    let mut said = String::new();
    let mut stderr = second.stderr.take().expect("a pipe");
    // Whatever it should do instead of ending, it is not waited for.
    let reader =
        tokio::task::spawn_blocking(move || stderr.read_to_string(&mut said).map(|_| said));
    let said = tokio::time::timeout(PATIENCE, reader).await;
    let _ = second.kill();
    let said = said.expect("an end").expect("no panic").expect("text");
    assert!(!second.wait().expect("a child").success());
    assert!(said.contains("is in use by process"), "{said}");
}

#[tokio::test]
async fn durability_memory_keeps_nothing() {
    let folder = folder();
    let config = format!("[store]\npath = {:?}\ndurability = \"memory\"\n", &folder);
    let broker = Broker::start_with(&config);
    let mut client = Client::connect(&broker, lasting(Version::V5, "c")).await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    drop(broker);
    let broker = Broker::start_with(&config);
    let client = Client::connect(&broker, lasting(Version::V5, "c")).await;
    assert!(!client.connack().session_present);
    assert_eq!(folder.read_dir().expect("a folder").count(), 0);
}
