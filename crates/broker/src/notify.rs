//! What systemd is told: ready, stopping, and alive.
//!
//! Alive means that every shard has gone round since the last time, not that the process exists: each shard beats its
//! [`Heart`], and the watchdog's own thread pings only after all have. The thread shares nothing with the shards but
//! their counters, so no shard that hangs can hang it, and one that hangs silences it. Without systemd all of this
//! does nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// A shard that has ended in order; it is not waited for any more.
const RETIRED: u64 = u64::MAX;

/// Watches the hearts of all shards.
#[derive(Debug)]
pub(crate) struct Watchdog {
    beats: Arc<[AtomicU64]>,
    seen: Vec<u64>,
}

/// The sign of life of one shard.
#[derive(Debug)]
pub(crate) struct Heart {
    beats: Arc<[AtomicU64]>,
    shard: usize,
}

impl Watchdog {
    /// Watches `shards` shards, none of which has beaten yet.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            beats: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            seen: vec![0; shards],
        }
    }

    /// One heart for each shard, in order.
    pub(crate) fn hearts(&self) -> impl Iterator<Item = Heart> + use<> {
        let beats = self.beats.clone();
        (0..beats.len()).map(move |shard| Heart {
            beats: beats.clone(),
            shard,
        })
    }

    /// Starts the thread that pings systemd for as long as all shards beat. `timeout` is systemd's, see
    /// [`watchdog_timeout`]. The thread looks three times in it, so that a single late beat is not taken for a death.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub(crate) fn start(mut self, timeout: Duration) -> io::Result<()> {
        let round = move || {
            loop {
                thread::sleep(timeout / 3);
                if self.all_beat() {
                    tell(&[NotifyState::Watchdog]);
                }
            }
        };
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(round)
            .map(drop)
    }

    /// Whether every shard has beaten since this was last true.
    fn all_beat(&mut self) -> bool {
        let now: Vec<u64> = self
            .beats
            .iter()
            .map(|beats| beats.load(Ordering::Relaxed))
            .collect();
        let all = now
            .iter()
            .zip(&self.seen)
            .all(|(now, seen)| now != seen || *now == RETIRED);
        if all {
            self.seen = now;
        }
        all
    }
}

impl Heart {
    /// To be called at each turn of the shard, and at least four times in the watchdog's timeout.
    pub(crate) fn beat(&self) {
        self.beats[self.shard].fetch_add(1, Ordering::Relaxed);
    }

    /// The shard ends as it should. A heart that is dropped otherwise, by a panic, counts as stopped.
    pub(crate) fn retire(self) {
        self.beats[self.shard].store(RETIRED, Ordering::Relaxed);
    }
}

/// The listeners are open.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The broker was asked to end and does so.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// After how long without a ping systemd takes the broker for dead; `None` if it doesn't watch.
pub(crate) fn watchdog_timeout() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero())
}

/// A service manager that can't be told is no reason to stop serving clients.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_never_beats_silences_the_watchdog() {
        let mut watchdog = Watchdog::new(2);
        let hearts: Vec<Heart> = watchdog.hearts().collect();
        assert!(!watchdog.all_beat());
        hearts[0].beat();
        assert!(!watchdog.all_beat());
        hearts[1].beat();
        assert!(watchdog.all_beat());
    }

    #[test]
    fn each_ping_needs_new_beats() {
        let mut watchdog = Watchdog::new(2);
        let hearts: Vec<Heart> = watchdog.hearts().collect();
        hearts.iter().for_each(Heart::beat);
        assert!(watchdog.all_beat());
        assert!(!watchdog.all_beat());
        hearts[0].beat();
        assert!(!watchdog.all_beat());
        hearts[1].beat();
        assert!(watchdog.all_beat());
    }

    #[test]
    fn a_retired_shard_is_not_waited_for() {
        let mut watchdog = Watchdog::new(2);
        let mut hearts: Vec<Heart> = watchdog.hearts().collect();
        hearts.remove(0).retire();
        assert!(!watchdog.all_beat());
        hearts[0].beat();
        assert!(watchdog.all_beat());
    }

    #[test]
    fn a_heart_lost_in_a_panic_counts_as_stopped() {
        let mut watchdog = Watchdog::new(1);
        let lost = watchdog.hearts().next().unwrap();
        lost.beat();
        assert!(watchdog.all_beat());
        drop(lost);
        assert!(!watchdog.all_beat());
    }
}
