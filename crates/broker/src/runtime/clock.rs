//! The engine's time, from the operating system's monotonic clock.
//!
//! The only place where the broker asks what time it is. It begins at the wall clock's time, so that there is room for what
//! happened before the process, and from then on never goes back: what people set on the wall clock plays no part, save
//! in what the store writes down.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant as SystemInstant;
use weir_engine::Instant;
use weir_store::WallClock;

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Counts on from the wall clock's time at the start of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: SystemInstant,
    unix_millis_at_start: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: SystemInstant::now(),
            unix_millis_at_start: unix_millis(),
        }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_millis(self.unix_millis_at_start).plus_millis(millis(self.start.elapsed()))
    }

    /// When the engine's moment is for tokio.
    pub(crate) fn system(self, at: Instant) -> SystemInstant {
        let since_start = at.millis_since(Instant::from_millis(self.unix_millis_at_start));
        // Nobody waits for longer than a year, and no clock of the system's overflows.
        self.start + Duration::from_millis(since_start).min(self.uptime() + A_YEAR)
    }

    /// What the engine's moments are on the wall clock now.
    pub(crate) fn wall(self) -> WallClock {
        let now = i128::from(unix_millis()) - i128::from(self.now().as_millis());
        WallClock {
            unix_millis_at_zero: i64::try_from(now).unwrap_or_default(),
        }
    }

    pub(crate) fn uptime(self) -> Duration {
        self.start.elapsed()
    }
}

fn unix_millis() -> u64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
