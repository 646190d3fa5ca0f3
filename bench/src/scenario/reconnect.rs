//! Connections that come and go.

use super::{Options, Scenario};
use crate::address::Address;
use crate::client::{Hello, Receiver, Sender, connect};
use crate::flow::histogram;
use crate::packets::{self, DISCONNECT, Level, kind};
use crate::process::Process;
use crate::report::{Latency, Report, Spent};
use std::io;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Clients that churn side by side.
const CHURNING: usize = 50;
/// How long a broker may take to close after DISCONNECT, or to answer in a storm.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connect, subscribe, disconnect, again and again; one unit is all three.
pub(super) async fn churn(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let (spent, started) = (Spent::start(broker), Instant::now());
    let mut tasks = JoinSet::new();
    for index in 0..options.scale(CHURNING, 2) {
        let address = address.clone();
        tasks.spawn_local(async move {
            let mut cycles = 0_u64;
            while started.elapsed() < options.duration {
                come_and_go(&address, index).await?;
                cycles += 1;
            }
            io::Result::Ok(cycles)
        });
    }
    let mut cycles = 0;
    while let Some(done) = tasks.join_next().await {
        cycles += done??;
    }
    Ok(spent.report(Scenario::Churn, "connections", cycles, started.elapsed()))
}

async fn come_and_go(address: &Address, index: usize) -> io::Result<()> {
    let client_id = format!("churn-{index}");
    let (mut sender, receiver) = join(address, Hello::new(&client_id)).await?;
    sender.send(&DISCONNECT).await?;
    let closed = timeout(PATIENCE, receiver.ignore()).await;
    closed.map_err(|_| io::Error::other("the broker did not close after DISCONNECT"))
}

/// Everybody is there; everybody comes again at once.
pub(super) async fn storm(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let clients = options.scale(2_000, 10);
    let old = come(address, clients, 64).await?;
    let (spent, started) = (Spent::start(broker), Instant::now());
    let new = come(address, clients, clients).await?;
    let elapsed = started.elapsed();
    let mut nanos = histogram();
    for (_, took) in &new {
        nanos.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
    let mut report = spent.report(Scenario::Storm, "connections", clients as u64, elapsed);
    report.latency = Latency::of(&nanos);
    drop(old);
    Ok(report)
}

/// So many clients with lasting sessions, and how long it took each to be subscribed.
async fn come(
    address: &Address,
    clients: usize,
    at_a_time: usize,
) -> io::Result<Vec<((Sender, Receiver), Duration)>> {
    let mut tasks = JoinSet::new();
    let mut here = Vec::new();
    for index in 0..clients {
        if tasks.len() >= at_a_time
            && let Some(client) = tasks.join_next().await
        {
            here.push(client??);
        }
        let address = address.clone();
        let started = Instant::now();
        tasks.spawn_local(async move {
            let client_id = format!("storm-{index}");
            let hello = Hello {
                clean: false,
                ..Hello::new(&client_id)
            };
            let client = join(&address, hello).await?;
            io::Result::Ok((client, started.elapsed()))
        });
    }
    while let Some(client) = tasks.join_next().await {
        here.push(client??);
    }
    Ok(here)
}

/// Connects and subscribes.
async fn join(address: &Address, hello: Hello<'_>) -> io::Result<(Sender, Receiver)> {
    let joined = timeout(PATIENCE, async {
        let (mut sender, mut receiver) = connect(address, hello).await?;
        let filter = format!("of/{}", hello.client_id);
        let filters = [filter.as_str()].into_iter();
        sender
            .send(&packets::subscribe(Level::V3_1_1, filters, 1))
            .await?;
        receiver.expect(kind::SUBACK).await?;
        Ok((sender, receiver))
    });
    joined
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
