//! Messages flowing from publishers to subscribers, and the account of them.
//!
//! Unpaced, a publisher is held to its window by what its slowest subscriber has received, so a broker with queues of a
//! sensible size has no cause to drop anything. Paced, every message has a moment at which it is due, and its latency
//! counts from then, sent in time or not: a broker that stalls the generator does not hide it (coordinated omission).

mod publisher;
mod subscriber;

use crate::address::Address;
use crate::fleet::Fleet;
use crate::ledger::{Ledger, after};
use crate::packets::Level;
use crate::process::Process;
use crate::report::{Latency, Report, Spent};
use crate::scenario::Scenario;
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, spawn_local};

/// How long a publisher waits for a message that does not come.
const PATIENCE: Duration = Duration::from_secs(3);

/// The step of paced load: what is due within it goes out together.
const TICK: Duration = Duration::from_millis(1);

/// The load.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) shape: Shape,
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) qos: u8,
    pub(crate) payload_bytes: usize,
    /// Messages of a publisher on their way at most.
    pub(crate) window: u32,
    /// Messages a second of each publisher; `None`: as fast as the window allows.
    pub(crate) rate: Option<f64>,
    pub(crate) duration: Duration,
    pub(crate) level: Level,
    /// In 5.0: user properties and a topic alias on each message, a subscription identifier on each subscription.
    pub(crate) is_decorated: bool,
    /// One more subscriber, which stops reading after SUBACK and for which the kernel holds little.
    pub(crate) has_stalled: bool,
}

/// Who gets what.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Every subscriber everything.
    Each,
    /// Every subscriber the messages of its own publisher.
    Pairs,
    /// Every message one of the subscribers.
    Shared,
    /// Whoever has a filter in the fleet that matches; one publisher.
    Fleet(Rc<Fleet>),
}

/// One publisher's side of the account.
#[derive(Debug)]
struct Channel {
    index: usize,
    ledgers: RefCell<Vec<Ledger>>,
    received: Cell<u64>,
    sent: Cell<u32>,
    /// Of a fleet: messages that have reached everybody.
    settled: Cell<u32>,
    moved: Notify,
    /// What the publisher has to answer.
    acks: RefCell<Vec<u8>>,
}

/// What all tasks of a measurement share.
struct Bench {
    flow: Flow,
    address: Address,
    start: Cell<Instant>,
    deadline: Cell<Instant>,
    last_arrival_nanos: Cell<u64>,
    channels: Vec<Channel>,
    latency_nanos: RefCell<Histogram<u64>>,
    /// Those that read.
    clients: RefCell<JoinSet<()>>,
}

impl Flow {
    /// 3.1.1, QoS 0, 100 bytes, unpaced.
    pub(crate) fn new(shape: Shape, publishers: usize, subscribers: usize, window: u32) -> Self {
        Self {
            shape,
            publishers,
            subscribers,
            qos: 0,
            payload_bytes: 100,
            window,
            rate: None,
            duration: Duration::from_secs(2),
            level: Level::V3_1_1,
            is_decorated: false,
            has_stalled: false,
        }
    }

    /// Connects everybody, publishes for as long as is asked for, waits until it has arrived or nothing moves any more.
    pub(crate) async fn run(
        self,
        scenario: Scenario,
        address: &Address,
        broker: Process,
    ) -> io::Result<Report> {
        let bench = Rc::new(Bench::new(self, address.clone()));
        let mut keep = Vec::new();
        let all = bench.flow.subscribers + usize::from(bench.flow.has_stalled);
        let subscribers = together(all, |index| subscriber::subscribe(Rc::clone(&bench), index));
        for (index, client) in subscribers.await?.into_iter().enumerate() {
            if index < bench.flow.subscribers {
                bench.spawn(subscriber::receive(Rc::clone(&bench), client, index));
            } else {
                keep.push(client);
            }
        }
        let publishers = together(bench.flow.publishers, |index| {
            publisher::connect(Rc::clone(&bench), index)
        });
        let publishers = publishers.await?;
        let spent = Spent::start(broker);
        bench.start.set(Instant::now());
        bench.deadline.set(Instant::now() + bench.flow.duration);
        let ticks = bench.flow.rate.map(|_| ticks(bench.start.get()));
        let tasks: Vec<_> = publishers
            .into_iter()
            .map(|publisher| {
                spawn_local(publisher::publish(
                    Rc::clone(&bench),
                    publisher,
                    ticks.clone(),
                ))
            })
            .collect();
        for task in tasks {
            task.await.map_err(io::Error::other)??;
        }
        let report = bench.report(spent, scenario);
        // Nobody is to be there still when somebody comes with the same Client Identifier.
        bench.clients.borrow_mut().abort_all();
        Ok(report)
    }
}

