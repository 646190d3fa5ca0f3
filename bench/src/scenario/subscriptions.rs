//! What a subscription costs where there are very many, and what a publish costs then.

use super::idle::{open, settle};
use super::{Options, Scenario};
use crate::address::Address;
use crate::client::{Hello, Sender, connect};
use crate::fleet;
use crate::packets::{self, Level, Publish, ack, kind};
use crate::process::Process;
use crate::report::{Report, Spent};
use std::io;
use std::time::Instant;
use tokio::task::spawn_local;

pub(super) async fn run(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let clients = options.scale(10_000, 12);
    let publishes = options.scale(100_000, 100);
    let connected = open(address, clients).await?;
    let before = settle(broker).await;
    let (spent, started) = (Spent::start(broker), Instant::now());
    let mut subscriptions = 0;
    for (client, (mut sender, mut receiver)) in connected.into_iter().enumerate() {
        let filters = fleet::filters_of(client);
        subscriptions += filters.len() as u64;
        let filters = filters.iter().map(String::as_str);
        sender
            .send(&packets::subscribe(Level::V3_1_1, filters, 0))
            .await?;
        receiver.expect(kind::SUBACK).await?;
        spawn_local(async move {
            receiver.ignore().await;
            drop(sender);
        });
    }
    let elapsed = started.elapsed();
    let report = spent.report(
        Scenario::Subscriptions,
        "subscriptions",
        subscriptions,
        elapsed,
    );
    let after = settle(broker).await;
    let devices = clients * 25;
    let cold = publish(address, broker, publishes, |n| n * 104_729 % devices).await?;
    let hot = publish(address, broker, publishes, |_| 4711 % devices).await?;
    Ok(report
        .with(
            "subscription_bytes",
            after.saturating_sub(before) as f64 / subscriptions as f64,
        )
        .with("cold_publish_us", cold)
        .with("hot_publish_us", hot))
}

/// The broker's CPU time for a QoS 0 publish, delivery included, in microseconds.
async fn publish(
    address: &Address,
    broker: Process,
    publishes: usize,
    device: impl Fn(usize) -> usize,
) -> io::Result<f64> {
    let (mut sender, mut receiver) = connect(address, Hello::new("publisher")).await?;
    let spent = Spent::start(broker);
    let mut batch = Vec::new();
    for n in 0..publishes {
        write(&fleet::topic(device(n), n), 0, &mut batch);
        if batch.len() > 8 << 10 {
            flush(&mut sender, &mut batch).await?;
        }
    }
    // What stands before it has been taken when this one is acknowledged.
    write("the/end", 1, &mut batch);
    flush(&mut sender, &mut batch).await?;
    receiver.expect(ack(kind::PUBACK, 1)[0]).await?;
    let report = spent.report(
        Scenario::Subscriptions,
        "",
        publishes as u64,
        Instant::now().elapsed(),
    );
    Ok(report.broker_us)
}

async fn flush(sender: &mut Sender, batch: &mut Vec<u8>) -> io::Result<()> {
    sender.send(batch).await?;
    batch.clear();
    // The subscribers read, too.
    tokio::task::yield_now().await;
    Ok(())
}

fn write(topic: &str, qos: u8, batch: &mut Vec<u8>) {
    let publish = Publish {
        topic,
        qos,
        retain: false,
        packet_id: 1,
        properties: None,
    };
    publish.write(&[], 16, batch);
}
