//! What a connection costs that does nothing, and what it costs again after it has carried something large.

use super::{Options, Scenario};
use crate::address::Address;
use crate::client::{Hello, Receiver, Sender, connect};
use crate::packets::{self, Level, Publish, kind};
use crate::process::Process;
use crate::report::{Report, Spent};
use std::io;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections opened at a time.
const AT_A_TIME: usize = 64;
/// What each carries.
const CARRIED_BYTES: usize = 64 << 10;
/// How long memory has to stay the same to be believed, and how long that may take.
const SETTLED: Duration = Duration::from_millis(500);
const SETTLING: Duration = Duration::from_secs(10);

pub(super) async fn run(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let connections = options.scale(10_000, 20);
    let before = settle(broker).await;
    let (spent, started) = (Spent::start(broker), Instant::now());
    let clients = open(address, connections).await?;
    let elapsed = started.elapsed();
    let idle = settle(broker).await;
    let report = spent.report(Scenario::Idle, "connections", connections as u64, elapsed);
    let (clients, lost) = carry_all(clients).await?;
    let carried = settle(broker).await;
    drop(clients);
    let each = |bytes: u64| bytes.saturating_sub(before) as f64 / connections as f64;
    let mut report = report
        .with("connection_bytes", each(idle))
        .with("connection_after_64k_bytes", each(carried));
    report.lost = lost;
    Ok(report)
}

/// Connections that are open.
pub(super) type Clients = Vec<(Sender, Receiver)>;

/// Opens connections with one subscription each.
pub(super) async fn open(address: &Address, count: usize) -> io::Result<Clients> {
    let mut tasks = JoinSet::new();
    let mut clients = Vec::with_capacity(count);
    for index in 0..count {
        if tasks.len() >= AT_A_TIME
            && let Some(client) = tasks.join_next().await
        {
            clients.push(client??);
        }
        let address = address.clone();
        tasks.spawn_local(async move { open_one(&address, index).await });
    }
    while let Some(client) = tasks.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}

async fn open_one(address: &Address, index: usize) -> io::Result<(Sender, Receiver)> {
    let client_id = format!("idle-{index}");
    let (mut sender, mut receiver) = connect(address, Hello::new(&client_id)).await?;
    let filter = format!("idle/{index}");
    sender
        .send(&packets::subscribe(
            Level::V3_1_1,
            [filter.as_str()].into_iter(),
            0,
        ))
        .await?;
    receiver.expect(kind::SUBACK).await?;
    Ok((sender, receiver))
}

/// Something large through every connection; returns how many it did not come back on.
async fn carry_all(clients: Clients) -> io::Result<(Clients, u64)> {
    let (mut tasks, mut done, mut lost) = (JoinSet::new(), Vec::with_capacity(clients.len()), 0);
    let mut waiting = clients.into_iter().enumerate();
    loop {
        if tasks.len() < AT_A_TIME
            && let Some((index, mut client)) = waiting.next()
        {
            tasks.spawn_local(async move {
                let came = carry(index, &mut client).await;
                (client, came)
            });
        } else if let Some(carried) = tasks.join_next().await {
            let (client, came) = carried?;
            lost += u64::from(!came);
            done.push(client);
        } else {
            return Ok((done, lost));
        }
    }
}

/// Publishes something large and waits for it to come back, on a topic that only this client is subscribed to.
async fn carry(index: usize, (sender, receiver): &mut (Sender, Receiver)) -> bool {
    let topic = format!("carried/{index}");
    let subscribe = packets::subscribe(Level::V3_1_1, [topic.as_str()].into_iter(), 0);
    let publish = Publish {
        topic: &topic,
        qos: 0,
        retain: false,
        packet_id: 0,
        properties: None,
    };
    let mut packet = Vec::new();
    publish.write(&[], CARRIED_BYTES, &mut packet);
    let there_and_back = async {
        sender.send(&subscribe).await?;
        receiver.expect(kind::SUBACK).await?;
        sender.send(&packet).await?;
        receiver.expect(kind::PUBLISH).await
    };
    let came = timeout(Duration::from_secs(5), there_and_back).await;
    sender.shrink();
    receiver.shrink();
    matches!(came, Ok(Ok(_)))
}

/// The broker's memory once it has stopped to change.
pub(super) async fn settle(broker: Process) -> u64 {
    let deadline = Instant::now() + SETTLING;
    let mut last = (broker.resident_bytes(), Instant::now());
    while last.1.elapsed() < SETTLED && Instant::now() < deadline {
        sleep(Duration::from_millis(50)).await;
        let now = broker.resident_bytes();
        if now.abs_diff(last.0) > last.0 / 1000 {
            last = (now, Instant::now());
        }
    }
    broker.resident_bytes()
}
