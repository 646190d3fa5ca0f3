//! What is looked at now and then instead of with a timer for each connection: silent links, the counts, the heartbeat.
//!
//! A link without traffic for the ping interval gets a WebSocket ping, so that proxies keep it and a dead peer is found
//! out. One of which nothing was heard for four intervals is given up: later than the usual Keep Alive of 60 seconds
//! runs out, so that a phone whose radio sleeps is judged by what it agreed to. Without WebSocket there are no pings: there the
//! operating system asks after the peer, and silence is Keep Alive's business.

use super::worker::Worker;
use std::rc::Rc;
use std::time::Duration;
use weir_engine::{Input, Lost};

/// The counts are at most this old.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// Intervals of silence after which a link is given up.
const PATIENCE: u64 = 4;

/// Runs for as long as the worker's thread.
pub(crate) async fn run(worker: Rc<Worker>) {
    let ping_interval = worker.shared.config.timing.ping_interval;
    let pace = [
        Some(REPORT_INTERVAL),
        worker.shared.watchdog_timeout.map(|timeout| timeout / 5),
        ping_interval.map(|interval| interval / 5),
    ];
    let pace = pace.into_iter().flatten().min().unwrap_or(REPORT_INTERVAL);
    let mut last_look = worker.now();
    loop {
        worker.beat();
        worker.report();
        if let Some(interval) = ping_interval {
            let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
            if worker.now().millis_since(last_look) >= millis / 5 {
                last_look = worker.now();
                look_after_silent(&worker, millis);
            }
        }
        tokio::time::sleep(pace).await;
    }
}

fn look_after_silent(worker: &Rc<Worker>, interval_millis: u64) {
    let now = worker.now();
    for link in worker.links().iter().filter(|link| link.has_pings()) {
        if link.silent_millis(now) >= PATIENCE * interval_millis {
            let lost = Lost::Unresponsive;
            worker.handle(
                now,
                Input::Closed {
                    connection: link.key(),
                    lost,
                },
            );
        } else if link.idle_millis(now) >= interval_millis {
            link.ping(now);
        }
    }
}
