//! Time as the engine knows it: a number it is told.
//!
//! An [`Instant`] counts milliseconds from a start that only the caller knows. It never goes back; nothing here
//! reads a clock.

use core::num::NonZeroU64;

/// A moment, in milliseconds since the caller's own start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(
    /// One more than the milliseconds, so that no moment at all takes no room: there is one in every message.
    NonZeroU64,
);

impl Instant {
    /// The moment `milliseconds` after the start.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(milliseconds))
    }

    /// Milliseconds since the start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0.get() - 1
    }

    /// This moment plus `seconds`.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        self.plus_millis(seconds as u64 * 1000)
    }

    /// This moment plus `milliseconds`.
    #[must_use]
    pub const fn plus_millis(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this moment; 0 if it is not earlier.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::from_millis(0)
    }
}
