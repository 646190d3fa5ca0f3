//! Measures the store alone on the pattern it is made for: messages of 200 bytes queued for 10,000 sessions and
//! acknowledged, a thousand in each synced commit; then a million queued, and found again.
//!
//! `cargo run -p weir-store --release --example pattern [DIR [fill | recover]]`: CPU and bytes written per message, the longest commit,
//! the disk, the memory of the index, and the time that recovery takes.

use bytes::Bytes;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_codec::{Properties, Qos, TopicName, Utf8};
use weir_engine::{
    Change, DeliveryRecord, Key, Message, MessageNumber, Record, SessionNumber, SessionRecord,
    Settings, Shard, ShardId, Stage, SubscriptionRecord,
};
use weir_store::{Durability, Files, Limits, Store, WallClock};

const CLOCK: WallClock = WallClock {
    unix_millis_at_zero: 1_700_000_000_000,
};
const SESSIONS: u64 = 10_000;
const MESSAGES: u64 = 1_000_000;
const PER_COMMIT: u64 = 1000;
const PAYLOAD_BYTES: usize = 200;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .map_or_else(|| PathBuf::from("target/pattern"), PathBuf::from);
    let phase = arguments.next();
    match phase.as_deref() {
        Some("fill") => return fill(&directory),
        Some("recover") => return recover(&directory),
        _ => {}
    }
    std::fs::create_dir_all(&directory).expect("a directory to measure in");
    let directory = directory.join(std::process::id().to_string());
    steady(&directory.join("steady"), 0);
    steady(&directory.join("pinned"), MESSAGES);
    let queued = directory.join("queued");
    fill(&queued);
    let this = std::env::current_exe().expect("this program");
    let recovered = std::process::Command::new(this)
        .args([queued.as_os_str(), "recover".as_ref()])
        .status();
    assert!(recovered.expect("this program again").success());
    drain(&queued);
    std::fs::remove_dir_all(&directory).expect("what was written can be removed");
}

/// Publishes and acknowledges, with `pinned` messages queued for sessions that are away.
fn steady(path: &Path, pinned: u64) {
    let mut load = Load::new(path, 1000, SESSIONS);
    while load.next_message < pinned {
        load.commit(PER_COMMIT, u64::MAX);
    }
    load.waiting.clear();
    let meter = Meter::start();
    let mut longest = (Duration::ZERO, Duration::ZERO);
    let (mut written, mut relocated) = (0, 0);
    // Until the cleaner has been all over what is pinned.
    let messages = MESSAGES + 2 * pinned;
    for _ in 0..messages / PER_COMMIT {
        let (begun, cpu) = (Instant::now(), thread_cpu());
        let committed = load.commit(PER_COMMIT, PER_COMMIT * 10);
        longest.0 = longest.0.max(begun.elapsed());
        longest.1 = longest.1.max(thread_cpu() - cpu);
        written += committed.written_bytes;
        relocated += committed.relocated_bytes;
    }
    meter.report(&format!("steady, {pinned} pinned"), messages);
    println!(
        "  longest commit {:.1?}, of CPU {:.1?}, records written {} MB, moved {} MB, disk {} MB",
        longest.0,
        longest.1,
        written >> 20,
        relocated >> 20,
        load.disk_megabytes()
    );
}

/// Queues everything for 100,000 sessions.
fn fill(path: &Path) {
    let mut load = Load::new(path, 1000, SESSIONS * 10);
    let meter = Meter::start();
    let before = resident_bytes();
    while load.next_message < MESSAGES {
        load.commit(PER_COMMIT, u64::MAX);
    }
    meter.report("queue", MESSAGES);
    load.waiting = VecDeque::new();
    println!(
        "  index {} bytes a message, disk {} MB",
        (resident_bytes().saturating_sub(before)) / MESSAGES,
        load.disk_megabytes()
    );
}

