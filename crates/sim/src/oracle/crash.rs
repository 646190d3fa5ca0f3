//! What a crash leaves of the model.
//!
//! At the end of each step that asks the store for something the model of that shard is photographed. A crash sets each
//! shard back to the photograph of its last batch that is kept: that is exactly what the broker must remember. So nothing
//! here knows how records look; that they hold the whole state shows afterwards, when everything owed before the crash
//! is still owed.

use super::Oracle;
use super::routing::Instance;
use super::sessions::{Cause, Debt, Session, Sessions};
use super::wire::Phase;
use crate::table::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use weir_codec::{Qos, TopicName};
use weir_engine::{Change, Key, Record};

/// What lasts of one shard's model.
#[derive(Debug, Default)]
pub(super) struct Photograph {
    /// In which step it was taken, and after how many things that were numbered.
    step: u64,
    count: u64,
    sessions: Vec<Rc<Session>>,
    /// What one of several sessions is still owed.
    groups: BTreeSet<usize>,
}

impl Oracle {
    /// A shard as it is now.
    pub(super) fn photograph(&self, shard: usize) -> Photograph {
        let sessions = self.sessions.values();
        let sessions = sessions.filter(|session| session.shard == shard);
        let groups = self.groups.iter().enumerate();
        let groups = groups
            .filter(|(_, group)| group.must && !group.is_given && group.shards.contains(&shard));
        Photograph {
            step: self.step.number,
            count: self.count,
            sessions: sessions.map(Rc::clone).collect(),
            groups: groups.map(|(id, _)| id).collect(),
        }
    }

    /// What the store found when it was opened after a crash: everything that is kept, and of what it had taken up as many
    /// units as the disk likes; all moments later by `shift_millis`.
    pub(crate) fn recovered(&mut self, found: &[Record], shift_millis: i64) {
        let changes: Vec<_> = found.iter().cloned().map(Change::Put).collect();
        let mut found = Table::default();
        if let Err(why) = found.apply(&changes) {
            return self.fail(format!("the store came back with {why}"));
        }
        let is_same = |kept: &Table| kept.shifted(shift_millis).holds_the_same_as(&found);
        let durable = &mut self.durable;
        let mut kept = durable.kept.clone();
        let mut units = is_same(&kept).then_some(0);
        for (index, unit) in durable.staged.iter().enumerate() {
            for batch in unit {
                // It was looked at when it was asked for.
                let _ = kept.apply(batch.changes());
            }
            if is_same(&kept) {
                units = Some(index + 1);
            }
        }
        let Some(units) = units else {
            let (kept, found) = (kept.list(), found.list());
            return self.fail(format!(
                "the store came back with {found:?} instead of {kept:?}, or less"
            ));
        };
        for unit in durable.staged.drain(..units).collect::<Vec<_>>() {
            durable.keep(unit);
        }
        durable.kept = found;
    }

    /// The broker is gone. What the model knows is what is kept.
    pub(crate) fn crashed(&mut self, shift_millis: i64) {
        self.is_down = true;
        for wire in &mut self.wires {
            wire.phase = Phase::Ended;
        }
        self.durable.end();
        self.mail.clear();
        let mut lost = Vec::new();
        self.sessions = Sessions::default();
        for photograph in self.durable.photographs.clone() {
            for session in &photograph.sessions {
                if session.is_durable {
                    self.sessions.insert(Rc::clone(session));
                } else {
                    lost.extend(session.debts.iter().cloned());
                }
            }
        }
        let photographs = &self.durable.photographs;
        for (id, group) in self.groups.iter_mut().enumerate() {
            let is_open = |shard: &usize| photographs[*shard].groups.contains(&id);
            group.must &= group.shards.iter().all(is_open);
            group.is_given &= !group.must;
        }
        for ((client_id, _), entered) in &mut self.durable.entered {
            if let Some(home) = self.homes.get(client_id) {
                entered.retain(|number| *number <= photographs[*home].count);
            }
        }
        self.shift(shift_millis);
        for session in self.sessions.values_mut() {
            let is_lost = |debt: &mut Debt| debt.qos == Qos::AtMostOnce;
            lost.extend(session.debts.extract_if(.., is_lost));
        }
        self.excuse_groups(&lost);
    }

