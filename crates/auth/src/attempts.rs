//! How often passwords were tried in vain, by user and by address, and how long the next try has to wait.
//!
//! The wait grows with each failure up to a maximum, and a try that comes before it is over is not looked at: it costs no
//! hash. What must hold: who tries many at once learns no more than who tries one after the other; memory is bounded
//! whatever is tried; a user that does not exist waits as one that does; nobody keeps a user out who logged in from the same address before, since then only the failures of that user from that
//! address count. A loopback address is no address here: behind a proxy that is not trusted, everybody would have it.

use crate::presented::network;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures of a user that cost nothing: people mistype.
const FREE_OF_USER: u32 = 5;

/// Failures from an address that cost nothing: many people may be behind it.
const FREE_OF_ADDRESS: u32 = 50;

/// Without a failure for so long, those before are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// For so long a login is remembered.
const KNOWN: Duration = Duration::from_secs(7 * 86_400);

/// As many users and addresses are remembered, and as many logins; then those that are longest ago are forgotten.
const REMEMBERED: usize = 65_536;

/// As many are looked at to find one that is long ago.
const SAMPLE: usize = 8;

/// Remembers failed logins.
#[derive(Debug)]
pub(crate) struct Attempts {
    delay_max: Duration,
    keys: RandomState,
    memory: Mutex<Memory>,
}

/// A try that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    user: u64,
    address: Option<u64>,
    pair: u64,
    /// The failures that counted for it when it began.
    failures: u32,
}

/// By hashes with a secret of this process, so that nobody can make two names meet.
#[derive(Debug, Default)]
struct Memory {
    failures: HashMap<u64, Failures>,
    /// When a user last logged in from an address.
    logins: HashMap<u64, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// The last one, or the last try that was let through.
    at: Instant,
}

impl Attempts {
    /// A try waits at most this long.
    pub(crate) fn new(delay_max: Duration) -> Self {
        Self {
            delay_max,
            keys: RandomState::new(),
            memory: Mutex::default(),
        }
    }

