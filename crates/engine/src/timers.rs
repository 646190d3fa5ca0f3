//! What is to happen when.
//!
//! Timers are set with a key and cleared with the token that setting gave, so a connection that ends early leaves nothing
//! behind. Timers of the same moment fire in the order they were set.

use crate::id::{ConnectionKey, SessionKey};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use weir_codec::TopicName;

/// What a timer is for.
#[derive(Clone, Debug)]
pub(crate) enum Timer {
    /// No CONNECT yet, or the Keep Alive is due to be looked at.
    Connection(ConnectionKey),
    /// The credentials of a connection expire.
    Credentials(ConnectionKey),
    /// A session without a connection: its expiry or its Will Delay Interval.
    Session(SessionKey),
    /// A retained message's Message Expiry Interval, or the end of a deletion's mark.
    Retained(TopicName),
}

/// Clears the timer it was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerToken(Instant, u64);

/// All timers of a shard.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<TimerToken, Timer>,
    set: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) -> TimerToken {
        self.set += 1;
        let token = TimerToken(at, self.set);
        self.due.insert(token, timer);
        token
    }

    pub(crate) fn clear(&mut self, token: Option<TimerToken>) {
        if let Some(token) = token {
            self.due.remove(&token);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|(token, _)| token.0)
    }

    /// Takes out the earliest timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}
