//! The reckoning at the end: what is still owed when nothing moves any more will never be given.
//!
//! Called when every client reads, acknowledges and has been given time; a debt that has to be paid and is not is a message
//! that the broker acknowledged and lost.

use super::Oracle;
use super::sessions::{Cause, Debt};
use super::wire::{Phase, Wire};
use crate::client::LinkId;
use crate::script::User;
use bytes::Bytes;
use std::collections::BTreeMap;
use weir_codec::{Qos, Utf8};
use weir_engine::Shard;

impl Oracle {
    /// The sessions there are, and where they are at home.
    pub(crate) fn session_names(&self) -> Vec<String> {
        self.sessions.keys().cloned().collect()
    }

    /// Who may take up this session.
    pub(crate) fn owner(&self, client_id: &str) -> User {
        let session = self.sessions.get(client_id);
        match session.and_then(|session| session.user) {
            Some(_) => User::Owner,
            None => User::Plain,
        }
    }

    /// The home of a client id, once it has been seen.
    pub(crate) fn home(&self, client_id: &str) -> Option<usize> {
        self.homes.get(client_id).copied()
    }

    /// Whether this link was accepted and lives.
    pub(crate) fn is_connected(&self, link: LinkId) -> bool {
        self.wires[link].phase == Phase::Connected
    }

    /// Whether somebody was given something just now.
    pub(crate) fn is_flowing(&self, now: u64) -> bool {
        const SOON_MILLIS: u64 = 10_000;
        let mut wires = self.wires.iter();
        wires.any(|wire| wire.phase == Phase::Connected && wire.published_at + SOON_MILLIS > now)
    }

    /// Everybody reads and has acknowledged: who has nothing unacknowledged is given what waits, without a new connection.
    pub(crate) fn check_flow(&mut self, now: u64) {
        const LONG_MILLIS: u64 = 10_000;
        let waits = |debt: &Debt| {
            let is_own = !matches!(debt.cause, Cause::Group(_));
            debt.must && is_own && !debt.is_expired(now) && debt.at + LONG_MILLIS < now
        };
        let stuck = self.sessions.values().find(|session| {
            session.flights.is_empty()
                && session.link.is_some_and(|link| {
                    let wire = &self.wires[link];
                    let is_sure =
                        |debt: &Debt| debt.qos != Qos::AtMostOnce || !wire.missed.is_vague;
                    let waits = |debt: &Debt| waits(debt) && is_sure(debt);
                    session.debts.iter().any(waits)
                        && wire.published_at + LONG_MILLIS < now
                        && wire.outstanding.is_empty()
                })
        });
        if let Some(session) = stuck {
            let name = session.client_id.clone();
            self.fail(format!(
                "{name} has acknowledged everything and is given nothing more"
            ));
        }
    }

    /// Everybody reads and acknowledges, and time has passed: nothing may be left.
    pub(crate) fn check_settled(&mut self, now: u64) {
        self.now = now;
        let unanswered = self
            .wires
            .iter()
            .position(|wire| wire.phase == Phase::Connected && !wire.owed.is_empty());
        if let Some(link) = unanswered {
            let owed = format!("link {link} is still owed {:?}", self.wires[link].owed);
            self.fail(owed);
        }
        let mut faults = Vec::new();
        for session in self.sessions.values() {
            let name = &session.client_id;
            // What has expired by now may have expired while it waited.
            let debts = session
                .debts
                .iter()
                .filter(|debt| debt.must && !debt.is_expired(now));
            for debt in debts.filter(|debt| !matches!(debt.cause, Cause::Group(_))) {
                let identity = debt.instance.message.identity();
                faults.push(format!(
                    "{name} was never given {identity:?} ({:?}, q{})",
                    debt.cause, debt.qos as u8
                ));
            }
            for (id, flight) in session
                .flights
                .iter()
                .filter(|(_, flight)| !flight.is_optional)
            {
                faults.push(format!(
                    "{name} still has packet id {id} in flight: {:?}",
                    flight.identity
                ));
            }
        }
        for group in &self.groups {
            let expired = group.instance.expires_at.is_some_and(|at| at <= now);
            if group.must && !group.is_given && !expired {
                let identity = group.instance.message.identity();
                faults.push(format!(
                    "no member of {} was given {identity:?}",
                    group.filter
                ));
            }
        }
        faults.into_iter().for_each(|fault| self.fail(fault));
    }

    /// What new subscribers of everything were given, one on each shard: the same on all, and values that can be.
    pub(crate) fn check_retained(&mut self, now: u64, found: &[(usize, BTreeMap<String, Bytes>)]) {
        let topics: Vec<String> = self.retained.topics().cloned().collect();
        for (shard, collected) in found {
            for topic in &topics {
                let candidates = self.retained.candidates(*shard, topic);
                let payload = collected.get(topic);
                let fits = |id: &usize| {
                    let value = self.retained.value(*id);
                    let gone =
                        value.message.is_none() || value.expires_at.is_some_and(|at| at <= now);
                    let may_be_gone = gone || value.expires_at.is_some_and(|at| at <= now + 60_000);
                    match payload {
                        None => may_be_gone,
                        Some(payload) => {
                            !gone
                                && value
                                    .message
                                    .as_ref()
                                    .is_some_and(|it| it.payload == *payload)
                        }
                    }
                };
                // Only doubtful values: perhaps none of them was stored.
                let nothing = payload.is_none()
                    && candidates
                        .iter()
                        .all(|id| self.retained.value(*id).is_doubtful);
                if !nothing && !candidates.iter().any(fits) {
                    let payload = payload.map(|it| {
                        String::from_utf8_lossy(it)
                            .chars()
                            .take(12)
                            .collect::<String>()
                    });
                    self.fail(format!(
                        "shard {shard} retains {payload:?} for {topic}, which can't be"
                    ));
                }
            }
            if let Some(other) = found.first().filter(|(_, first)| first != collected) {
                let differing = topics
                    .iter()
                    .find(|topic| other.1.get(*topic) != collected.get(*topic));
                self.fail(format!(
                    "shards {} and {shard} retain different values for {differing:?}",
                    other.0
                ));
            }
            if let Some(strange) = collected.keys().find(|topic| !topics.contains(topic)) {
                self.fail(format!("shard {shard} retains something for {strange}"));
            }
        }
    }

    /// All clients are gone and time has passed: the shard is as it was before.
    pub(crate) fn check_footprint(&mut self, index: usize, engine: &Shard, empty: [usize; 8]) {
        let is_here = |wire: &Wire| {
            let name = Utf8::try_from(wire.client_id.as_str());
            name.is_ok_and(|name| engine.is_connected(&name))
        };
        if self.wires.iter().any(is_here) {
            self.fail(format!("shard {index} says that somebody is connected"));
        }
        let footprint = engine.footprint();
        if footprint != empty {
            self.fail(format!(
                "shard {index} is left with {footprint:?} instead of {empty:?}"
            ));
        }
    }
}
