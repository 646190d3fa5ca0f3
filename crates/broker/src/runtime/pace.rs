//! How much a client may send in a second, and what becomes of one that sends more: it is read from more slowly.
//!
//! What was read is booked on every meter that it counts for: the client's own, its user's, its address's. A meter that is
//! ahead of time by more than a burst says how long whoever booked has to rest; the socket fills, TCP holds the peer up, and
//! nothing is lost. Each rests for what it booked itself, so nobody is kept from going on by others that keep booking.
//! One that has always more to send than it may is over the limit, not only bursting; after a while it is told to go.

use crate::config::Rates;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::time::{Duration, Sleep, sleep};
use weir_engine::Instant;

/// So much time's worth may come at once.
const BURST_NANOS: u64 = 1_000_000_000;

/// How long a rest may be without a look at the clock: a client that is not read from is not silent, and the shortest
/// Keep Alive runs out after one and a half seconds.
const NAP_MILLIS: u64 = 500;

/// What one client may send in a second, or several together.
#[derive(Debug)]
pub(crate) struct Meters {
    publishes: Option<Meter>,
    bytes: Option<Meter>,
}

/// One rate: when as much would be allowed as there was, had it come evenly, in nanoseconds.
#[derive(Debug)]
struct Meter {
    per_second: u64,
    due: AtomicU64,
}

/// The pace of one client.
#[derive(Debug)]
pub(crate) struct Pace {
    meters: Vec<Arc<Meters>>,
    patience_millis: Option<u64>,
    rests_until: Option<Instant>,
    nap: Option<Pin<Box<Sleep>>>,
    /// Since when it always had more to send than it may.
    above_since: Option<Instant>,
    is_over: bool,
}

/// What a look at a resting client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It may be read from.
    Done,
    /// Not yet.
    Goes,
    /// Not yet, and it is to be taken for heard of.
    GoesOn,
}

impl Meters {
    /// `None` if nothing is limited.
    pub(crate) fn of(rates: &Rates) -> Option<Self> {
        rates.are_limited().then(|| Self {
            publishes: rates.publishes_per_second.map(Meter::new),
            bytes: rates.bytes_per_second.map(Meter::new),
        })
    }

    /// How many nanoseconds whoever sent this has to rest.
    fn book(&self, now: Instant, publishes: u64, bytes: u64) -> u64 {
        let book = |meter: &Option<Meter>, count| match meter {
            Some(meter) if count > 0 => meter.book(now, count),
            _ => 0,
        };
        book(&self.publishes, publishes).max(book(&self.bytes, bytes))
    }
}

impl Meter {
    fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second: per_second.get().into(),
            due: AtomicU64::new(0),
        }
    }

    fn book(&self, now: Instant, count: u64) -> u64 {
        let now = now.as_millis().saturating_mul(1_000_000);
        let cost = count.saturating_mul(1_000_000_000) / self.per_second;
        let after = |due: u64| due.max(now).saturating_add(cost);
        let book = |due| Some(after(due));
        let before = self
            .due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, book);
        let due = before.map_or(0, after);
        due.saturating_sub(now.saturating_add(BURST_NANOS))
    }
}

impl Pace {
    /// The pace of a client that is measured by these; `None` if by none.
    pub(crate) fn of(
        meters: impl IntoIterator<Item = Arc<Meters>>,
        overrun_seconds: Option<NonZeroU32>,
    ) -> Option<Box<Self>> {
        let meters: Vec<_> = meters.into_iter().collect();
        let is_measured = !meters.is_empty();
        is_measured.then(|| {
            Box::new(Self {
                meters,
                patience_millis: overrun_seconds.map(|seconds| u64::from(seconds.get()) * 1000),
                rests_until: None,
                nap: None,
                above_since: None,
                is_over: false,
            })
        })
    }

    /// From now on these count, too.
    pub(crate) fn join(&mut self, meters: Arc<Meters>) {
        self.meters.push(meters);
    }

    /// This was read; returns whether a rest begins.
    pub(crate) fn book(&mut self, now: Instant, publishes: u64, bytes: u64) -> bool {
        let rests = self.meters.iter().map(|it| it.book(now, publishes, bytes));
        let nanos = rests.max().unwrap_or(0);
        if nanos == 0 {
            return false;
        }
        let until = now.plus_millis(nanos.div_ceil(1_000_000));
        let begins = self.rests_until.is_none();
        self.rests_until = self.rests_until.max(Some(until));
        let since = *self.above_since.get_or_insert(now);
        let patience = self.patience_millis;
        self.is_over |= patience.is_some_and(|patience| now.millis_since(since) >= patience);
        begins
    }

