//! Between the engine's moments, which count from the start of the process, and a clock that outlives it.
//!
//! On disk stand unix milliseconds. A wall clock that was set back or forward between two runs shifts what they mean by
//! as much; nothing overflows, and what would lie before the start of the process becomes its start. Whoever lets the
//! engine's moments begin long before the process (at the unix epoch, say) loses nothing to that.

use weir_engine::Instant;

/// Where the engine's clock begins, on the wall's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    /// The unix time of [`Instant::from_millis`]`(0)`, in milliseconds.
    pub unix_millis_at_zero: i64,
}

impl WallClock {
    pub(crate) fn unix_millis(self, moment: Instant) -> u64 {
        saturating(i128::from(self.unix_millis_at_zero) + i128::from(moment.as_millis()))
    }

    pub(crate) fn moment(self, unix_millis: u64) -> Instant {
        Instant::from_millis(saturating(
            i128::from(unix_millis) - i128::from(self.unix_millis_at_zero),
        ))
    }
}

fn saturating(millis: i128) -> u64 {
    u64::try_from(millis.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_means_the_same_after_a_restart() {
        let first = WallClock {
            unix_millis_at_zero: 1_000_000,
        };
        let second = WallClock {
            unix_millis_at_zero: 1_060_000,
        };
        let expires = Instant::from_millis(90_000);
        assert_eq!(
            second.moment(first.unix_millis(expires)),
            Instant::from_millis(30_000)
        );
    }

    #[test]
    fn clocks_that_jumped_saturate() {
        let far = WallClock {
            unix_millis_at_zero: i64::MAX,
        };
        let before = WallClock {
            unix_millis_at_zero: i64::MIN,
        };
        assert_eq!(far.moment(5), Instant::from_millis(0));
        assert_eq!(before.unix_millis(Instant::from_millis(7)), 0);
        assert_eq!(far.unix_millis(Instant::from_millis(u64::MAX)), u64::MAX);
        assert_eq!(before.moment(u64::MAX), Instant::from_millis(u64::MAX));
    }
}
