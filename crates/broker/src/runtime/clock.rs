//! The engine's time, from the operating system's monotonic clock.
//!
//! The only place where the broker asks what time it is. It never goes back; what people set on the wall clock plays no
//! part.

use std::time::Duration;
use tokio::time::Instant as SystemInstant;
use weir_engine::Instant;

/// Counts from the start of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: SystemInstant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: SystemInstant::now(),
        }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When the engine's moment is for tokio.
    pub(crate) fn system(self, at: Instant) -> SystemInstant {
        self.start + Duration::from_millis(at.as_millis())
    }

    pub(crate) fn uptime(self) -> Duration {
        self.start.elapsed()
    }
}
