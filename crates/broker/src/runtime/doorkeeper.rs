//! Who is let through the door: connections counted in all, and by address, and how fast they come from one.
//!
//! What must hold: what is counted is given back when the connection ends, in whatever way; an address that nobody
//! connects from any more is forgotten. In IPv6 a whole /64 counts as one address, since any host has as many of it as
//! it likes. Who is refused is told so, by as many escorts as there are; above that, connections are only closed.

use crate::config::Limits;
use dashmap::DashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_ws::Refusal;

/// So many addresses more than connections are remembered, for their pace, before those that rested are forgotten.
const REMEMBERED: usize = 1024;

/// Refused clients that are told so at a time.
const ESCORTS: usize = 64;

/// A burst of so much time's worth is let in at once.
const BURST: Duration = Duration::from_secs(1);

/// Counts who is inside. Threads meet here, at the beginning and the end of a connection only.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    inside: AtomicUsize,
    by_address: DashMap<IpAddr, Visits>,
    max: usize,
    max_per_address: Option<NonZeroUsize>,
    max_per_second: Option<NonZeroU32>,
    escorts: Arc<Semaphore>,
}

/// What a connection is met with.
#[derive(Debug)]
pub(crate) enum Place {
    /// It may come in.
    Given(Admission),
    /// It is told why not.
    Refused(Refusal, Escort),
}

/// The right to tell a client that it is refused.
#[derive(Debug)]
pub(crate) struct Escort {
    _permit: OwnedSemaphorePermit,
}

/// What is known of one address.
#[derive(Debug)]
struct Visits {
    inside: usize,
    /// When as many connections would be allowed as there were, had they come evenly.
    due: Instant,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    doorkeeper: Arc<Doorkeeper>,
    address: Option<IpAddr>,
}

impl Doorkeeper {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            inside: AtomicUsize::new(0),
            by_address: DashMap::new(),
            max: limits.max_connections,
            max_per_address: limits.max_connections_per_address,
            max_per_second: limits.max_handshakes_per_second_per_address,
            escorts: Arc::new(Semaphore::new(ESCORTS)),
        }
    }

    /// What a new connection is met with; whose it is may be found out later.
    ///
    /// # Errors
    /// It is refused, and nobody is free to tell it.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Place, Refusal> {
        match self.enter() {
            Ok(admission) => Ok(Place::Given(admission)),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Has somebody tell it.
    ///
    /// # Errors
    /// Nobody is free to.
    pub(crate) fn refuse(&self, refusal: Refusal) -> Result<Place, Refusal> {
        match Arc::clone(&self.escorts).try_acquire_owned() {
            Ok(permit) => Ok(Place::Refused(refusal, Escort { _permit: permit })),
            Err(_) => Err(refusal),
        }
    }

    fn enter(self: &Arc<Self>) -> Result<Admission, Refusal> {
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        // From here on dropping gives back what was counted.
        let admission = Admission {
            doorkeeper: Arc::clone(self),
            address: None,
        };
        if before < self.max {
            Ok(admission)
        } else {
            Err(Refusal::TooManyConnections)
        }
    }

    fn count(&self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        self.forget_rested(now);
        let mut visits = self.by_address.entry(address).or_insert(Visits {
            inside: 0,
            due: now,
        });
        if let Some(max) = self.max_per_second {
            let due = visits.due.max(now) + Duration::from_secs(1) / max.get();
            if due > now + BURST {
                return Err(Refusal::TooFast);
            }
            visits.due = due;
        }
        if self
            .max_per_address
            .is_some_and(|max| visits.inside >= max.get())
        {
            return Err(Refusal::TooManyFromAddress);
        }
        visits.inside += 1;
        Ok(())
    }

    fn give_back(&self, address: IpAddr) {
        let now = Instant::now();
        self.by_address.remove_if_mut(&address, |_, visits| {
            visits.inside = visits.inside.saturating_sub(1);
            visits.inside == 0 && visits.due <= now
        });
    }

    /// Addresses that left faster than they may come are kept for their pace; not for ever.
    fn forget_rested(&self, now: Instant) {
        if self.by_address.len() > 2 * self.inside.load(Ordering::Relaxed) + REMEMBERED {
            self.by_address
                .retain(|_, visits| visits.inside > 0 || visits.due > now);
        }
    }
}