    /// Whether a password may be tried now.
    ///
    /// # Errors
    /// How long that has to wait.
    pub(crate) fn begin(
        &self,
        user: &str,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<Attempt, Duration> {
        let address = address.map(network);
        let mut attempt = Attempt {
            user: self.keys.hash_one((0_u8, user)),
            address: address
                .filter(|address| !address.is_loopback())
                .map(|address| self.keys.hash_one((1_u8, address))),
            pair: self.keys.hash_one((2_u8, user, address)),
            failures: 0,
        };
        let mut memory = self.memory();
        let lanes = memory.lanes(attempt, now);
        let wait = memory.longest_wait(&lanes, self.delay_max, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        // One try for each wait, however many come at the moment when it is over.
        lanes.iter().for_each(|lane| memory.take_turn(*lane, now));
        attempt.failures = memory.failures_of(&lanes, now);
        Ok(attempt)
    }

    /// Remembers how a try ended: the password was right, or it was wrong or the user is none.
    ///
    /// # Errors
    /// Others that began before its end have failed, so that this one has to wait after all, for so long; how it ended
    /// must not be told.
    pub(crate) fn end(
        &self,
        attempt: Attempt,
        is_right: bool,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut memory = self.memory();
        let lanes = memory.lanes(attempt, now);
        let wait = memory.longest_wait(&lanes, self.delay_max, now);
        if !wait.is_zero() && memory.failures_of(&lanes, now) > attempt.failures {
            return Err(wait);
        }
        if is_right {
            memory.succeeded(attempt, now);
        } else {
            memory.failed(attempt, now);
        }
        Ok(())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a try may have to wait for: a key, and how many of its failures cost nothing.
type Lane = (u64, u32);

impl Memory {
    fn lanes(&self, attempt: Attempt, now: Instant) -> Vec<Lane> {
        let login = self.logins.get(&attempt.pair);
        if login.is_some_and(|at| now.duration_since(*at) < KNOWN) {
            return vec![(attempt.pair, FREE_OF_USER)];
        }
        let of_address = attempt.address.map(|key| (key, FREE_OF_ADDRESS));
        let of_user = Some((attempt.user, FREE_OF_USER));
        of_user.into_iter().chain(of_address).collect()
    }

    fn failed(&mut self, attempt: Attempt, now: Instant) {
        let keys = [Some(attempt.user), attempt.address, Some(attempt.pair)];
        for key in keys.into_iter().flatten() {
            self.count(key, now);
        }
    }

    fn succeeded(&mut self, attempt: Attempt, now: Instant) {
        self.failures.remove(&attempt.pair);
        make_room(&mut self.logins, attempt.pair, |at| *at);
        self.logins.insert(attempt.pair, now);
    }

    /// Over all of these.
    fn failures_of(&self, lanes: &[Lane], now: Instant) -> u32 {
        let failures = lanes.iter().filter_map(|(key, _)| self.failures.get(key));
        let counting = failures.filter(|failures| now.duration_since(failures.at) < FORGOTTEN);
        counting.fold(0, |sum, failures| sum.saturating_add(failures.count))
    }

    fn longest_wait(&self, lanes: &[Lane], delay_max: Duration, now: Instant) -> Duration {
        let waits = lanes.iter().map(|lane| self.wait(*lane, delay_max, now));
        waits.max().unwrap_or_default()
    }

    fn wait(&self, (key, free): Lane, delay_max: Duration, now: Instant) -> Duration {
        let Some(failures) = self.failures.get(&key) else {
            return Duration::ZERO;
        };
        let since = now.duration_since(failures.at);
        let delay = match failures.count.checked_sub(free) {
            Some(more) if since < FORGOTTEN.max(delay_max) => {
                Duration::from_secs(1_u64.checked_shl(more).unwrap_or(u64::MAX)).min(delay_max)
            }
            _ => Duration::ZERO,
        };
        delay.saturating_sub(since)
    }

    fn take_turn(&mut self, (key, free): Lane, now: Instant) {
        if let Some(failures) = self.failures.get_mut(&key)
            && failures.count >= free
            && now.duration_since(failures.at) < FORGOTTEN
        {
            failures.at = now;
        }
    }

    fn count(&mut self, key: u64, now: Instant) {
        make_room(&mut self.failures, key, |failures| failures.at);
        let failures = self.failures.entry(key);
        let failures = failures.or_insert(Failures { count: 0, at: now });
        if now.duration_since(failures.at) >= FORGOTTEN {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.at = now;
    }
}

/// Forgets one that is long ago, if there is no room for this key.
fn make_room<V>(map: &mut HashMap<u64, V>, key: u64, at: impl Fn(&V) -> Instant) {
    if map.len() < REMEMBERED || map.contains_key(&key) {
        return;
    }
    let sample = map.iter().take(SAMPLE);
    let oldest = sample.min_by_key(|(_, value)| at(value));
    if let Some(oldest) = oldest.map(|(key, _)| *key) {
        map.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    /// A clock in seconds.
    struct World(Attempts, Instant);

    impl World {
        fn new() -> Self {
            Self(Attempts::new(Duration::from_secs(10)), Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.1 + Duration::from_secs(seconds)
        }

        /// How long a wrong password had to wait; it is wrong if it may be tried.
        fn fails(&self, user: &str, from: Option<IpAddr>, seconds: u64) -> u64 {
            match self.0.begin(user, from, self.at(seconds)) {
                Ok(attempt) => self.ends(attempt, false, seconds),
                Err(wait) => wait.as_secs(),
            }
        }

        /// How long it has to wait after all.
        fn ends(&self, attempt: Attempt, is_right: bool, seconds: u64) -> u64 {
            let ended = self.0.end(attempt, is_right, self.at(seconds));
            ended.map_or_else(|wait| wait.as_secs(), |()| 0)
        }

        fn logs_in(&self, user: &str, from: Option<IpAddr>, seconds: u64) -> bool {
            let attempt = self.0.begin(user, from, self.at(seconds));
            attempt.is_ok_and(|attempt| self.ends(attempt, true, seconds) == 0)
        }
    }

    #[test]
    fn the_wait_of_a_user_grows_to_the_maximum_and_is_forgotten() {
        let world = World::new();
        for _ in 0..5 {
            assert_eq!(world.fails("ann", HERE, 0), 0);
        }
        assert_eq!(world.fails("ann", THERE, 0), 1, "from anywhere");
        for (at, wait) in [(1, 2), (3, 4), (7, 8), (15, 10), (25, 10)] {
            assert_eq!(world.fails("ann", HERE, at), 0, "after the wait");
            assert_eq!(world.fails("ann", HERE, at), wait);
        }
        assert_eq!(world.fails("bob", HERE, 25), 0, "another user");
        for _ in 0..5 {
            assert_eq!(world.fails("ann", HERE, 700), 0, "forgotten");
        }
        assert_eq!(world.fails("ann", HERE, 700), 1);
    }

    #[test]
    fn only_one_is_let_through_when_the_wait_is_over() {
        let world = World::new();
        for _ in 0..5 {
            world.fails("ann", HERE, 0);
        }
        let (attempts, later) = (&world.0, world.at(1));
        assert!(attempts.begin("ann", HERE, later).is_ok());
        assert!(attempts.begin("ann", HERE, later).is_err());
    }

    /// Passwords take long to check, and an exchange of SCRAM can be left open: many tries may have begun before one ends.
    #[test]
    fn of_many_tries_at_once_no_more_are_told_than_one_after_the_other() {
        let world = World::new();
        let begin = |user| world.0.begin(user, HERE, world.at(0)).unwrap();
        let guesses: Vec<_> = (0..20).map(|_| begin("ann")).collect();
        let right = begin("ann");
        let waits: Vec<_> = guesses.iter().map(|it| world.ends(*it, false, 0)).collect();
        assert_eq!(waits, [[0; 5].as_slice(), &[1; 15]].concat());
        assert_eq!(world.ends(right, true, 0), 1, "not even the right one");
        let honest: Vec<_> = (0..20).map(|_| begin("bob")).collect();
        assert!(honest.iter().all(|it| world.ends(*it, true, 0) == 0));
    }

    #[test]
    fn who_has_waited_is_told() {
        let world = World::new();
        for _ in 0..5 {
            world.fails("ann", HERE, 0);
        }
        let attempt = world.0.begin("ann", HERE, world.at(1)).unwrap();
        assert_eq!(world.ends(attempt, true, 1), 0);
    }

    #[test]
    fn who_was_here_before_is_not_kept_out_by_others() {
        let world = World::new();
        assert!(world.logs_in("ann", HERE, 0));
        for guess in 0..200 {
            world.fails("ann", THERE, guess);
            world.fails(&format!("user {guess}"), HERE, guess);
        }
        assert!(!world.logs_in("ann", THERE, 199), "nobody knows her there");
        assert!(world.logs_in("ann", HERE, 199));
        for _ in 0..5 {
            assert_eq!(world.fails("ann", HERE, 199), 0);
        }
        assert_eq!(world.fails("ann", HERE, 199), 1, "her own failures");
    }

    #[test]
    fn an_address_waits_over_all_users_and_a_network_is_one() {
        let world = World::new();
        let address = |host: &str| Some(host.parse().unwrap());
        for guess in 0..50 {
            let from = address(&format!("2001:db8::{guess}"));
            assert_eq!(world.fails(&format!("user {guess}"), from, 0), 0);
        }
        assert_eq!(world.fails("another", address("2001:db8::ffff"), 0), 1);
        assert_eq!(world.fails("another", address("2001:db8:0:1::1"), 0), 0);
    }

    #[test]
    fn this_machine_is_no_address() {
        let world = World::new();
        for guess in 0..200 {
            let from = Some("127.0.0.1".parse().unwrap());
            assert_eq!(world.fails(&format!("user {guess}"), from, 0), 0);
        }
    }

    #[test]
    fn memory_is_bounded_whatever_is_tried() {
        let world = World::new();
        for guess in 0..REMEMBERED + 100 {
            let user = guess.to_string();
            assert_eq!(world.fails(&user, None, 0), 0);
            assert!(world.logs_in(&user, None, 0));
        }
        let memory = world.0.memory();
        assert!(memory.failures.len() <= REMEMBERED && memory.logins.len() <= REMEMBERED);
    }
}