    /// Nothing more has come: it is not above the limit.
    pub(crate) fn is_quiet(&mut self) {
        self.above_since = None;
    }

    /// Whether it has been above the limit for too long.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether it is not to be read from.
    pub(crate) fn is_resting(&self) -> bool {
        self.rests_until.is_some()
    }

    /// Whether it may be read from again; if not, the task is woken when that is to be asked again.
    pub(crate) fn poll_rest(&mut self, now: Instant, cx: &mut Context<'_>) -> Rest {
        let mut rest = Rest::Goes;
        loop {
            let Some(until) = self.rests_until.filter(|until| *until > now) else {
                self.rests_until = None;
                self.nap = None;
                return Rest::Done;
            };
            let nap = self.nap.get_or_insert_with(|| {
                rest = Rest::GoesOn;
                let millis = until.millis_since(now).min(NAP_MILLIS);
                Box::pin(sleep(Duration::from_millis(millis)))
            });
            match nap.as_mut().poll(cx) {
                Poll::Pending => return rest,
                Poll::Ready(()) => self.nap = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn rates(publishes: u32, bytes: u32) -> Rates {
        Rates {
            publishes_per_second: NonZeroU32::new(publishes),
            bytes_per_second: NonZeroU32::new(bytes),
        }
    }

    fn pace(meters: &[&Arc<Meters>]) -> Box<Pace> {
        let meters = meters.iter().map(|meters| Arc::clone(meters));
        Pace::of(meters, NonZeroU32::new(3)).unwrap()
    }

    fn meters(publishes: u32, bytes: u32) -> Arc<Meters> {
        Arc::new(Meters::of(&rates(publishes, bytes)).unwrap())
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000_000 + millis)
    }

    #[tokio::test]
    async fn a_burst_passes_and_more_has_to_rest() {
        let mut pace = pace(&[&meters(10, 0)]);
        for _ in 0..10 {
            assert!(!pace.book(at(0), 1, 9));
        }
        assert!(pace.book(at(0), 1, 9));
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(pace.poll_rest(at(99), cx), Rest::GoesOn);
        assert_eq!(pace.poll_rest(at(99), cx), Rest::Goes);
        assert_eq!(pace.poll_rest(at(100), cx), Rest::Done);
        assert!(!pace.is_resting());
        assert!(pace.book(at(100), 1, 9));
    }

    #[test]
    fn bytes_are_measured_too_and_the_slower_meter_counts() {
        let mut pace = pace(&[&meters(1000, 1000), &meters(0, 2000)]);
        pace.book(at(0), 1, 5000);
        assert_eq!(pace.rests_until, Some(at(4000)));
        pace.book(at(0), 1, 1);
        assert_eq!(pace.rests_until, Some(at(4001)), "whole milliseconds");
    }

    #[test]
    fn who_shares_a_meter_rests_for_its_own_part() {
        let shared = meters(10, 0);
        let (mut loud, mut soft) = (pace(&[&shared]), pace(&[&shared]));
        loud.book(at(0), 20, 0);
        soft.book(at(0), 1, 0);
        assert_eq!(loud.rests_until, Some(at(1000)));
        loud.book(at(1000), 20, 0);
        assert_eq!(soft.rests_until, Some(at(1100)), "whatever others do");
    }

    #[test]
    fn only_who_never_stops_is_over_the_limit() {
        let mut pace = pace(&[&meters(10, 0)]);
        for second in 0..10 {
            pace.book(at(second * 1000), 20, 0);
            pace.is_quiet();
        }
        assert!(!pace.is_over());
        for second in 10..13 {
            pace.book(at(second * 1000), 20, 0);
            assert!(!pace.is_over());
        }
        pace.book(at(13_000), 20, 0);
        assert!(pace.is_over());
    }

    #[test]
    fn nothing_is_measured_where_nothing_is_limited() {
        assert!(Meters::of(&Rates::default()).is_none());
        assert!(Pace::of([], None).is_none());
    }
}
