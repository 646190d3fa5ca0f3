//! Messages that have to last: QoS 1 to persistent sessions, which are away or there.
//!
//! Every message is for one session. A publisher has a window of messages that are not acknowledged, so a broker that
//! writes to disk can do so for many at once. What is counted is PUBACKs; the latency is theirs. Whatever was acknowledged
//! has to arrive: at sessions that were away, when they come back after the measurement.

mod account;
mod publisher;
mod subscriber;

pub(crate) use account::Account;
pub(crate) use publisher::{Load, Until};
pub(crate) use subscriber::{drain, enroll};

use super::{Options, Scenario};
use crate::address::Address;
use crate::process::Process;
use crate::report::{Latency, Report, Spent};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// How long publishing may take that ends with a number of messages.
const FILL_LIMIT: Duration = Duration::from_secs(120);

/// Clients that come and go side by side.
const AT_A_TIME: usize = 500;

/// Subscribers that are away while it is published.
pub(super) async fn offline(
    scenario: Scenario,
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let load = match scenario {
        Scenario::DurableFilled => Load::filling(options),
        Scenario::DurableLockstep => Load {
            window: 1,
            ..Load::measured(options)
        },
        _ => Load::measured(options),
    };
    let account = Rc::new(Account::new(&load));
    enroll(address, load.sessions, AT_A_TIME).await?;
    let limit = FILL_LIMIT.max(options.duration * 2);
    let published = publish(address, broker, &load, &account, scenario);
    let report = timeout(limit, published).await.map_err(|_| {
        let acknowledged = account.acknowledged();
        io::Error::other(format!("{acknowledged} acknowledged after {limit:?}"))
    })??;
    let begun = Instant::now();
    drain(address, &account, AT_A_TIME).await?;
    let rate = account.delivered() as f64 / begun.elapsed().as_secs_f64();
    Ok(account.judge(report).with("drained_per_second", rate))
}

/// Subscribers that receive and acknowledge.
pub(super) async fn online(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let load = Load::measured(options);
    let account = Rc::new(Account::new(&load));
    let mut tasks = Vec::new();
    for session in 0..load.sessions {
        let client = subscriber::subscribe(address, session).await?;
        let receiving = subscriber::receive(Rc::clone(&account), session, client);
        tasks.push(spawn_local(receiving));
    }
    let report = publish(address, broker, &load, &account, Scenario::DurableOnline).await?;
    account.settled().await;
    tasks.iter().for_each(|task| task.abort());
    Ok(account.judge(report))
}

/// One message after the other, each for a session that is away.
pub(super) async fn single(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let load = Load {
        sessions: 1,
        publishers: 1,
        window: 1,
        ..Load::measured(options)
    };
    let account = Rc::new(Account::new(&load));
    enroll(address, load.sessions, AT_A_TIME).await?;
    let report = publish(address, broker, &load, &account, Scenario::DurableSingle).await?;
    drain(address, &account, AT_A_TIME).await?;
    Ok(account.judge(report))
}

async fn publish(
    address: &Address,
    broker: Process,
    load: &Load,
    account: &Rc<Account>,
    scenario: Scenario,
) -> io::Result<Report> {
    let publishers = publisher::connect(address, load).await?;
    let (spent, begun) = (Spent::start(broker), Instant::now());
    publisher::publish(publishers, load, account).await?;
    let elapsed = begun.elapsed();
    let mut report = spent.report(scenario, "acknowledged", account.acknowledged(), elapsed);
    report.latency = Latency::of(&account.latency_nanos());
    Ok(report)
}

/// Publishes a load without measuring it.
pub(crate) async fn fill(address: &Address, load: &Load, account: &Rc<Account>) -> io::Result<()> {
    let publishers = publisher::connect(address, load).await?;
    publisher::publish(publishers, load, account).await
}

fn topic_name(session: usize) -> String {
    format!("durable/{session}")
}

fn client_id(session: usize) -> String {
    format!("durable-{session}")
}
