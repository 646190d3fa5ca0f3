//! The publishing end: a window of messages that are not acknowledged.

use super::{Account, topic_name};
use crate::address::Address;
use crate::client::{Hello, Receiver, Sender, connect as connect_client};
use crate::ledger::{Stamp, nanos_since};
use crate::packets::{Publish, kind};
use crate::scenario::Options;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// How long is waited for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) sessions: usize,
    pub(crate) publishers: usize,
    /// Messages of a publisher that are not acknowledged, at most.
    pub(crate) window: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) until: Until,
    /// One retained topic that nobody has subscribed to, instead of the sessions'.
    pub(crate) retain: bool,
}

/// How long is published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Elapsed(Duration),
    /// So many of each publisher.
    Count(u32),
}

/// A publisher that is connected.
pub(super) struct Publisher {
    index: usize,
    sender: Sender,
    receiver: Receiver,
    sent: u32,
    /// Number and moment of each that is not acknowledged.
    waiting: VecDeque<(u32, u64)>,
    batch: Vec<u8>,
}

impl Load {
    /// What the scenarios publish.
    pub(super) fn measured(options: Options) -> Self {
        Self {
            sessions: options.scale(100, 5),
            publishers: options.scale(20, 3),
            window: options.scale(100, 10),
            payload_bytes: 200,
            until: Until::Elapsed(options.duration),
            retain: false,
        }
    }

    /// The same, up to so many messages that a database written as a whole is felt.
    pub(super) fn filling(options: Options) -> Self {
        let load = Self::measured(options);
        let each = options.scale(200_000, 300) / load.publishers;
        Self {
            until: Until::Count(u32::try_from(each).unwrap_or(u32::MAX)),
            ..load
        }
    }

    #[cfg(test)]
    pub(super) fn small() -> Self {
        Self {
            sessions: 2,
            publishers: 2,
            window: 10,
            payload_bytes: 200,
            until: Until::Count(1),
            retain: false,
        }
    }

    /// Publishers begin at different sessions, and go round.
    pub(super) fn session(&self, publisher: usize, number: u32) -> usize {
        (publisher * self.sessions / self.publishers + number as usize) % self.sessions
    }

    fn is_over(&self, begun: Instant, sent: u32) -> bool {
        match self.until {
            Until::Elapsed(duration) => begun.elapsed() >= duration,
            Until::Count(count) => sent >= count,
        }
    }
}

pub(super) async fn connect(address: &Address, load: &Load) -> io::Result<Vec<Publisher>> {
    let mut publishers = Vec::new();
    for index in 0..load.publishers {
        let client_id = format!("publisher-{index}");
        let (sender, receiver) = connect_client(address, Hello::new(&client_id)).await?;
        publishers.push(Publisher {
            index,
            sender,
            receiver,
            sent: 0,
            waiting: VecDeque::new(),
            batch: Vec::new(),
        });
    }
    Ok(publishers)
}

/// Publishes until it is over and everything is acknowledged.
pub(super) async fn publish(
    publishers: Vec<Publisher>,
    load: &Load,
    account: &Rc<Account>,
) -> io::Result<()> {
    let (load, begun) = (*load, Instant::now());
    let each = publishers.into_iter().map(|publisher| {
        let account = Rc::clone(account);
        spawn_local(publisher.run(load, account, begun))
    });
    for task in each.collect::<Vec<_>>() {
        task.await.map_err(io::Error::other)??;
    }
    Ok(())
}

impl Publisher {
    async fn run(mut self, load: Load, account: Rc<Account>, begun: Instant) -> io::Result<()> {
        loop {
            self.fill(&load, begun).await?;
            if self.waiting.is_empty() {
                return Ok(());
            }
            let acknowledged = timeout(PATIENCE, self.take_acks(&account, begun)).await;
            acknowledged.map_err(|_| io::Error::other("no PUBACK came"))??;
        }
    }

    async fn fill(&mut self, load: &Load, begun: Instant) -> io::Result<()> {
        self.batch.clear();
        let now_nanos = nanos_since(begun);
        while self.waiting.len() < load.window && !load.is_over(begun, self.sent) {
            self.write(load, now_nanos);
            self.waiting.push_back((self.sent, now_nanos));
            self.sent += 1;
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        self.sender.send(&self.batch).await
    }

    fn write(&mut self, load: &Load, now_nanos: u64) {
        let stamp = Stamp {
            publisher: self.index as u16,
            number: self.sent,
            due_nanos: now_nanos,
        };
        let topic = match load.retain {
            true => "retained".to_owned(),
            false => topic_name(load.session(self.index, self.sent)),
        };
        let publish = Publish {
            topic: &topic,
            qos: 1,
            retain: load.retain,
            packet_id: packet_id(self.sent),
            properties: None,
        };
        publish.write(&stamp.encode(), load.payload_bytes, &mut self.batch);
    }

    /// Acknowledgements come in the order of the messages [MQTT-4.6.0-2]; one that does not is not counted.
    async fn take_acks(&mut self, account: &Account, begun: Instant) -> io::Result<()> {
        let (index, waiting) = (self.index, &mut self.waiting);
        let visit = |first: u8, body: &[u8]| {
            let (kind::PUBACK, [high, low, ..], Some(&(number, sent_nanos))) =
                (first & 0xf0, body, waiting.front())
            else {
                return;
            };
            if packet_id(number) == u16::from_be_bytes([*high, *low]) {
                waiting.pop_front();
                account.acknowledge(index, number, nanos_since(begun) - sent_nanos);
            }
        };
        self.receiver.receive(visit).await
    }
}

fn packet_id(number: u32) -> u16 {
    (number % 65_535) as u16 + 1
}
