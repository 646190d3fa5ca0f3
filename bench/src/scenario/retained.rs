//! Very many retained messages for one subscriber, while messages of others flow.

use super::{Options, Scenario};
use crate::address::Address;
use crate::client::{Hello, Receiver, Sender, connect};
use crate::flow::{Flow, Shape};
use crate::packets::{self, Level, Publish, incoming, kind};
use crate::process::Process;
use crate::report::{Report, Spent};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// Nothing has come for so long: it is over.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn run(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let messages = options.scale(100_000, 200);
    store(address, messages).await?;
    let alone = replay(address, broker, messages).await?;
    // The same again beside live traffic, for its latency.
    let flow = Flow {
        rate: Some(500.0),
        duration: options.duration,
        ..Flow::new(Shape::Each, 1, 1, 1_000_000)
    };
    let beside = Rc::new(Cell::new(None));
    let task = {
        let (address, beside) = (address.clone(), Rc::clone(&beside));
        spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let replayed = replay(&address, broker, messages).await;
            beside.set(Some(replayed.is_ok_and(|report| report.lost == 0)));
        })
    };
    let live = flow.run(Scenario::Retained, address, broker).await?;
    task.await.map_err(io::Error::other)?;
    let mut report = alone;
    report.latency = live.latency;
    report.lost += live.lost + u64::from(beside.get() != Some(true));
    report.misordered += live.misordered;
    Ok(report)
}

/// Publishes the messages and waits until all are stored.
async fn store(address: &Address, messages: usize) -> io::Result<()> {
    let (mut sender, mut receiver) = connect(address, Hello::new("keeper")).await?;
    let mut batch = Vec::new();
    for number in 0..messages {
        write(number, 0, &mut batch);
        if batch.len() > 16 << 10 {
            sender.send(&batch).await?;
            batch.clear();
        }
    }
    write(messages - 1, 1, &mut batch);
    sender.send(&batch).await?;
    let stored = timeout(Duration::from_secs(60), receiver.expect(kind::PUBACK)).await;
    stored?.map(drop)
}

fn write(number: usize, qos: u8, batch: &mut Vec<u8>) {
    let topic = format!("site/{}/device/{number}/state", number % 100);
    let publish = Publish {
        topic: &topic,
        qos,
        retain: true,
        packet_id: 1,
        properties: None,
    };
    publish.write(&[], 100, batch);
}

/// Subscribes to everything and counts what is retained.
async fn replay(address: &Address, broker: Process, messages: usize) -> io::Result<Report> {
    let (mut sender, mut receiver): (Sender, Receiver) =
        connect(address, Hello::new("newcomer")).await?;
    let (spent, started) = (Spent::start(broker), Instant::now());
    let filters = ["#"].into_iter();
    sender
        .send(&packets::subscribe(Level::V3_1_1, filters, 0))
        .await?;
    let mut received = 0;
    while received < messages {
        let visit = |first: u8, body: &[u8]| {
            if first & 0xf0 == kind::PUBLISH {
                let retain = incoming(Level::V3_1_1, first, body).is_some_and(|it| it.retain);
                received += usize::from(retain);
            }
        };
        match timeout(PATIENCE, receiver.receive(visit)).await {
            Ok(more) => more?,
            Err(_) => break,
        }
    }
    let mut report = spent.report(
        Scenario::Retained,
        "deliveries",
        received as u64,
        started.elapsed(),
    );
    report.lost = (messages - received) as u64;
    Ok(report)
}
