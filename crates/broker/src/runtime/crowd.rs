//! Who is here of one kind, the clients from an address or of a user: how many, how fast they come, and what they share.
//!
//! What must hold: what is counted is given back when its seat is dropped, in whatever way; whoever has nobody here any
//! more is forgotten, as soon as their pace allows it.

use super::pace::Meters;
use crate::config::Rates;
use dashmap::DashMap;
use std::hash::Hash;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// So many more than are here are remembered, for their pace, before those that rested are forgotten.
const REMEMBERED: usize = 1024;

/// A burst of so much time's worth is let in at once.
const BURST: Duration = Duration::from_secs(1);

/// Counts by key. Threads meet here, at the beginning and the end of a connection only.
#[derive(Debug)]
pub(crate) struct Crowd<K: Eq + Hash> {
    visits: DashMap<K, Visits>,
    inside: AtomicUsize,
    bounds: Bounds,
}

/// What those of one key may.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// Connections at a time.
    pub(crate) at_once: Option<NonZeroUsize>,
    /// Connections begun in a second.
    pub(crate) per_second: Option<NonZeroU32>,
    /// What all of them send together.
    pub(crate) rates: Rates,
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// So many are here already.
    TooMany,
    /// They come too fast.
    TooFast,
}

/// What is known of one key.
#[derive(Debug)]
struct Visits {
    inside: usize,
    /// When as many connections would be allowed as there were, had they come evenly.
    due: Instant,
    meters: Option<Arc<Meters>>,
}

/// One connection's seat; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat<K: Eq + Hash> {
    crowd: Arc<Crowd<K>>,
    key: K,
    /// What it shares with the others.
    meters: Option<Arc<Meters>>,
}

impl Bounds {
    /// Whether there is anything to count.
    pub(crate) fn are_limited(&self) -> bool {
        self.at_once.is_some() || self.per_second.is_some() || self.rates.are_limited()
    }
}

impl<K: Eq + Hash + Clone> Crowd<K> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            visits: DashMap::new(),
            inside: AtomicUsize::new(0),
            bounds,
        }
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// A seat for one more. Who `replaces` one that is about to leave is none more.
    ///
    /// # Errors
    /// They have had their share.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: K,
        replaces: bool,
        now: Instant,
    ) -> Result<Seat<K>, Excess> {
        self.forget_rested(now);
        let mut visits = self.visits.entry(key.clone()).or_insert_with(|| Visits {
            inside: 0,
            due: now,
            meters: Meters::of(&self.bounds.rates).map(Arc::new),
        });
        if let Some(max) = self.bounds.per_second {
            let due = visits.due.max(now) + Duration::from_secs(1) / max.get();
            if due > now + BURST {
                return Err(Excess::TooFast);
            }
            visits.due = due;
        }
        let has_room = |max: NonZeroUsize| visits.inside < max.get() || replaces;
        if !self.bounds.at_once.is_none_or(has_room) {
            return Err(Excess::TooMany);
        }
        visits.inside += 1;
        self.inside.fetch_add(1, Ordering::Relaxed);
        Ok(Seat {
            crowd: Arc::clone(self),
            key,
            meters: visits.meters.clone(),
        })
    }
}

impl<K: Eq + Hash> Crowd<K> {
    fn leave(&self, key: &K) {
        let now = Instant::now();
        self.inside.fetch_sub(1, Ordering::Relaxed);
        self.visits.remove_if_mut(key, |_, visits| {
            visits.inside = visits.inside.saturating_sub(1);
            visits.inside == 0 && visits.due <= now
        });
    }

    /// Those that left faster than they may come are kept for their pace; not for ever.
    fn forget_rested(&self, now: Instant) {
        if self.visits.len() > 2 * self.inside.load(Ordering::Relaxed) + REMEMBERED {
            self.visits
                .retain(|_, visits| visits.inside > 0 || visits.due > now);
        }
    }
}

impl<K: Eq + Hash> Seat<K> {
    /// What all that have a seat of this key share.
    pub(crate) fn meters(&self) -> Option<Arc<Meters>> {
        self.meters.clone()
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        self.crowd.leave(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(at_once: usize, per_second: u32) -> Arc<Crowd<u32>> {
        Arc::new(Crowd::new(Bounds {
            at_once: NonZeroUsize::new(at_once),
            per_second: NonZeroU32::new(per_second),
            rates: Rates::default(),
        }))
    }

    #[test]
    fn a_seat_is_given_back_and_who_has_none_is_forgotten() {
        let (crowd, now) = (crowd(1, 0), Instant::now());
        let first = crowd.enter(1, false, now).unwrap();
        assert_eq!(crowd.enter(1, false, now).err(), Some(Excess::TooMany));
        assert!(crowd.enter(2, false, now).is_ok(), "another key");
        drop(first);
        assert!(crowd.visits.is_empty());
        assert!(crowd.enter(1, false, now).is_ok());
    }

    #[test]
    fn who_takes_the_place_of_another_is_none_more() {
        let (crowd, now) = (crowd(1, 0), Instant::now());
        let first = crowd.enter(1, false, now).unwrap();
        let second = crowd.enter(1, true, now).unwrap();
        drop(first);
        assert_eq!(crowd.enter(1, false, now).err(), Some(Excess::TooMany));
        drop(second);
    }

    #[test]
    fn a_burst_is_let_in_and_then_so_many_a_second() {
        let (crowd, start) = (crowd(0, 2), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let enters = |millis| crowd.enter(1, false, at(millis)).is_ok();
        assert!(enters(0) && enters(0));
        assert!(!enters(0) && !enters(499));
        assert!(enters(500));
        assert!(!enters(900));
        assert!(enters(1000));
        assert!(crowd.enter(2, false, start).is_ok(), "another key");
        assert!(enters(10_000) && enters(10_000));
        assert!(!enters(10_000), "who waits long may not come all at once");
    }

    #[test]
    fn who_rested_is_forgotten() {
        let (crowd, now) = (crowd(0, 1), Instant::now());
        for key in 0..u32::try_from(REMEMBERED).unwrap() + 10 {
            drop(crowd.enter(key, false, now));
        }
        assert!(crowd.visits.len() > REMEMBERED);
        drop(crowd.enter(7, false, now + Duration::from_secs(60)));
        assert!(crowd.visits.len() < 2);
    }
}