fn recover(path: &Path) {
    let (begun, before) = (Instant::now(), resident_bytes());
    let files = Files::open(path).expect("the log opens");
    let (mut store, recovered) =
        Store::open(files, CLOCK, Durability::Sync, Limits::default()).expect("the store opens");
    let (took, cpu) = (begun.elapsed(), cpu());
    let count = |is: fn(&Record) -> bool| recovered.records.iter().filter(|it| is(it)).count();
    println!("  a record is {} bytes in memory", size_of::<Record>());
    println!(
        "recover: {took:.2?}, {cpu:.2?} of CPU, for {} sessions, {} messages; {} MB resident, at most {}",
        count(|it| matches!(it, Record::Session(_))),
        recovered.parked.len(),
        (resident_bytes() - before) >> 20,
        proc_value("/proc/self/status", "VmHWM:") >> 10,
    );
    load(&mut store, &recovered);
    assert!(!recovered.lost.is_loss());
    println!("  {:?}", store.census());
    let (took, cpu) = (begun.elapsed(), crate::cpu());
    let mut shard = Shard::new(ShardId(0), 1, Settings::default(), 1);
    shard.restore(
        weir_engine::Instant::default(),
        &recovered.records,
        &recovered.parked,
        recovered.next_number,
    );
    println!(
        "restored: {:.2?} and {:.2?} of CPU more",
        begun.elapsed() - took,
        crate::cpu() - cpu
    );
}

/// Reads the first messages of some sessions, which are scattered over the whole log.
fn load(store: &mut Store<Files>, recovered: &weir_store::Recovered) {
    const SESSIONS: usize = 1000;
    let mut waiting = vec![vec![]; SESSIONS];
    for record in &recovered.records {
        if let Record::Delivery(it) = record
            && let Stage::Queued(message) = it.stage
            && let Some(numbers) = waiting.get_mut(it.session.0 as usize - 1000)
        {
            numbers.push(message);
        }
    }
    let (begun, before) = (Instant::now(), cpu());
    let loaded = waiting.iter().map(|numbers| {
        let loaded = store.load(numbers).expect("the log can be read");
        loaded.messages.iter().flatten().count()
    });
    let loaded: usize = loaded.sum();
    println!(
        "load: {:.2?}, {:.2?} of CPU, for {loaded} messages of {SESSIONS} sessions",
        begun.elapsed(),
        cpu() - before
    );
}

/// Acknowledges everything, and lets the store clean.
fn drain(path: &Path) {
    let files = Files::open(path).expect("the log opens");
    let (mut store, recovered) =
        Store::open(files, CLOCK, Durability::Sync, Limits::default()).expect("the store opens");
    let keys: Vec<Key> = recovered
        .records
        .iter()
        .filter(|it| matches!(it, Record::Delivery(_)))
        .filter_map(Record::key)
        .collect();
    drop(recovered);
    let meter = Meter::start();
    for keys in keys.chunks(1000) {
        store.stage(keys.iter().cloned().map(Change::Delete).collect());
        store.commit(CLOCK).expect("a commit");
    }
    while store.wants_cleaning() {
        store.commit(CLOCK).expect("a commit");
    }
    meter.report("drain", MESSAGES);
    let disk = store
        .log()
        .disk_bytes()
        .expect("the directory can be listed");
    println!("  disk {} MB", disk >> 20);
}

/// A store under load.
struct Load {
    store: Store<Files>,
    sessions: u64,
    next_message: u64,
    random: u64,
    sequences: Vec<u64>,
    waiting: VecDeque<Key>,
}

impl Load {
    fn new(path: &Path, first: u64, sessions: u64) -> Self {
        let files = Files::open(path).expect("a new log");
        let (mut store, _) =
            Store::open(files, CLOCK, Durability::Sync, Limits::default()).expect("a new store");
        for number in first..first + sessions {
            store.stage(begin_session(number));
        }
        store.commit(CLOCK).expect("a commit");
        Self {
            store,
            sessions,
            next_message: 0,
            random: 1,
            sequences: vec![0; sessions as usize],
            waiting: VecDeque::new(),
        }
    }