    /// The wall clock has jumped: everything is due so much later.
    fn shift(&mut self, millis: i64) {
        let now = self.now;
        let later = |at: u64| at.saturating_add_signed(millis);
        let shifted = |instance: &Rc<Instance>| {
            Rc::new(Instance {
                expires_at: instance.expires_at.map(later),
                message: Rc::clone(&instance.message),
                publisher: instance.publisher.clone(),
                needs: Rc::clone(&instance.needs),
                ..**instance
            })
        };
        for session in self.sessions.values_mut() {
            session.expires_at = session.expires_at.map(later);
            if let Some(will) = &mut session.will {
                will.due_at = will.due_at.map(later);
            }
            for debt in &mut session.debts {
                // What has expired was deleted, perhaps, and does not come back with the clock.
                debt.must &= !debt.is_expired(now);
                debt.instance = shifted(&debt.instance);
            }
        }
        for group in &mut self.groups {
            group.must &= group.instance.expires_at.is_none_or(|at| at > now);
            group.instance = shifted(&group.instance);
        }
        let kept = &self.durable.kept.records;
        let is_kept = |topic: &TopicName| kept.contains_key(&Key::Retained(topic.clone()));
        self.retained.shift(now, later, shifted, is_kept);
    }

    /// The broker is there again: who has which session.
    pub(crate) fn restarted(&mut self, now: u64, shards: usize, homes: BTreeMap<String, usize>) {
        self.now = now;
        self.is_down = false;
        let names: Vec<_> = self.sessions.keys().cloned().collect();
        if !names.iter().eq(homes.keys()) {
            let found: Vec<_> = homes.keys().collect();
            return self.fail(format!("sessions {found:?} came back instead of {names:?}"));
        }
        let cuts = self.durable.photographs.iter().map(|it| it.step);
        let cuts: Vec<u64> = cuts.collect();
        let step = self.step.number;
        (self.retained).restart(&cuts, &self.durable.keepers, shards, step);
        self.shards = shards;
        for session in self.sessions.values_mut() {
            session.shard = homes[&session.client_id];
            for flight in session.flights.values_mut() {
                // What it waited for is kept.
                flight.release_needs = Rc::default();
            }
        }
        self.homes = homes;
        self.gather_groups();
        // It may crash again before anything is committed.
        let photographs = (0..shards).map(|shard| Rc::new(self.photograph(shard)));
        self.durable.begin(photographs.collect());
        for session in self.sessions.values_mut() {
            session.begin_again(now);
        }
    }

    /// Those of whom one is owed a message may be at home on several shards now.
    fn gather_groups(&mut self) {
        for group in &mut self.groups {
            group.shards.clear();
        }
        for session in self.sessions.values() {
            for debt in &session.debts {
                if let Cause::Group(id) = debt.cause {
                    self.groups[id].shards.insert(session.shard);
                }
            }
        }
    }

    /// Every shard knows what the others were given back.
    pub(crate) fn settled(&mut self, now: u64) {
        self.is_settling = false;
        self.retained.late_until = now + 1000;
        for session in self.sessions.values_mut() {
            session.not_before(now);
        }
    }
}

impl Session {
    /// The broker was started again: what does not outlive it is gone, and whoever was here is absent from now on.
    fn begin_again(&mut self, now: u64) {
        for debt in &mut self.debts {
            // The rest of a replay ends with the broker.
            debt.must &= !matches!(debt.cause, Cause::Replay(_));
        }
        for subscription in self.subscriptions.values_mut() {
            // Nobody is let in before everybody knows of it.
            subscription.is_promised = true;
        }
        // What it may do is found out when it comes.
        self.permit(None, None);
        if self.link.take().is_some() {
            self.be_absent(now);
        }
    }

    /// What came to its time while nobody looked happens now.
    fn not_before(&mut self, now: u64) {
        self.expires_at = self.expires_at.map(|at| at.max(now));
        if let Some(will) = &mut self.will {
            will.due_at = will.due_at.map(|at| at.max(now));
        }
    }
}
