//! The driver: threads, sockets and clocks around the engine.
//!
//! One thread a shard, each with a current-thread runtime and everything its connections need; packet, session and write
//! share a thread. The main thread opens the listeners, which the shards accept from, and waits for the signal to stop.

mod arrival;
mod authenticate;
mod clock;
mod contest;
mod crowd;
mod descriptors;
mod doorkeeper;
mod ending;
mod files;
mod link;
mod listener;
mod mailbox;
mod pace;
mod peer;
mod post;
mod proxy;
#[cfg(test)]
mod refusals;
mod reload;
mod storage;
mod stream;
mod sweep;
mod tally;
mod tls;
mod transport;
mod turn_away;
mod worker;

use crate::config::{Bind, Config};
use crate::notify::{self, Watchdog};
use clock::Clock;
use crowd::{Bounds, Crowd};
use doorkeeper::Doorkeeper;
use files::Files;
pub(crate) use files::{Unusable, open as open_files};
use listener::Listening;
use mailbox::{Mail, Mailbox, Mailboxes};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use storage::{Load, OpenError, Opened, Storage};
use tally::{Report, Tally};
use tls::{Keeper, Tls};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use weir_auth::Chain;
use weir_engine::{Settings, Utf8};

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) providers: Chain,
    pub(crate) doorkeeper: Arc<Doorkeeper>,
    /// By user; nobody is counted where nothing is limited.
    pub(crate) users: Arc<Crowd<Utf8>>,
    /// Of each listener that has TLS.
    pub(crate) tls: Vec<Option<Arc<Tls>>>,
    store: Option<Arc<Load>>,
    /// The latest counts of each shard.
    reports: Box<[Mutex<Report>]>,
    pub(crate) tally: Tally,
    pub(crate) watchdog_timeout: Option<Duration>,
}

impl Shared {
    /// What a broker with this configuration shares, without a store.
    ///
    /// # Errors
    /// A file that it needs can't be used.
    fn of(config: Config) -> Result<Self, RunError> {
        let limits = &config.limits;
        let of_users = Bounds {
            at_once: limits.max_connections_per_user,
            per_second: limits.max_handshakes_per_second_per_user,
            rates: limits.of_user,
        };
        let shards = 0..config.shards.get();
        let Files { providers, tls } = open_files(&config).map_err(RunError::Files)?;
        Ok(Self {
            clock: Clock::start(),
            store: None,
            providers,
            doorkeeper: Arc::new(Doorkeeper::new(limits)),
            users: Arc::new(Crowd::new(of_users)),
            tls,
            reports: shards.map(|_| Mutex::default()).collect(),
            tally: Tally::default(),
            watchdog_timeout: None,
            config,
        })
    }

    /// The sum over all shards, as of their last sweep.
    fn reports(&self) -> Report {
        let mut sum = Report::default();
        for report in &self.reports {
            let report = *report.lock().unwrap_or_else(PoisonError::into_inner);
            sum.stats += report.stats;
            sum.traffic += report.traffic;
        }
        sum
    }

    /// Whether what should be kept can be.
    pub(crate) fn keeps_up(&self) -> bool {
        !self.store.as_ref().is_some_and(|load| load.is_full())
    }

    fn report(&self, shard: usize, report: Report) {
        if let Some(slot) = self.reports.get(shard) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = report;
        }
    }
}

/// Why the broker could not run.
#[derive(Debug)]
pub(crate) enum RunError {
    /// A listener's address could not be had.
    Bind(Bind, io::Error),
    /// Files that the configuration names can't be used.
    Files(Unusable),
    /// The store could not be opened.
    Store(OpenError),
    /// A thread, a runtime or a signal handler could not be had.
    Start(io::Error),
    /// A shard's thread panicked.
    ShardDied,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) => write!(f, "can't listen on {address}: {error}"),
            Self::Files(unusable) => unusable.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Start(error) => write!(f, "can't start: {error}"),
            Self::ShardDied => f.write_str("a shard ended unexpectedly"),
        }
    }
}

