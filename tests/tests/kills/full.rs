//! A disk that is full, and one that is broken.
//!
//! A library loaded into the broker plays the disk, so that every write may find it full: also those for which the file
//! system has set room aside.

use std::fs::{self, File};
use std::path::PathBuf;

use weir_codec::{Delivery, Packet, Publish, Qos, ReasonCode, Version};
use weir_tests::packets::{lasting, packet_id, publish};
use weir_tests::{Broker, Client, Wire, folder};

use crate::power;

/// A disk and what is on it.
struct Disk {
    folder: PathBuf,
    library: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let folder = folder();
        let library = power::build("disk.c", &folder);
        Self { folder, library }
    }

    fn broker(&self) -> Broker {
        let store = self.folder.join("store");
        let environment = [
            ("LD_PRELOAD", self.library.as_os_str()),
            ("WEIR_DISK", self.folder.as_os_str()),
        ];
        Broker::start_in(&format!("[store]\npath = {store:?}\n"), &environment)
    }

    fn is_now(&self, state: &str) {
        File::create(self.folder.join(state)).expect("a file");
    }

    fn is_no_longer(&self, state: &str) {
        fs::remove_file(self.folder.join(state)).expect("it was");
    }
}

async fn health(broker: &Broker) -> u16 {
    let mut wire = Wire::open(broker).await;
    wire.request("GET", "/healthz", &[]).await.status
}

async fn reader(broker: &Broker) -> Client {
    Client::connect(broker, lasting(Version::V5, "reader")).await
}

#[tokio::test]
async fn while_the_disk_is_full_readers_go_on_and_nothing_is_lost() {
    let disk = Disk::new();
    let broker = disk.broker();
    let mut first = reader(&broker).await;
    first.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    let mut other = Client::v5(&broker, "other").await;
    publisher.retain("r", "kept", Qos::AtLeastOnce).await;
    publisher.publish("t", "one", Qos::AtLeastOnce).await;
    assert_eq!(first.payload().await, "one");
    assert_eq!(health(&broker).await, 200);

    disk.is_now("full");
    publisher.send(retained("r", "late")).await;
    broker.logs("the store's disk is full");
    assert_eq!(health(&broker).await, 503);
    let refused = other.publish("t", "refused", Qos::AtLeastOnce).await;
    assert_eq!(refused, ReasonCode::QuotaExceeded);
    other.publish("t", "passing", Qos::AtMostOnce).await;
    assert_eq!(first.payload().await, "passing");
    publisher.silent().await;

    disk.is_no_longer("full");
    let acknowledged = publisher
        .complete(Delivery::AtLeastOnce(packet_id(100)))
        .await;
    assert!(!acknowledged.is_error());
    broker.logs("the store has room again");
    assert_eq!(health(&broker).await, 200);
    other.publish("t", "two", Qos::AtLeastOnce).await;
    assert_eq!(first.payload().await, "two");
    first.leave().await;
    other.publish("t", "three", Qos::AtLeastOnce).await;
    drop(broker);
    let broker = disk.broker();
    let mut last = reader(&broker).await;
    assert_eq!(last.payload().await, "three");
    last.subscribe("r", Qos::AtMostOnce).await;
    assert_eq!(last.payload().await, "late");
}

#[tokio::test]
async fn a_broker_that_starts_on_a_full_disk_serves_readers() {
    let disk = Disk::new();
    let broker = disk.broker();
    let mut absent = reader(&broker).await;
    absent.subscribe("t", Qos::AtLeastOnce).await;
    absent.leave().await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    publisher.publish("t", "kept", Qos::AtLeastOnce).await;
    publisher.retain("r", "one", Qos::AtLeastOnce).await;
    // Its session was there when the broker ended: that it is not any more has to be written.
    let _present = Client::connect(&broker, lasting(Version::V5, "present")).await;
    disk.is_now("full");
    drop(broker);

    let broker = disk.broker();
    broker.logs("the store's disk is full");
    let mut again = reader(&broker).await;
    assert!(again.connack().session_present);
    assert_eq!(again.payload().await, "kept");
    let mut publisher = Client::v5(&broker, "publisher").await;
    let refused = publisher.publish("t", "refused", Qos::AtLeastOnce).await;
    assert_eq!(refused, ReasonCode::QuotaExceeded);
    publisher.publish("t", "passing", Qos::AtMostOnce).await;
    assert_eq!(again.payload().await, "passing");
    publisher.send(retained("r", "")).await;
    assert_eq!(health(&broker).await, 503);

    disk.is_no_longer("full");
    let deleted = publisher
        .complete(Delivery::AtLeastOnce(packet_id(100)))
        .await;
    assert!(!deleted.is_error());
    drop(broker);
    let broker = disk.broker();
    let mut last = Client::v5(&broker, "last").await;
    last.subscribe("r", Qos::AtMostOnce).await;
    last.silent().await;
}

#[tokio::test]
async fn a_broker_whose_sync_failed_ends_at_once() {
    let disk = Disk::new();
    let mut broker = disk.broker();
    let mut publisher = Client::v5(&broker, "publisher").await;
    disk.is_now("broken");
    publisher.send(retained("r", "never acknowledged")).await;
    assert_eq!(publisher.next().await, None, "it is not acknowledged");
    assert_eq!(broker.exit().code(), Some(1));
    broker.logs("the store failed, ending at once");
    disk.is_no_longer("broken");
    disk.broker();
}

/// With the id 100, which the client has for nothing else. Whether there is an answer remains to be seen.
fn retained(topic: &str, payload: &'static str) -> Packet {
    Packet::Publish(Publish {
        retain: true,
        ..publish(topic, payload, Qos::AtLeastOnce, 100)
    })
}
