//! A broker with very much to keep: ended, and started again.
//!
//! It queues messages for sessions that are away, is killed with SIGKILL, and is timed until it accepts connections again.
//! Then the sessions come back for what is theirs, and a retained topic is overwritten again and again; what the directory
//! holds is counted before and after. mosquitto is ended in order: only then it writes what it has.

use super::brokers::{Broker, Programs, Running};
use crate::process::Process;
use crate::scenario::durable::{Account, Load, Until, drain, enroll, fill};
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// How much, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    programs: Programs,
    /// Sessions, each with a subscription.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// Messages that are queued, over all sessions.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u32,
    /// A folder for the broker's files.
    #[arg(long)]
    scratch: PathBuf,
}

const PUBLISHERS: u32 = 20;
const PAYLOAD_BYTES: usize = 200;
/// Sessions that come at once.
const AT_A_TIME: usize = 1000;
/// How long a broker may take to give space back.
const CLEANING: Duration = Duration::from_secs(60);
/// Space that does not change for so long is what stays.
const SETTLED: Duration = Duration::from_secs(3);

/// Returns whether nothing was lost.
pub(crate) fn run(arguments: &Arguments) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut is_whole = true;
    for broker in [Broker::WeirSync, Broker::MosquittoPersistent] {
        if broker.is_among(&arguments.programs) {
            println!("{}", broker.title());
            let trial = Trial::new(arguments, broker)?;
            is_whole &= LocalSet::new().block_on(&runtime, trial.run())?;
        }
    }
    Ok(is_whole)
}

/// One broker, ended and started again.
struct Trial<'a> {
    arguments: &'a Arguments,
    broker: Broker,
    folder: PathBuf,
    running: Running,
}

impl<'a> Trial<'a> {
    fn new(arguments: &'a Arguments, broker: Broker) -> io::Result<Self> {
        let folder = arguments.scratch.join("recovery");
        let running = broker.start(&arguments.programs, &folder)?;
        Ok(Self {
            arguments,
            broker,
            folder,
            running,
        })
    }

    async fn run(mut self) -> io::Result<bool> {
        self.say("empty");
        let sessions = self.arguments.sessions;
        let enrolled = enroll(self.running.address(), sessions, AT_A_TIME);
        timed(&format!("{sessions} sessions made"), enrolled).await?;
        self.say("sessions");
        let alone = self.again("sessions, restarted")?;

        let load = self.load(sessions, false);
        let account = Rc::new(Account::new(&load));
        let filled = fill(self.running.address(), &load, &account);
        timed("queued", filled).await?;
        self.say("queued");
        let queued = self.again("queued, restarted")?;
        let messages = account.acknowledged();
        let each = queued.saturating_sub(alone) as f64 / messages as f64;
        println!("memory of a queued message: {each:.0} B");
        let whole = queued as f64 / messages as f64;
        println!("  with its share of all else, sessions included: {whole:.0} B");

        timed(
            "everybody came back",
            drain(self.running.address(), &account, AT_A_TIME),
        )
        .await?;
        let lost = messages - account.delivered();
        println!("lost: {lost}");
        self.settle().await;
        self.say("acknowledged");
        self.again("acknowledged, restarted")?;

        let load = self.load(1, true);
        let account = Rc::new(Account::new(&load));
        let filled = fill(self.running.address(), &load, &account);
        timed("one retained topic overwritten", filled).await?;
        self.settle().await;
        self.say("overwritten");
        Ok(lost == 0)
    }

    fn load(&self, sessions: usize, retain: bool) -> Load {
        Load {
            sessions,
            publishers: PUBLISHERS as usize,
            window: 100,
            payload_bytes: PAYLOAD_BYTES,
            until: Until::Count(self.arguments.messages / PUBLISHERS),
            retain,
        }
    }

    /// Ends it, starts it again, and returns its memory then.
    fn again(&mut self, what: &str) -> io::Result<u64> {
        let port = self.running.port();
        match self.broker.is_weir() {
            true => self.running.kill(),
            false => self.running.end()?,
        }
        let begun = Instant::now();
        let programs = &self.arguments.programs;
        self.running = self.broker.start_again(programs, &self.folder, port)?;
        let took = begun.elapsed();
        let process = self.process();
        println!(
            "{what}: accepts connections after {took:.2?}, {:.2?} of CPU",
            process.cpu()
        );
        std::thread::sleep(Duration::from_secs(1));
        self.say(what);
        Ok(process.resident_bytes())
    }

    fn process(&self) -> Process {
        Process(self.running.process_id())
    }

    fn say(&self, what: &str) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let process = self.process();
        println!(
            "{what}: resident {:.1} MiB, at most {:.1} MiB; on disk {:.1} MiB",
            mib(process.resident_bytes()),
            mib(process.resident_peak_bytes()),
            mib(disk_bytes(&self.folder))
        );
    }

    /// Until the directory has stopped to change.
    async fn settle(&self) {
        let begun = Instant::now();
        let mut last = (disk_bytes(&self.folder), Instant::now());
        while last.1.elapsed() < SETTLED && begun.elapsed() < CLEANING {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = disk_bytes(&self.folder);
            if now != last.0 {
                last = (now, Instant::now());
            }
        }
    }
}

async fn timed(what: &str, done: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let begun = Instant::now();
    done.await?;
    println!("{what} in {:.1?}", begun.elapsed());
    Ok(())
}

/// Blocks that the folder's files take, as `du` counts them.
fn disk_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(of).sum()
}
