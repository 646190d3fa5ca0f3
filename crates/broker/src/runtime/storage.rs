//! The store's thread: it takes what all shards want kept, commits it in groups, and tells them.
//!
//! There is no timer: while one group is being synced the next one gathers, so a lone message waits for one sync and a
//! thousand share one. Batches of a shard stay in order, and what belongs together is staged as one. When the disk is
//! full nothing is lost and nothing acknowledged: shards refuse what is new until there is room. After any other
//! error what is on disk is not known any more, and the process ends.

use super::mailbox::{Mail, Mailboxes};
use crate::config::{self, Durability};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};
use weir_admin::StoreLoad;
use weir_engine::{Change, MessageNumber, Record, SessionKey, ShardId, StoreTicket};
use weir_store::{Files, Part, Recovered, Store, StoreError, Together};

use super::clock::Clock;

/// A group that holds this much is committed before more is taken.
const GROUP_BYTES: usize = 1 << 20;

/// Above this, publishers are not read from.
const CROWDED_BYTES: usize = 64 << 20;

/// How often a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// How often an idle store looks whether space can be given back.
const CLEANING_PAUSE: Duration = Duration::from_millis(20);

/// The way to the store's thread. The thread ends when all of these are gone, after its last commit.
#[derive(Clone)]
pub(crate) struct Storage {
    errands: Sender<Errand>,
    load: Arc<Load>,
}

/// What the store's thread is asked for.
enum Errand {
    Keep(Vec<Part>),
    Read {
        shard: ShardId,
        session: SessionKey,
        messages: Vec<MessageNumber>,
    },
}

/// How the store is doing.
#[derive(Debug, Default)]
pub(crate) struct Load {
    waiting_bytes: AtomicUsize,
    commits: AtomicU64,
    is_full: AtomicBool,
}

/// What was found when the store was opened.
pub(crate) struct Opened {
    store: Store<Files>,
    recovered: Arc<Recovered>,
}

/// Why the store in this directory could not be opened.
#[derive(Debug)]
pub(crate) struct OpenError(PathBuf, StoreError);

impl Opened {
    /// Opens the store that is configured, if one is.
    pub(crate) fn open(config: &config::Store, clock: Clock) -> Result<Option<Self>, OpenError> {
        let Some(path) = config.directory() else {
            return Ok(None);
        };
        let fail = |error| OpenError(path.clone(), error);
        let durability = match config.durability {
            Durability::Interval => weir_store::Durability::Interval,
            Durability::Sync | Durability::Memory => weir_store::Durability::Sync,
        };
        let begun = Instant::now();
        let files = Files::open(path).map_err(fail)?;
        let (store, recovered) = Store::open(
            files,
            clock.wall(),
            durability,
            weir_store::Limits::default(),
        )
        .map_err(fail)?;
        report(path, &recovered, begun.elapsed());
        Ok(Some(Self {
            store,
            recovered: Arc::new(recovered),
        }))
    }

    /// What a shard begins with.
    pub(crate) fn restored(&self) -> Arc<Recovered> {
        Arc::clone(&self.recovered)
    }

    /// Starts the store's thread.
    pub(crate) fn start(
        self,
        config: &config::Store,
        clock: Clock,
        mailboxes: Mailboxes,
    ) -> io::Result<(Storage, thread::JoinHandle<()>)> {
        let (sender, errands) = channel();
        let load = Arc::<Load>::default();
        let mut keeper = Keeper {
            store: self.store,
            clock,
            mailboxes,
            load: Arc::clone(&load),
            tickets: BTreeMap::new(),
            staged_bytes: 0,
            together: Together::default(),
            is_full: false,
            sync_interval: (config.durability == Durability::Interval)
                .then_some(config.sync_interval),
            synced_at: Instant::now(),
        };
        // A disk that is full already is the first thing that the shards hear of.
        keeper.commit();
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || keeper.run(&errands))?;
        let storage = Storage {
            errands: sender,
            load,
        };
        Ok((storage, thread))
    }
}

impl Storage {
    pub(crate) fn send(&self, parts: Vec<Part>) {
        let cost_bytes = parts.iter().map(cost_bytes).sum();
        self.load
            .waiting_bytes
            .fetch_add(cost_bytes, Ordering::Relaxed);
        self.ask(Errand::Keep(parts));
    }

    /// The answer goes to the shard.
    pub(crate) fn read(&self, shard: ShardId, session: SessionKey, messages: Vec<MessageNumber>) {
        self.ask(Errand::Read {
            shard,
            session,
            messages,
        });
    }

    fn ask(&self, errand: Errand) {
        // It has ended with an error of its own: so will the process.
        let _ = self.errands.send(errand);
    }

    /// Whether so much waits for the disk that no more should be taken in.
    pub(crate) fn is_crowded(&self) -> bool {
        self.load.waiting_bytes.load(Ordering::Relaxed) > CROWDED_BYTES
    }

    /// How the store is doing, for whoever may outlive it.
    pub(crate) fn load(&self) -> Arc<Load> {
        Arc::clone(&self.load)
    }
}

impl Load {
    /// Whether nothing new can be kept.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// For metrics.
    pub(crate) fn counted(&self) -> StoreLoad {
        StoreLoad {
            commits: self.commits.load(Ordering::Relaxed),
            waiting_bytes: self.waiting_bytes.load(Ordering::Relaxed) as u64,
            is_full: self.is_full(),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, error) = self;
        write!(f, "can't open the store in {}: {error}", path.display())
    }
}

/// What runs on the store's thread.
struct Keeper {
    store: Store<Files>,
    clock: Clock,
    mailboxes: Mailboxes,
    load: Arc<Load>,
    /// The last ticket of each shard that is staged and not answered.
    tickets: BTreeMap<ShardId, StoreTicket>,
    staged_bytes: usize,
    /// What waits for what belongs to it.
    together: Together,
    is_full: bool,
    /// How often is synced, if not at each commit.
    sync_interval: Option<Duration>,
    synced_at: Instant,
}