impl RunError {
    /// The exit code: 2 where a file has to be edited, so that a supervisor knows a restart won't help, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Files(unusable) if unusable.has_to_be_edited() => 2,
            _ => 1,
        }
    }
}

/// Runs the broker until SIGTERM or SIGINT.
pub(crate) fn run(config: Config) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    // Before anything that takes long: what comes meanwhile waits until it can be heeded.
    let signals = {
        let _entered = runtime.enter();
        Signals::catch().map_err(RunError::Start)?
    };
    descriptors::make_room(config.limits.max_connections);
    let shards = config.shards.get();
    let clock = Clock::start();
    let (mailboxes, owners) = Mailboxes::new(shards);
    let opened = Opened::open(&config.store, clock).map_err(RunError::Store)?;
    let restored = opened.as_ref().map(Opened::restored);
    let started = opened.map(|opened| opened.start(&config.store, clock, mailboxes.clone()));
    let (storage, store_thread) = started.transpose().map_err(RunError::Start)?.unzip();
    let shared = Shared {
        clock,
        store: storage.as_ref().map(Storage::load),
        watchdog_timeout: notify::watchdog_timeout(),
        ..Shared::of(config)?
    };
    let shared = Arc::new(shared);
    let watchdog = Watchdog::new(shards);
    let (settled, settling) = unbounded_channel();
    let seed = RandomState::new().hash_one("weir");
    let (knell, deaths) = unbounded_channel();
    let threads: Vec<_> = owners
        .into_iter()
        .zip(watchdog.hearts())
        .enumerate()
        .map(|(shard, (mailbox, heart))| {
            let start = worker::Start {
                shard,
                seed,
                settings: shard_settings(&shared.config),
                shared: Arc::clone(&shared),
                mailboxes: mailboxes.clone(),
                heart,
                storage: storage.clone(),
                restored: restored.clone(),
                settled: settled.clone(),
            };
            spawn_worker(start, mailbox, Knell(knell.clone()))
        })
        .collect::<Result<_, _>>()
        .map_err(RunError::Start)?;
    // The store ends with the last shard, and what was restored is the shards' own.
    drop((storage, restored, settled));
    if let Some(timeout) = shared.watchdog_timeout {
        watchdog.start(timeout).map_err(RunError::Start)?;
    }
    let keeper = Keeper::start(shared.tls.iter().flatten().cloned().collect());
    let keeper = keeper.map_err(RunError::Start)?;
    let calls = (settling, deaths);
    let ended = runtime.block_on(serve(&shared, &mailboxes, &keeper, signals, calls));
    let joined = threads.into_iter().map(thread::JoinHandle::join);
    let died = joined.filter(Result::is_err).count() > 0;
    let store_died = store_thread.is_some_and(|thread| thread.join().is_err());
    if died || store_died {
        return Err(RunError::ShardDied);
    }
    ended.inspect(|()| tracing::info!("stopped"))
}

/// The signals that the broker heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on none of them ends the process. To be called within a runtime.
    fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Serves until a signal comes, or a shard dies, and ends in order.
async fn serve(
    shared: &Arc<Shared>,
    mailboxes: &Mailboxes,
    keeper: &Keeper,
    signals: Signals,
    mut calls: (UnboundedReceiver<()>, UnboundedReceiver<()>),
) -> Result<(), RunError> {
    let ended = attend(shared, mailboxes, keeper, signals, &mut calls).await;
    let dead = usize::from(matches!(ended, Err(RunError::ShardDied)));
    wind_down(mailboxes, mailboxes.len() - dead, calls).await;
    ended
}