    /// Publishes `count` messages, each to one session, and acknowledges what more than `waiting` wait.
    fn commit(&mut self, count: u64, waiting: u64) -> weir_store::Committed {
        for _ in 0..count {
            self.publish();
        }
        while self.waiting.len() as u64 > waiting {
            let acked = self.waiting.pop_front().into_iter().map(Change::Delete);
            self.store.stage(acked.collect());
        }
        self.store.commit(CLOCK).expect("a commit")
    }

    fn publish(&mut self) {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005) + 1;
        let which = (self.random >> 33) % self.sessions;
        let session = SessionNumber(1000 + which);
        let sequence = self.sequences[which as usize];
        self.sequences[which as usize] += 1;
        let number = 1_000_000 + self.next_message;
        self.next_message += 1;
        let message = Message {
            number: MessageNumber(number),
            topic: TopicName::try_from("devices/17/state").expect("a topic"),
            payload: Bytes::from_static(&[b'x'; PAYLOAD_BYTES]),
            properties: Properties::new(),
            qos: Qos::AtLeastOnce,
            retain: false,
            expires_at: None,
        };
        let delivery = DeliveryRecord {
            session,
            sequence,
            qos: Qos::AtLeastOnce,
            retain: false,
            identifiers: Default::default(),
            stage: Stage::Queued(MessageNumber(number)),
        };
        self.waiting.push_back(Key::Delivery(session, sequence));
        self.store.stage(vec![
            Change::Put(Record::Message(Arc::new(message))),
            Change::Put(Record::Delivery(delivery)),
        ]);
    }

    fn disk_megabytes(&self) -> u64 {
        let bytes = self.store.log().disk_bytes();
        bytes.expect("the directory can be listed") >> 20
    }
}

fn begin_session(number: u64) -> Vec<Change> {
    let session = SessionRecord {
        number: SessionNumber(number),
        client_id: Utf8::try_from(format!("client-{number}")).expect("a client id"),
        user: None,
        expiry_seconds: u32::MAX,
        absent_since: None,
    };
    let subscription = SubscriptionRecord {
        session: SessionNumber(number),
        filter: weir_codec::TopicFilter::try_from(format!("devices/{number}/#").as_str())
            .expect("a filter"),
        qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        slow_reader: None,
        identifier: 0,
    };
    vec![
        Change::Put(Record::Session(session)),
        Change::Put(Record::Subscription(subscription)),
    ]
}

/// What the process has used so far.
struct Meter {
    begun: Instant,
    cpu: Duration,
    written_bytes: u64,
}

impl Meter {
    fn start() -> Self {
        Self {
            begun: Instant::now(),
            cpu: cpu(),
            written_bytes: written_bytes(),
        }
    }

    fn report(&self, what: &str, messages: u64) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / messages as f64;
        let written = written_bytes() - self.written_bytes;
        println!(
            "{what}: {:.2} us CPU and {:.2} us a message, {:.2} bytes written per byte of payload",
            micros(cpu() - self.cpu),
            micros(self.begun.elapsed()),
            written as f64 / (messages * PAYLOAD_BYTES as u64) as f64
        );
    }
}

/// User and system time, from `/proc/self/stat` in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split(' ');
    let ticks: u64 = fields
        .skip(12)
        .take(2)
        .filter_map(|it| it.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// What this thread has used so far.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|it| it.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

fn written_bytes() -> u64 {
    proc_value("/proc/self/io", "write_bytes:")
}

fn resident_bytes() -> u64 {
    proc_value("/proc/self/status", "VmRSS:") << 10
}

fn proc_value(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|it| it.split_whitespace().next()?.parse().ok());
    value.unwrap_or_default()
}
