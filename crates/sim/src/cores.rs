//! Many seeds on all cores.
//!
//! Runs share nothing, so each core takes the next seed when it is done with the last, and what comes of all of them does not
//! depend on who ran what.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};

/// As many threads as there are cores.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Visits each seed once, on so many threads, in order as far as several can. A thread whose visit breaks takes no more.
pub fn each_seed(seeds: Range<u64>, threads: usize, visit: impl Fn(u64) -> ControlFlow<()> + Sync) {
    let next = AtomicU64::new(seeds.start);
    let take = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || visit(seed).is_break() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(take);
        }
    });
}
