//! The publishing end of a flow.

use super::{Bench, Channel, PATIENCE, Shape, TICK};
use crate::client::{Hello, Receiver, Sender, connect as connect_client};
use crate::ledger::{Stamp, nanos_since};
use crate::packets::{Level, Publish, ack, kind};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// A publisher that is connected.
pub(super) struct Publisher {
    index: usize,
    sender: Sender,
    /// Whether the broker knows the topic by alias 1.
    has_alias: bool,
    batch: Vec<u8>,
}

pub(super) async fn connect(bench: Rc<Bench>, index: usize) -> io::Result<Publisher> {
    let client_id = format!("pub-{index}");
    let hello = Hello {
        level: bench.flow.level,
        ..Hello::new(&client_id)
    };
    let (sender, receiver) = connect_client(&bench.address, hello).await?;
    bench.spawn(answer(Rc::clone(&bench), index, receiver));
    Ok(Publisher {
        index,
        sender,
        has_alias: false,
        batch: Vec::new(),
    })
}

/// Publishes until the time is over, then waits for what is on its way.
pub(super) async fn publish(
    bench: Rc<Bench>,
    mut publisher: Publisher,
    mut ticks: Option<watch::Receiver<u64>>,
) -> io::Result<()> {
    let channel = &bench.channels[publisher.index];
    let mut last_move = (Instant::now(), 0);
    loop {
        let is_over = Instant::now() >= bench.deadline.get();
        let delivered = bench.delivered(channel);
        let sent = channel.sent.get();
        let until = if is_over {
            sent
        } else {
            due(&bench, channel).min(delivered.saturating_add(bench.flow.window))
        };
        publisher.send(&bench, channel, until).await?;
        let received = channel.received.get();
        if is_over && received >= bench.expected(channel) {
            return Ok(());
        }
        if received != last_move.1 {
            last_move = (Instant::now(), received);
        } else if is_over && last_move.0.elapsed() > PATIENCE {
            return Ok(());
        }
        wait(&bench, channel, is_over, ticks.as_mut()).await;
    }
}

/// Until something arrived, time has gone on or is over.
async fn wait(
    bench: &Bench,
    channel: &Channel,
    is_over: bool,
    ticks: Option<&mut watch::Receiver<u64>>,
) {
    let left = bench
        .deadline
        .get()
        .saturating_duration_since(Instant::now());
    let patience = if is_over { PATIENCE / 10 } else { left };
    match ticks {
        Some(ticks) if !is_over => {
            tokio::select! {
                _ = ticks.changed() => {}
                () = channel.moved.notified(), if bench.flow.qos == 2 => {}
            }
        }
        _ => {
            let _ = timeout(patience, channel.moved.notified()).await;
        }
    }
}

/// How many messages are due by now.
fn due(bench: &Bench, channel: &Channel) -> u32 {
    let Some(rate) = bench.flow.rate else {
        return u32::MAX;
    };
    let elapsed = bench.start.get().elapsed().as_secs_f64();
    ((elapsed - offset(bench, channel)).max(0.0) * rate) as u32
}

/// Publishers with the same rate take turns.
fn offset(bench: &Bench, channel: &Channel) -> f64 {
    let rate = bench.flow.rate.unwrap_or(1.0);
    channel.index as f64 / (rate * bench.flow.publishers as f64)
}

/// When a message was due: on the next tick after its share of the second.
fn due_nanos(bench: &Bench, channel: &Channel, number: u32) -> u64 {
    let Some(rate) = bench.flow.rate else {
        return nanos_since(bench.start.get());
    };
    let due = Duration::from_secs_f64(offset(bench, channel) + f64::from(number + 1) / rate);
    let tick = TICK.as_nanos() as u64;
    (due.as_nanos() as u64).div_ceil(tick) * tick
}

impl Publisher {
    /// Sends the messages up to number `until`, and what has to be acknowledged, in one piece.
    async fn send(&mut self, bench: &Bench, channel: &Channel, until: u32) -> io::Result<()> {
        self.batch.clear();
        self.batch.append(&mut channel.acks.borrow_mut());
        for number in channel.sent.get()..until {
            self.write(bench, channel, number);
            channel.sent.set(number + 1);
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        self.sender.send(&self.batch).await
    }

    fn write(&mut self, bench: &Bench, channel: &Channel, number: u32) {
        let flow = &bench.flow;
        let stamp = Stamp {
            publisher: self.index as u16,
            number,
            due_nanos: due_nanos(bench, channel, number),
        };
        let own_topic;
        let topic = match &flow.shape {
            Shape::Fleet(fleet) => fleet.topic(number),
            _ if self.has_alias => "",
            _ => {
                own_topic = topic_name(self.index);
                &own_topic
            }
        };
        let mut properties = Vec::new();
        if flow.is_decorated {
            if self.sender.topic_alias_maximum > 0 {
                properties.extend_from_slice(&[0x23, 0, 1]);
                self.has_alias = true;
            }
            properties.extend_from_slice(
                b"\x26\x00\x06source\x00\x05bench\x26\x00\x05trace\x00\x100123456789abcdef",
            );
        }
        let publish = Publish {
            topic,
            qos: flow.qos,
            retain: false,
            packet_id: (number % 65_535) as u16 + 1,
            properties: (flow.level == Level::V5).then_some(&properties),
        };
        publish.write(&stamp.encode(), flow.payload_bytes, &mut self.batch);
    }
}

pub(super) fn topic_name(index: usize) -> String {
    format!("bench/{index:04}")
}

/// Reads what the broker acknowledges; answers each PUBREC.
async fn answer(bench: Rc<Bench>, index: usize, mut receiver: Receiver) {
    let channel = &bench.channels[index];
    let visit = |first: u8, body: &[u8]| {
        if let (kind::PUBREC, [high, low, ..]) = (first & 0xf0, body) {
            let release = ack(kind::PUBREL, u16::from_be_bytes([*high, *low]));
            channel.acks.borrow_mut().extend_from_slice(&release);
            channel.moved.notify_one();
        }
    };
    while receiver.receive(visit).await.is_ok() {}
}