impl Keeper {
    fn run(mut self, errands: &Receiver<Errand>) {
        loop {
            match self.next(errands) {
                Ok(first) => {
                    let mut gathered_bytes = self.run_errand(first);
                    while gathered_bytes < GROUP_BYTES
                        && let Ok(more) = errands.try_recv()
                    {
                        gathered_bytes += self.run_errand(more);
                    }
                    self.stage();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            self.commit();
        }
    }

    /// Waits for errands, or until there is something else to do.
    fn next(&self, errands: &Receiver<Errand>) -> Result<Errand, RecvTimeoutError> {
        let pause = match self.sync_interval {
            _ if self.is_full => Some(FULL_PAUSE),
            _ if self.store.wants_cleaning() => Some(CLEANING_PAUSE),
            Some(interval) => Some(interval.saturating_sub(self.synced_at.elapsed())),
            None => None,
        };
        match pause {
            Some(pause) => errands.recv_timeout(pause),
            None => errands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Takes in what is to be kept, or reads back what was; returns the bytes of it.
    fn run_errand(&mut self, errand: Errand) -> usize {
        match errand {
            Errand::Keep(parts) => self.gather(parts),
            Errand::Read {
                shard,
                session,
                messages,
            } => self.read(shard, session, &messages),
        }
    }

    /// Reads messages back; returns their bytes.
    fn read(&mut self, shard: ShardId, session: SessionKey, numbers: &[MessageNumber]) -> usize {
        let loaded = match self.store.load(numbers) {
            Ok(loaded) => loaded,
            Err(error) => end_process(&error),
        };
        for damaged in &loaded.damaged {
            tracing::error!("{damaged}");
        }
        let found = loaded.messages.iter().flatten();
        let loaded_bytes = found.map(|message| message.cost_bytes()).sum();
        let messages = numbers.iter().copied().zip(loaded.messages).collect();
        self.mailboxes
            .send(usize::from(shard.0), Mail::Loaded(session, messages));
        loaded_bytes
    }

    /// Takes parts in; returns their bytes.
    fn gather(&mut self, parts: Vec<Part>) -> usize {
        let gathered_bytes = parts.iter().map(cost_bytes).sum();
        parts.into_iter().for_each(|part| self.together.push(part));
        gathered_bytes
    }

    /// Stages what is complete.
    fn stage(&mut self) {
        for unit in self.together.take() {
            let mut changes = Vec::new();
            for part in unit {
                self.staged_bytes += cost_bytes(&part);
                self.tickets.insert(part.shard, part.ticket);
                changes.extend(part.changes);
            }
            self.store.stage(changes);
        }
    }

    /// Commits what is staged and says so.
    fn commit(&mut self) {
        match self.store.commit(self.clock.wall()) {
            Ok(committed) => {
                self.sync_if_due();
                self.answer();
                self.set_full(committed.is_low);
            }
            Err(StoreError::Full) => self.set_full(true),
            Err(error) => end_process(&error),
        }
    }

    fn sync_if_due(&mut self) {
        if let Some(interval) = self.sync_interval
            && self.synced_at.elapsed() >= interval
        {
            self.synced_at = Instant::now();
            if let Err(error) = self.store.sync() {
                end_process(&error);
            }
        }
    }

    fn answer(&mut self) {
        let staged_bytes = std::mem::take(&mut self.staged_bytes);
        if !self.tickets.is_empty() {
            self.load.commits.fetch_add(1, Ordering::Relaxed);
        }
        self.load
            .waiting_bytes
            .fetch_sub(staged_bytes, Ordering::Relaxed);
        for (shard, ticket) in std::mem::take(&mut self.tickets) {
            self.mailboxes
                .send(usize::from(shard.0), Mail::Stored(ticket));
        }
    }

    fn set_full(&mut self, is_full: bool) {
        if self.is_full == is_full {
            return;
        }
        self.is_full = is_full;
        self.load.is_full.store(is_full, Ordering::Relaxed);
        self.mailboxes.to_all(|| Mail::StoreFull(is_full));
        if is_full {
            tracing::error!("the store's disk is full: what would have to be kept is refused");
        } else {
            tracing::info!("the store has room again");
        }
    }

    /// The shards have ended: the last commit, and the last sync.
    fn finish(mut self) {
        let ended = self.store.commit(self.clock.wall());
        if let Err(error) = ended.and_then(|_| self.store.sync()) {
            tracing::error!("what was not acknowledged is lost: {error}");
        }
    }
}

/// What is on disk is not known any more: neither is what may be acknowledged.
fn end_process(error: &StoreError) -> ! {
    tracing::error!("the store failed, ending at once: {error}");
    std::process::exit(1)
}

fn cost_bytes(part: &Part) -> usize {
    const CHANGE_BYTES: usize = 96;
    let message_bytes = |change: &Change| match change {
        Change::Put(Record::Message(message)) => message.cost_bytes(),
        _ => CHANGE_BYTES,
    };
    part.changes.iter().map(message_bytes).sum()
}

fn report(path: &std::path::Path, recovered: &Recovered, took: Duration) {
    for damage in &recovered.lost.damage {
        tracing::error!("{damage}");
    }
    if let Some(first) = recovered.lost.records.first() {
        tracing::error!(
            records = recovered.lost.records.len(),
            ?first,
            "left out, since what they need is LOST: weir store verify names all"
        );
    }
    tracing::info!(
        path = %path.display(),
        records = recovered.records.len() + recovered.parked.len(),
        milliseconds = took.as_millis(),
        "store opened"
    );
}
