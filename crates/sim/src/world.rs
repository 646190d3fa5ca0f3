//! The world: shards, clients, the network between them, and time.
//!
//! One queue of events, ordered by virtual time and, within a millisecond, by when they were put in. The world does what
//! the binary's runtime does around the engine (turns, moves, flow control, one flush a turn), and what a network does to
//! both. It decides nothing about MQTT; it hands everything that crosses the engine's border to the oracle.

mod act;
mod authenticate;
mod disk;
mod finish;
mod network;
mod pace;
mod past;
mod post;
mod server;

use crate::client::{Client, LinkId};
use crate::oracle::Oracle;
use crate::script::{ConnectWish, Script, Step};
use crate::trace::Trace;
pub(crate) use authenticate::{GOOD, QUESTION};
use bytes::Bytes;
use disk::Disk;
use network::Link;
use server::Host;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use weir_codec::{Connect, Packet};
use weir_engine::{ConnectionKey, Instant, Lost, MessageNumber, Remote, SessionKey, StoreTicket};
use weir_store::Recovered;

/// Virtual time starts here: long before anything, so that a wall clock that jumps finds nothing before the beginning.
const START_MILLIS: u64 = 100_000_000;

const MAIL: u64 = 2;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// One number for everything that happened.
    pub hash: u64,
    /// How much virtual time passed.
    pub virtual_millis: u64,
    /// How many events there were.
    pub events: u64,
    /// The first promise that was broken.
    pub failure: Option<String>,
    /// What happened, if asked for.
    pub trace: Vec<String>,
}

/// Runs a script to its end or to the first broken promise.
#[must_use]
pub fn run(script: &Script, readable: bool) -> Outcome {
    let mut world = World::new(script, readable);
    world.live();
    Outcome {
        hash: world.trace.hash(),
        virtual_millis: world.now - START_MILLIS,
        events: world.events,
        failure: world.oracle.failure.take(),
        trace: world.trace.into_lines(),
    }
}

pub(crate) struct World<'a> {
    script: &'a Script,
    now: u64,
    queue: BinaryHeap<Reverse<Due>>,
    put: u64,
    events: u64,
    /// How often the broker was started.
    life: u64,
    hosts: Vec<Host>,
    disk: Disk,
    /// The rules in force for whom they concern.
    rules: Arc<AtomicU8>,
    /// Whether the broker is about to stop.
    is_stopping: bool,
    /// What the store found after a crash.
    restored: Recovered,
    links: Vec<Link>,
    clients: Vec<Client>,
    /// What is under way between shards.
    mail_bytes: usize,
    oracle: Oracle,
    trace: Trace,
}

/// An event and when it is due.
struct Due {
    at: u64,
    order: u64,
    /// In which life of the broker it was put in.
    life: u64,
    event: Event,
}

pub(crate) enum Event {
    /// A step of the script.
    Step(Box<Step>),
    /// Bytes reach the server.
    ToServer { link: LinkId, bytes: Bytes },
    /// The server may read again.
    Read { link: LinkId },
    /// The server finds that the client has sent more than it may.
    TooMuch { link: LinkId },
    /// A client that is not read from for that is not silent.
    Rest { link: LinkId },
    /// That lasts too long.
    RateExceeded { link: LinkId },
    /// The server's socket learns that the transport is gone: at once, or behind what is still to be read.
    ServerLost {
        link: LinkId,
        lost: Lost,
        at_once: bool,
    },
    /// Bytes reach the client.
    ToClient { link: LinkId, bytes: Bytes },
    /// The client's socket is closed by the server.
    ClientLost { link: LinkId },
    /// The client reads again.
    Resume { link: LinkId },
    /// The server's socket takes bytes again.
    Unblock { link: LinkId },
    /// A client sends something it has put off.
    Later {
        link: LinkId,
        packet: Box<Packet>,
        is_ack: bool,
    },
    /// A client's ping is due.
    PingDue { link: LinkId },
    /// A batch from one shard reaches another.
    Mail {
        from: usize,
        to: usize,
        batch: Vec<Remote>,
    },
    /// A transport reaches its home shard.
    Adopt {
        link: LinkId,
        to: usize,
        connect: Box<Connect>,
        deadline: Instant,
    },
    /// Authentication has an answer.
    Answer {
        shard: usize,
        key: ConnectionKey,
        link: LinkId,
    },
    /// The holder of a session that is fought for gives a sign of life.
    Pong { link: LinkId },
    /// The end of a shard's turn.
    Flush { shard: usize },
    /// A shard's timer.
    Alarm { shard: usize, at: u64 },
    /// The store begins to commit.
    Commit,
    /// What it committed lasts.
    Committed,
    /// A shard hears of it.
    Stored { shard: usize, ticket: StoreTicket },
    /// The store reads back what a session asks for.
    Load {
        shard: usize,
        session: SessionKey,
        numbers: Vec<MessageNumber>,
    },
    /// The store has room again.
    Room,
    /// The broker has stopped, and is started again after so many milliseconds.
    Stopped { down_millis: u64, number: u64 },
    /// The broker is started again.
    Restart,
    /// A client that was cut off comes back.
    Return {
        who: usize,
        wish: Box<ConnectWish>,
        number: u64,
    },
}