/// Opens the listeners, says so, and has the shards accept from them until a signal comes.
async fn attend(
    shared: &Arc<Shared>,
    mailboxes: &Mailboxes,
    keeper: &Keeper,
    mut signals: Signals,
    (settling, deaths): &mut (UnboundedReceiver<()>, UnboundedReceiver<()>),
) -> Result<(), RunError> {
    for _ in 0..mailboxes.len() {
        tokio::select! {
            _ = settling.recv() => {}
            _ = deaths.recv() => return Err(RunError::ShardDied),
        }
    }
    for (index, listener) in shared.config.listeners.iter().enumerate() {
        let listening = Listening::bind(index, listener)
            .map_err(|error| RunError::Bind(listener.bind.clone(), error))?;
        // On stdout, for whoever started the broker on port 0; the log says it to others, if nobody reads there.
        let _ = writeln!(io::stdout(), "listening on {listening}");
        tracing::info!(listener = %listening, "listening");
        mailboxes.send(index % mailboxes.len(), Mail::Listen(Box::new(listening)));
    }
    notify::ready();
    let mut look = tokio::time::interval(reload::INTERVAL);
    let signal = loop {
        tokio::select! {
            _ = signals.terminate.recv() => break "SIGTERM",
            _ = signals.interrupt.recv() => break "SIGINT",
            // Log rotation sends it by habit; it must not end the broker.
            _ = signals.hangup.recv() => {
                tracing::info!("SIGHUP: certificates and the files of [auth] are read again; restart to apply a changed configuration");
                keeper.look();
                reload::look(shared, mailboxes, true);
            }
            _ = look.tick() => reload::look(shared, mailboxes, false),
            // Half a broker is worse than none: whoever supervises it starts a whole one.
            _ = deaths.recv() => return Err(RunError::ShardDied),
        }
    };
    notify::stopping();
    tracing::info!(signal, "stopping");
    Ok(())
}

/// Stops all shards when nothing is under way in any of them: mail between them that is not read would be lost.
async fn wind_down(
    mailboxes: &Mailboxes,
    alive: usize,
    (mut quiet, mut deaths): (UnboundedReceiver<()>, UnboundedReceiver<()>),
) {
    mailboxes.to_all(|| Mail::Shutdown);
    for _ in 0..alive {
        tokio::select! {
            _ = quiet.recv() => {}
            _ = deaths.recv() => {}
        }
    }
    mailboxes.to_all(|| Mail::End);
}

/// Tolls when a shard's thread ends, in whatever way.
struct Knell(UnboundedSender<()>);

impl Drop for Knell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn spawn_worker(
    start: worker::Start,
    mailbox: Mailbox,
    knell: Knell,
) -> io::Result<thread::JoinHandle<()>> {
    let name = format!("shard-{}", start.shard);
    thread::Builder::new().name(name).spawn(move || {
        let _knell = knell;
        worker::run(start, mailbox);
    })
}

/// The engine's settings; limits on totals are split over the shards. Every shard holds all retained messages.
fn shard_settings(config: &Config) -> Settings {
    let limits = &config.limits;
    Settings {
        max_packet_bytes: limits.max_packet_bytes,
        receive_maximum: limits.receive_maximum,
        topic_alias_maximum: limits.topic_alias_maximum,
        outgoing_alias_maximum: limits.outgoing_topic_alias_maximum,
        inflight_maximum: limits.inflight_maximum,
        outbox_bytes: limits.outbox_bytes,
        queue_messages: limits.queue_messages,
        queue_bytes: limits.queue_bytes,
        slow_reader_bytes: limits.slow_reader_bytes,
        max_subscriptions_per_session: limits.max_subscriptions_per_session,
        takeovers_maximum: limits.max_takeovers,
        takeover_pause_seconds: limits.takeover_pause_seconds,
        max_topic_levels: limits.max_topic_levels,
        max_sessions: limits.max_sessions.div_ceil(config.shards.get()),
        max_retained_messages: limits.max_retained_messages,
        max_retained_bytes: limits.max_retained_bytes,
        session_expiry_max_seconds: limits.max_session_expiry_seconds,
        server_keep_alive_seconds: config.timing.server_keep_alive_seconds.map_or(0, u16::from),
        is_durable: config.store.directory().is_some(),
        tolerates_long_3_1_client_ids: config.tolerate.long_3_1_client_ids,
        tolerates_receive_maximum_exceeded: config.tolerate.receive_maximum_exceeded,
    }
}
