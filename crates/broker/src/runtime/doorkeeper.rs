//! Who is let through the door: connections counted in all, and by address, and how fast they come from one.
//!
//! What must hold: what is counted is given back when the connection ends, in whatever way. In IPv6 a whole /64 counts as
//! one address, since any host has as many of it as it likes. Who is refused is told so, by as many escorts as there are;
//! above that, connections are only closed.

use super::crowd::{Bounds, Crowd, Excess, Seat};
use super::pace::Meters;
use crate::config::Limits;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_auth::network;
use weir_ws::Refusal;

/// Refused clients that are told so at a time.
const ESCORTS: usize = 64;

/// Counts who is inside. Threads meet here, at the beginning and the end of a connection only.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    inside: AtomicUsize,
    by_address: Arc<Crowd<IpAddr>>,
    max: usize,
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

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    doorkeeper: Arc<Doorkeeper>,
    seat: Option<Seat<IpAddr>>,
}

impl Doorkeeper {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            inside: AtomicUsize::new(0),
            by_address: Arc::new(Crowd::new(Bounds {
                at_once: limits.max_connections_per_address,
                per_second: limits.max_handshakes_per_second_per_address,
                rates: limits.of_address,
            })),
            max: limits.max_connections,
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
            seat: None,
        };
        if before < self.max {
            Ok(admission)
        } else {
            Err(Refusal::TooManyConnections)
        }
    }
}

impl Admission {
    /// Counts the connection for this address, once it is known whose it is.
    ///
    /// # Errors
    /// The address has had its share.
    pub(crate) fn claim(&mut self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        self.seat = None;
        let crowd = &self.doorkeeper.by_address;
        let seat = crowd.enter(network(address), false, now);
        self.seat = Some(seat.map_err(|excess| match excess {
            Excess::TooMany => Refusal::TooManyFromAddress,
            Excess::TooFast => Refusal::TooFast,
        })?);
        Ok(())
    }

    /// What all clients from its address share.
    pub(crate) fn meters(&self) -> Option<Arc<Meters>> {
        self.seat.as_ref().and_then(Seat::meters)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.doorkeeper.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    fn doorkeeper(per_address: usize) -> Arc<Doorkeeper> {
        Arc::new(Doorkeeper {
            inside: AtomicUsize::new(0),
            by_address: Arc::new(Crowd::new(Bounds {
                at_once: NonZeroUsize::new(per_address),
                ..Bounds::default()
            })),
            max: 3,
            escorts: Arc::new(Semaphore::new(1)),
        })
    }

    fn enter(doorkeeper: &Arc<Doorkeeper>, address: &str) -> Result<Admission, Refusal> {
        let mut admission = doorkeeper.enter()?;
        admission.claim(address.parse().unwrap(), Instant::now())?;
        Ok(admission)
    }

    #[test]
    fn a_place_is_given_back_when_its_connection_ends() {
        let doorkeeper = doorkeeper(2);
        let first = enter(&doorkeeper, "127.0.0.1").unwrap();
        let _second = enter(&doorkeeper, "127.0.0.1").unwrap();
        let third = enter(&doorkeeper, "127.0.0.1");
        assert_eq!(third.err(), Some(Refusal::TooManyFromAddress));
        let _third = enter(&doorkeeper, "127.0.0.2").unwrap();
        let fourth = enter(&doorkeeper, "127.0.0.2");
        assert_eq!(fourth.err(), Some(Refusal::TooManyConnections));
        drop(first);
        assert!(enter(&doorkeeper, "127.0.0.1").is_ok());
    }

    #[test]
    fn as_many_are_told_as_there_are_escorts() {
        let doorkeeper = doorkeeper(0);
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
        let doorkeeper = doorkeeper(1);
        let _one = enter(&doorkeeper, "2001:db8::1").unwrap();
        assert!(enter(&doorkeeper, "2001:db8::ffff:1").is_err());
        assert!(enter(&doorkeeper, "2001:db8:0:1::1").is_ok());
    }
}