impl Event {
    /// Whether it happens within the broker, and ends with it.
    fn is_of_broker(&self) -> bool {
        match self {
            Self::Mail { .. }
            | Self::TooMuch { .. }
            | Self::Rest { .. }
            | Self::RateExceeded { .. }
            | Self::Adopt { .. }
            | Self::Answer { .. }
            | Self::Flush { .. }
            | Self::Alarm { .. }
            | Self::Commit
            | Self::Committed
            | Self::Stored { .. }
            | Self::Load { .. }
            | Self::Room
            | Self::Stopped { .. } => true,
            Self::Step(_)
            | Self::ToServer { .. }
            | Self::Read { .. }
            | Self::ServerLost { .. }
            | Self::ToClient { .. }
            | Self::ClientLost { .. }
            | Self::Resume { .. }
            | Self::Unblock { .. }
            | Self::Later { .. }
            | Self::PingDue { .. }
            | Self::Pong { .. }
            | Self::Restart
            | Self::Return { .. } => false,
        }
    }
}

impl<'a> World<'a> {
    fn new(script: &'a Script, readable: bool) -> Self {
        let hosts = (0..script.shards).map(|index| Host::new(index, script.shards, script, 0));
        let clients = (0..script.clients)
            .map(|index| Client::new(format!("c{index}"), script.last_packet_id));
        Self {
            script,
            now: START_MILLIS,
            queue: BinaryHeap::new(),
            put: 0,
            events: 0,
            life: 0,
            hosts: hosts.collect(),
            disk: Disk::new(script),
            rules: Arc::default(),
            is_stopping: false,
            restored: Recovered::default(),
            links: Vec::new(),
            clients: clients.collect(),
            mail_bytes: 0,
            oracle: Oracle::new(script),
            trace: Trace::new(readable),
        }
    }

    fn live(&mut self) {
        for step in &self.script.steps {
            self.put(START_MILLIS + step.at, Event::Step(Box::new(step.clone())));
        }
        if self.script.has_past {
            self.begin_with_a_past();
        }
        let last = self.script.steps.last().map_or(0, |step| step.at);
        self.run_until(START_MILLIS + last + 1);
        self.wind_down();
    }

    fn put(&mut self, at: u64, event: Event) {
        self.put += 1;
        let order = self.put;
        self.queue.push(Reverse(Due {
            at: at.max(self.now),
            order,
            life: self.life,
            event,
        }));
    }

    fn is_over(&self) -> bool {
        self.oracle.failure.is_some()
    }

    /// Lets everything happen that is due up to this moment.
    fn run_until(&mut self, until: u64) {
        while let Some(Reverse(due)) = self.queue.peek() {
            if due.at > until || self.is_over() {
                break;
            }
            if let Some(Reverse(due)) = self.queue.pop() {
                if due.life != self.life && due.event.is_of_broker() {
                    continue;
                }
                self.now = due.at;
                self.events += 1;
                self.trace.number(due.at);
                self.happen(due.event);
                self.oracle.look_at_clock(self.now);
            }
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(step) => self.act(&step),
            Event::ToServer { link, bytes } => self.reach_server(link, bytes),
            Event::Read { link } => self.read(link),
            Event::TooMuch { link } => self.slow_down(link),
            Event::Rest { link } => self.rest(link),
            Event::RateExceeded { link } => self.exceed_rate(link),
            Event::ServerLost {
                link,
                lost,
                at_once,
            } => self.lose_server(link, lost, at_once),
            Event::ToClient { link, bytes } => self.reach_client(link, bytes),
            Event::ClientLost { link } => self.lose_client(link),
            Event::Resume { link } => self.resume(link),
            Event::Unblock { link } => self.unblock(link),
            Event::Later {
                link,
                packet,
                is_ack,
            } => self.send_later(link, &packet, is_ack),
            Event::PingDue { link } => self.ping(link),
            Event::Mail { from, to, batch } => self.deliver_mail(from, to, batch),
            Event::Adopt {
                link,
                to,
                connect,
                deadline,
            } => self.adopt(link, to, connect, deadline),
            Event::Answer { shard, key, link } => self.answer(shard, key, link),
            Event::Pong { link } => self.pong(link),
            Event::Flush { shard } => self.flush(shard),
            Event::Alarm { shard, at } => self.alarm(shard, at),
            Event::Commit => self.commit(),
            Event::Committed => self.committed(),
            Event::Stored { shard, ticket } => self.stored(shard, ticket),
            Event::Load {
                shard,
                session,
                numbers,
            } => self.load(shard, session, &numbers),
            Event::Room => self.has_room_again(),
            Event::Stopped {
                down_millis,
                number,
            } => self.stopped(down_millis, number),
            Event::Restart => self.restart(),
            Event::Return { who, wish, number } => self.come_back(who, wish, number),
        }
    }

    fn instant(&self) -> Instant {
        Instant::from_millis(self.now)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
