//! What is counted for metrics, and where: on each shard without locks, at the ends of connections with one.
//!
//! Nothing is counted for each message that is not counted anyway. A shard's counts are gathered by its sweep, so that a
//! scrape reads what is at most half a second old and holds up nobody.

use super::Shared;
use crate::config::Listener;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use weir_admin::{Counts, Health, Metrics, Traffic};
use weir_engine::{End, Stats};

/// How connections ended, by the words of the book's table of refusals.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    refused: Mutex<BTreeMap<&'static str, u64>>,
    ended: Mutex<BTreeMap<&'static str, u64>>,
}

/// What one shard counts of its sockets.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) accepted: Cell<u64>,
    pub(crate) received_bytes: Cell<u64>,
    pub(crate) sent_bytes: Cell<u64>,
    pub(crate) rests: Cell<u64>,
}

/// What one shard has counted until its last sweep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) stats: Stats,
    pub(crate) traffic: Traffic,
}

impl Tally {
    /// A connection came to nothing.
    pub(crate) fn refused(&self, label: &'static str) {
        count(&self.refused, label);
    }

    /// The engine ended a connection.
    pub(crate) fn ended(&self, end: &End) {
        match end {
            End::Refused(_) => self.refused(end.label()),
            end => count(&self.ended, end.label()),
        }
    }
}

impl Counted {
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            accepted: self.accepted.get(),
            received_bytes: self.received_bytes.get(),
            sent_bytes: self.sent_bytes.get(),
            rests: self.rests.get(),
        }
    }
}

/// One more, or so many.
pub(crate) fn add(cell: &Cell<u64>, count: usize) {
    cell.set(cell.get() + count as u64);
}

pub(crate) fn health(shared: &Shared) -> Health {
    let stats = shared.reports().stats;
    let ends = shared.tls.iter().flatten();
    let first = ends.map(|tls| unix_seconds(tls.not_after())).min();
    Health {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: shared.clock.uptime().as_secs(),
        connections: stats.connections,
        sessions: stats.sessions,
        keeps_up: shared.keeps_up(),
        certificate_not_after: first,
    }
}

pub(crate) fn metrics(shared: &Shared) -> Metrics {
    let Report { stats, traffic } = shared.reports();
    let name = |listener: &Listener| format!("{}://{}", listener.protocol.scheme(), listener.bind);
    let listeners = shared.config.listeners.iter().zip(&shared.tls);
    let certificates = listeners.filter_map(|(listener, tls)| {
        let tls = tls.as_ref()?;
        Some((name(listener), unix_seconds(tls.not_after())))
    });
    Metrics {
        health: health(shared),
        stats,
        traffic,
        refused: counts(&shared.tally.refused),
        ended: counts(&shared.tally.ended),
        store: shared.store.as_ref().map(|load| load.counted()),
        certificates: certificates.collect(),
    }
}

fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn count(counts: &Mutex<BTreeMap<&'static str, u64>>, label: &'static str) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(label).or_default() += 1;
}

fn counts(counts: &Mutex<BTreeMap<&'static str, u64>>) -> Counts {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts
        .iter()
        .map(|(label, count)| (*label, *count))
        .collect()
}