impl Admission {
    /// Counts the connection for this address, once it is known whose it is.
    ///
    /// # Errors
    /// The address has had its share.
    pub(crate) fn claim(&mut self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        self.give_up();
        let address = network(address);
        self.doorkeeper.count(address, now)?;
        self.address = Some(address);
        Ok(())
    }

    fn give_up(&mut self) {
        if let Some(address) = self.address.take() {
            self.doorkeeper.give_back(address);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.give_up();
        self.doorkeeper.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doorkeeper(per_address: usize, per_second: u32) -> Arc<Doorkeeper> {
        Arc::new(Doorkeeper {
            inside: AtomicUsize::new(0),
            by_address: DashMap::new(),
            max: 3,
            max_per_address: NonZeroUsize::new(per_address),
            max_per_second: NonZeroU32::new(per_second),
            escorts: Arc::new(Semaphore::new(1)),
        })
    }

    fn enter(
        doorkeeper: &Arc<Doorkeeper>,
        address: &str,
        now: Instant,
    ) -> Result<Admission, Refusal> {
        let mut admission = doorkeeper.enter()?;
        admission.claim(address.parse().unwrap(), now)?;
        Ok(admission)
    }

    #[test]
    fn a_place_is_given_back_when_its_connection_ends() {
        let (doorkeeper, now) = (doorkeeper(2, 0), Instant::now());
        let first = enter(&doorkeeper, "127.0.0.1", now).unwrap();
        let _second = enter(&doorkeeper, "127.0.0.1", now).unwrap();
        let third = enter(&doorkeeper, "127.0.0.1", now);
        assert_eq!(third.err(), Some(Refusal::TooManyFromAddress));
        let third = enter(&doorkeeper, "127.0.0.2", now).unwrap();
        let fourth = enter(&doorkeeper, "127.0.0.2", now);
        assert_eq!(fourth.err(), Some(Refusal::TooManyConnections));
        drop(first);
        assert!(enter(&doorkeeper, "127.0.0.1", now).is_ok());
        drop(third);
        let known = doorkeeper.by_address.len();
        assert_eq!(known, 1, "an address without connections is forgotten");
    }

    #[test]
    fn as_many_are_told_as_there_are_escorts() {
        let doorkeeper = doorkeeper(0, 0);
        let told = doorkeeper.refuse(Refusal::TooFast).unwrap();
        assert_eq!(
            doorkeeper.refuse(Refusal::TooFast).err(),
            Some(Refusal::TooFast)
        );
        drop(told);
        assert!(doorkeeper.refuse(Refusal::TooFast).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (doorkeeper, now) = (doorkeeper(1, 0), Instant::now());
        let _one = enter(&doorkeeper, "2001:db8::1", now).unwrap();
        assert!(enter(&doorkeeper, "2001:db8::ffff:1", now).is_err());
        assert!(enter(&doorkeeper, "2001:db8:0:1::1", now).is_ok());
    }

    #[test]
    fn a_burst_is_let_in_and_then_so_many_a_second() {
        let (doorkeeper, start) = (doorkeeper(0, 2), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let enters = |millis| enter(&doorkeeper, "127.0.0.1", at(millis)).is_ok();
        assert!(enters(0) && enters(0));
        assert!(!enters(0) && !enters(499));
        assert!(enters(500));
        assert!(!enters(900));
        assert!(enters(1000));
        assert!(
            enter(&doorkeeper, "127.0.0.2", start).is_ok(),
            "another address"
        );
        assert!(enters(10_000) && enters(10_000));
        assert!(!enters(10_000), "who waits long may not come all at once");
    }

    #[test]
    fn who_rested_is_forgotten() {
        let (doorkeeper, now) = (doorkeeper(0, 1), Instant::now());
        for last in 0..REMEMBERED + 10 {
            let address = Ipv6Addr::from_bits(u128::try_from(last).unwrap() << 64);
            drop(enter(&doorkeeper, &address.to_string(), now));
        }
        assert!(doorkeeper.by_address.len() > REMEMBERED);
        drop(enter(
            &doorkeeper,
            "127.0.0.1",
            now + Duration::from_secs(60),
        ));
        assert!(doorkeeper.by_address.len() < 2);
    }
}