impl Bench {
    fn new(flow: Flow, address: Address) -> Self {
        let slots = if matches!(flow.shape, Shape::Pairs) {
            1
        } else {
            flow.subscribers
        };
        let channels = (0..flow.publishers).map(|index| Channel {
            index,
            ledgers: RefCell::new(vec![Ledger::default(); slots]),
            received: Cell::new(0),
            sent: Cell::new(0),
            settled: Cell::new(0),
            moved: Notify::new(),
            acks: RefCell::default(),
        });
        Self {
            channels: channels.collect(),
            flow,
            address,
            start: Cell::new(Instant::now()),
            deadline: Cell::new(Instant::now()),
            last_arrival_nanos: Cell::new(0),
            latency_nanos: RefCell::new(histogram()),
            clients: RefCell::default(),
        }
    }

    fn spawn(&self, client: impl Future<Output = ()> + 'static) {
        self.clients.borrow_mut().spawn_local(client);
    }

    /// How many of the channel's messages have reached everybody who gets them.
    fn delivered(&self, channel: &Channel) -> u32 {
        match &self.flow.shape {
            Shape::Each | Shape::Pairs => {
                let ledgers = channel.ledgers.borrow();
                ledgers.iter().map(|ledger| ledger.next).min().unwrap_or(0)
            }
            Shape::Shared => channel.received.get() as u32,
            Shape::Fleet(fleet) => {
                let mut settled = channel.settled.get();
                while settled < channel.sent.get()
                    && fleet.wanted(settled + 1) <= channel.received.get()
                {
                    settled += 1;
                }
                channel.settled.set(settled);
                settled
            }
        }
    }

    /// How many deliveries there have to be.
    fn expected(&self, channel: &Channel) -> u64 {
        match &self.flow.shape {
            Shape::Each => u64::from(channel.sent.get()) * channel.ledgers.borrow().len() as u64,
            Shape::Pairs | Shape::Shared => u64::from(channel.sent.get()),
            Shape::Fleet(fleet) => fleet.wanted(channel.sent.get()),
        }
    }

    fn report(&self, spent: Spent, scenario: Scenario) -> Report {
        let sum = |each: &dyn Fn(&Channel) -> u64| -> u64 { self.channels.iter().map(each).sum() };
        let received = sum(&|channel| channel.received.get());
        let late = sum(&|channel| {
            channel
                .ledgers
                .borrow()
                .iter()
                .map(|ledger| ledger.late)
                .sum()
        });
        let lost = sum(&|channel| {
            self.expected(channel)
                .saturating_sub(channel.received.get())
        });
        let extra = sum(&|channel| {
            channel
                .received
                .get()
                .saturating_sub(self.expected(channel))
        });
        let elapsed = Duration::from_nanos(self.last_arrival_nanos.get());
        let mut report = spent.report(scenario, "deliveries", received, elapsed);
        report.lost = lost;
        report.duplicates = extra;
        report.misordered = late.saturating_sub(extra);
        report.latency = Latency::of(&self.latency_nanos.borrow());
        report
    }
}

/// Connects so many side by side: some brokers take a fifth of a second for each.
async fn together<T: 'static, F: Future<Output = io::Result<T>> + 'static>(
    count: usize,
    connect: impl Fn(usize) -> F,
) -> io::Result<Vec<T>> {
    let tasks: Vec<_> = (0..count)
        .map(|index| spawn_local(connect(index)))
        .collect();
    let mut connected = Vec::with_capacity(count);
    for task in tasks {
        connected.push(task.await.map_err(io::Error::other)??);
    }
    Ok(connected)
}

/// A histogram of latencies from a microsecond to a minute, in nanoseconds, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    let bounds = Histogram::new_with_bounds(1_000, 60_000_000_000, 3);
    let mut histogram = bounds.unwrap_or_else(|_| unreachable!("the bounds are sound"));
    histogram.auto(true);
    histogram
}

/// Ticks from a thread of its own, since the runtime's timers are late by up to a tick themselves.
pub(crate) fn ticks(start: Instant) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    std::thread::spawn(move || {
        let mut tick = 0_u64;
        while sender.send(tick).is_ok() {
            tick += 1;
            let due = after(start, tick * TICK.as_nanos() as u64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    });
    receiver
}
