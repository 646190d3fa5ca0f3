//! Fan-out and pairs: publishers, subscribers, and what arrived.
//!
//! A publisher is held to its window by what its slowest subscriber has received, so nothing has to be dropped by a
//! broker with queues of a sensible size; every message carries its number, so what is lost or out of order is known.

use crate::Arguments;
use crate::client::{Receiver, Sender, connect, field, packet};
use crate::process::Process;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

/// What one publisher's subscribers have received.
#[derive(Debug, Default)]
struct Progress {
    received: RefCell<Vec<u32>>,
    misordered: Cell<u64>,
    moved: Notify,
}

impl Progress {
    fn slowest(&self) -> u32 {
        self.received
            .borrow()
            .iter()
            .copied()
            .min()
            .unwrap_or(u32::MAX)
    }
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Report {
    deliveries: u64,
    expected: u64,
    misordered: u64,
    elapsed: Duration,
    broker_cpu: Duration,
    own_cpu: Duration,
    resident_bytes: u64,
}

impl Report {
    /// Nothing lost, nothing out of order.
    pub(crate) fn is_clean(&self) -> bool {
        self.deliveries == self.expected && self.misordered == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.deliveries.max(1) as f64;
        write!(
            f,
            "deliveries {} of {}  misordered {}  {:.0}/s  broker {:.3} us/delivery  generator {:.3} us/delivery  resident {} KiB",
            self.deliveries,
            self.expected,
            self.misordered,
            self.deliveries as f64 / self.elapsed.as_secs_f64(),
            each(self.broker_cpu),
            each(self.own_cpu),
            self.resident_bytes / 1024,
        )
    }
}

/// Connects everybody, publishes everything, waits until it has arrived or nothing moves any more.
pub(crate) async fn run(arguments: &Arguments, broker: Process) -> io::Result<Report> {
    let mut progress = Vec::new();
    let mut publishing: Vec<JoinHandle<io::Result<()>>> = Vec::new();
    let groups: Vec<Rc<Progress>> = (0..arguments.publishers).map(|_| Rc::default()).collect();
    for index in 0..arguments.subscribers {
        let topics = if arguments.pairs {
            index..index + 1
        } else {
            0..arguments.publishers
        };
        for topic in topics.clone() {
            groups[topic].received.borrow_mut().push(0);
        }
        subscribe(arguments, index, topics, &groups).await?;
    }
    let (own, started) = (Process::own(), Instant::now());
    let (broker_before, own_before) = (broker.cpu(), own.cpu());
    for (index, group) in groups.iter().enumerate() {
        progress.push(Rc::clone(group));
        let (sender, receiver) =
            connect(&arguments.address, &arguments.path, &format!("pub-{index}")).await?;
        spawn_local(ignore(receiver));
        publishing.push(spawn_local(publish(
            Load::of(arguments),
            index,
            sender,
            Rc::clone(group),
        )));
    }
    for task in publishing {
        task.await.map_err(io::Error::other)??;
    }
    for group in &groups {
        while group.slowest() < arguments.messages {
            if tokio::time::timeout(Duration::from_secs(5), group.moved.notified())
                .await
                .is_err()
            {
                break;
            }
        }
    }
    let elapsed = started.elapsed();
    let deliveries = groups
        .iter()
        .flat_map(|group| group.received.borrow().clone())
        .map(u64::from)
        .sum();
    let each: usize = groups
        .iter()
        .map(|group| group.received.borrow().len())
        .sum();
    Ok(Report {
        deliveries,
        expected: each as u64 * u64::from(arguments.messages),
        misordered: groups.iter().map(|group| group.misordered.get()).sum(),
        elapsed,
        broker_cpu: broker.cpu() - broker_before,
        own_cpu: own.cpu() - own_before,
        resident_bytes: broker.resident_bytes(),
    })
}

/// What one publisher is to do.
#[derive(Clone, Copy)]
struct Load {
    messages: u32,
    payload: usize,
    qos: u8,
    window: u32,
    rate: u32,
}

impl Load {
    fn of(arguments: &Arguments) -> Self {
        Self {
            messages: arguments.messages,
            payload: arguments.payload.max(4),
            qos: arguments.qos.min(1),
            window: arguments.window.max(1),
            rate: arguments.rate,
        }
    }
}

async fn subscribe(
    arguments: &Arguments,
    index: usize,
    topics: std::ops::Range<usize>,
    groups: &[Rc<Progress>],
) -> io::Result<()> {
    let (mut sender, mut receiver) =
        connect(&arguments.address, &arguments.path, &format!("sub-{index}")).await?;
    for topic in topics {
        let mut body = vec![0, 1];
        field(&mut body, topic_name(topic).as_bytes());
        body.push(arguments.qos.min(1));
        sender.send(&packet(0x82, &body)).await?;
        receiver.expect(0x90).await?;
    }
    let slot = if arguments.pairs { 0 } else { index };
    let groups = groups.to_vec();
    spawn_local(async move { receive(receiver, sender, groups, slot).await });
    Ok(())
}

fn topic_name(index: usize) -> String {
    format!("bench/{index:04}")
}

/// Counts what arrives, and acknowledges it.
async fn receive(
    mut receiver: Receiver,
    mut sender: Sender,
    groups: Vec<Rc<Progress>>,
    slot: usize,
) {
    let mut acks = Vec::new();
    loop {
        acks.clear();
        let visited = receiver.receive(|first, body| {
            if first & 0xf0 != 0x30 {
                return;
            }
            let (topic, rest) = body[2..].split_at(usize::from(body[1]));
            let mut payload = rest;
            if first & 0x06 != 0 {
                acks.extend_from_slice(&[0x40, 2, rest[0], rest[1]]);
                payload = &rest[2..];
            }
            let index = topic[6..]
                .iter()
                .fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            let number = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
            let group = &groups[index];
            let received = &mut group.received.borrow_mut()[slot];
            if number != *received {
                group.misordered.set(group.misordered.get() + 1);
            }
            *received += 1;
            group.moved.notify_one();
        });
        if visited.await.is_err() || (!acks.is_empty() && sender.send(&acks).await.is_err()) {
            return;
        }
    }
}

async fn ignore(mut receiver: Receiver) {
    while receiver.receive(|_, _| {}).await.is_ok() {}
}

/// Publishes in batches as large as the window has room for.
async fn publish(
    load: Load,
    index: usize,
    mut sender: Sender,
    progress: Rc<Progress>,
) -> io::Result<()> {
    let mut sent = 0;
    let started = Instant::now();
    let mut batch = Vec::new();
    while sent < load.messages {
        let due = match load.rate {
            0 => load.messages,
            rate => (started.elapsed().as_secs_f64() * f64::from(rate)) as u32 + 1,
        };
        let until = due
            .min(load.messages)
            .min(progress.slowest().saturating_add(load.window));
        if until <= sent {
            match load.rate {
                0 => progress.moved.notified().await,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            continue;
        }
        batch.clear();
        for number in sent..until {
            message(load, index, number, &mut batch);
        }
        sender.send(&batch).await?;
        sent = until;
    }
    Ok(())
}

fn message(load: Load, index: usize, number: u32, batch: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(load.payload + 16);
    field(&mut body, topic_name(index).as_bytes());
    if load.qos > 0 {
        body.extend_from_slice(&((number % 65_535) as u16 + 1).to_be_bytes());
    }
    let start = body.len();
    body.extend_from_slice(&number.to_be_bytes());
    body.resize(start + load.payload, b'x');
    batch.extend_from_slice(&packet(0x30 | load.qos << 1, &body));
}
