//! What must last: which answers may leave, and what the model is after a crash.
//!
//! Batches are numbered in the order in which they are asked for. An answer names the last batch that it promises, its own
//! step's and those of other shards that its message went to, and may not leave before that is kept. Each time the store
//! begins to commit, the model is photographed; a crash sets it back to the photograph of what was kept, for that is
//! exactly what the broker must remember. So nothing here knows how records look: that they hold the whole state shows
//! afterwards, when everything owed before the crash is still owed.

use super::Oracle;
use super::retained::Retained;
use super::routing::Instance;
use super::sessions::{Cause, Debt, Flight, GroupDebt, Session};
use super::wire::Phase;
use crate::client::LinkId;
use crate::message::{Identity, Message};
use crate::script::{Action, Script, Step};
use crate::table::Table;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use weir_codec::{PacketId, Qos, TopicName};
use weir_engine::{Change, Key, MessageNumber, Record, SessionNumber, Stage};

/// What an answer waits for.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// The last batch that has to be kept.
    pub(crate) batch: Cell<u64>,
    /// How many other shards a message has not reached yet that are to say so.
    pub(crate) unarrived: Cell<u32>,
    /// Whether it waits for nothing: then it has to leave with the next bytes.
    pub(crate) is_prompt: Cell<bool>,
    /// The message that is acknowledged.
    message: Option<Identity>,
}

/// The durable side of the model.
#[derive(Default)]
pub(super) struct Durable {
    pub(super) is_on: bool,
    /// Whether anybody will look at photographs.
    may_crash: bool,
    /// What was asked for so far.
    asked: Table,
    /// What is kept.
    kept: Table,
    pending: VecDeque<Vec<Change>>,
    asked_batches: u64,
    kept_batches: u64,
    /// The model at the begin of each commit, the last one kept first.
    photographs: VecDeque<Photograph>,
    /// Of each shard, whether it was told that there is no room.
    pub(super) full: Vec<bool>,
    /// How often a client was owed a message with QoS 2, by the number of the debt, and how often it took it.
    entered: BTreeMap<(String, u64), Vec<u64>>,
    taken: BTreeMap<(String, u64), usize>,
}

/// Everything of the model that lasts.
#[derive(Default)]
struct Photograph {
    batches: u64,
    count: u64,
    shards: usize,
    sessions: BTreeMap<String, Session>,
    groups: Vec<GroupDebt>,
    retained: Retained,
}

impl Durable {
    pub(super) fn new(script: &Script) -> Self {
        let crashes = |step: &Step| {
            matches!(
                step.action,
                Action::Crash(_) | Action::Shutdown(_) | Action::StoreFails
            )
        };
        Self {
            is_on: script.settings.is_durable,
            may_crash: script.steps.iter().any(crashes),
            full: vec![false; script.shards.into()],
            photographs: VecDeque::from([Photograph {
                shards: script.shards.into(),
                ..Photograph::default()
            }]),
            ..Self::default()
        }
    }
}

impl Oracle {
    /// The store holds a session from before, with this in flight.
    pub(crate) fn remember(
        &mut self,
        now: u64,
        client_id: &str,
        (message, packet_id): (&Message, PacketId),
        expiry_seconds: u32,
        changes: &[Change],
    ) {
        let mut session = Session::new(client_id, 0);
        session.is_durable = true;
        session.expiry_seconds = expiry_seconds;
        session.be_absent(now);
        let flight = Flight::new(message.identity(), message.qos, usize::MAX, 1);
        session.flights.insert(packet_id.get(), flight);
        self.sessions.insert(client_id.to_string(), session);
        let durable = &mut self.durable;
        for table in [&mut durable.asked, &mut durable.kept] {
            let applied = table.apply(changes);
            debug_assert!(applied.is_ok(), "{applied:?}");
        }
        if let Some(first) = durable.photographs.front_mut() {
            first.sessions = self.sessions.clone();
        }
    }

    /// The engine asks the store to keep this.
    pub(super) fn asked(&mut self, changes: &[Change]) {
        if !self.durable.is_on {
            return self.fail("a batch for a store that is not there".into());
        }
        self.durable.asked_batches += 1;
        self.step.has_stored = true;
        self.step.batch = self.durable.asked_batches;
        self.step.stores_answer = is_promised(changes);
        self.step.stored = changes.iter().filter_map(message_of).collect();
        self.step.retained = changes.iter().filter_map(retained_topic).collect();
        if let Err(why) = self.durable.asked.apply(changes) {
            self.fail(why);
        }
        self.durable.pending.push_back(changes.to_vec());
    }

    /// A session has left these to the store alone, and wants them back: they must be kept.
    pub(super) fn loads(&mut self, messages: &[MessageNumber]) {
        let kept = &self.durable.kept.messages;
        if let Some(number) = messages.iter().find(|number| !kept.contains_key(number)) {
            self.fail(format!(
                "{number:?} was left to a store that does not keep it"
            ));
        }
    }

    /// What an answer to this step's input waits for, as far as is known at the end of the step.
    pub(super) fn needs(&mut self, message: Option<Identity>) -> Rc<Needs> {
        let needs = Rc::new(Needs {
            message,
            ..Needs::default()
        });
        self.step.needs.push(Rc::clone(&needs));
        needs
    }

    /// The step is over: what was promised in it is known.
    pub(super) fn settle_needs(&mut self) {
        let batch = self.step.batch;
        for needs in std::mem::take(&mut self.step.needs) {
            let is_stored = |message| self.step.stored.contains(message);
            if self.step.stores_answer || needs.message.as_ref().is_some_and(is_stored) {
                needs.batch.set(needs.batch.get().max(batch));
            }
            if self.step.has_stored || needs.unarrived.get() > 0 {
                needs.is_prompt.set(false);
            }
        }
    }

    /// Whether what an answer promises has happened.
    pub(super) fn is_kept(&self, needs: &Needs) -> bool {
        needs.unarrived.get() == 0 && needs.batch.get() <= self.durable.kept_batches
    }

    /// The store begins to commit everything asked for so far.
    pub(crate) fn commit_begins(&mut self, inventory: Vec<Record>) {
        if let Some(difference) = self
            .durable
            .asked
            .differs_from(inventory, &self.durable.kept)
        {
            return self.fail(difference);
        }
        let batches = self.durable.asked_batches;
        let photograph = match self.durable.may_crash {
            true => Photograph {
                batches,
                count: self.count,
                shards: self.shards,
                sessions: self.sessions.clone(),
                groups: self.groups.clone(),
                retained: self.retained.clone(),
            },
            false => Photograph {
                batches,
                ..Photograph::default()
            },
        };
        self.durable.photographs.push_back(photograph);
    }

    /// Everything asked for before the oldest commit under way is kept.
    pub(crate) fn committed(&mut self) {
        let durable = &mut self.durable;
        durable.photographs.pop_front();
        let upto = durable.photographs.front().map_or(0, |it| it.batches);
        while durable.kept_batches < upto
            && let Some(changes) = durable.pending.pop_front()
        {
            durable.kept_batches += 1;
            // It was looked at when it was asked for.
            let _ = durable.kept.apply(&changes);
        }
    }

    /// The store had no room after all.
    pub(crate) fn commit_failed(&mut self) {
        self.durable.photographs.pop_back();
    }

    /// What the store found when it was opened after a crash: everything that is kept, or that and what was just being
    /// committed, if it was; all moments later by `shift_millis`.
    pub(crate) fn recovered(&mut self, found: &[Record], shift_millis: i64) {
        let table = |records: &[Record]| {
            let changes: Vec<_> = records.iter().cloned().map(Change::Put).collect();
            let mut table = Table::default();
            table.apply(&changes).map(|()| table)
        };
        let found = match table(found) {
            Ok(found) => found,
            Err(why) => return self.fail(format!("the store came back with {why}")),
        };
        let is_same = |kept: &Table| kept.shifted(shift_millis).holds_the_same_as(&found);
        if !is_same(&self.durable.kept) && self.durable.photographs.len() > 1 {
            self.committed();
        }
        if !is_same(&self.durable.kept) {
            let (kept, found) = (self.durable.kept.list(), found.list());
            return self.fail(format!(
                "the store came back with {found:?} instead of {kept:?}"
            ));
        }
        self.durable.kept = found;
    }

    /// Whether a QoS 2 message may be sent with this packet id: a client that sees it must see it under no other.
    pub(super) fn is_sent_for_good(&self, client_id: &str, id: u16) -> bool {
        let records = &self.durable.kept.records;
        let number = records.values().find_map(|record| match record {
            Record::Session(it) if *it.client_id == *client_id => Some(it.number),
            _ => None,
        });
        number.is_some_and(|number| {
            let deliveries = Key::Delivery(number, 0)..=Key::Delivery(number, u64::MAX);
            records.range(deliveries).any(|(_, record)| {
                matches!(record, Record::Delivery(it)
                    if matches!(it.stage, Stage::Sent(_, other) if other.get() == id))
            })
        })
    }

    /// The broker is gone. What the model knows is what is kept.
    pub(crate) fn crashed(&mut self, shift_millis: i64) {
        self.is_down = true;
        for wire in &mut self.wires {
            wire.phase = Phase::Ended;
        }
        let durable = &mut self.durable;
        durable.asked = durable.kept.clone();
        durable.pending.clear();
        durable.asked_batches = durable.kept_batches;
        durable.photographs.truncate(1);
        durable.full.clear();
        let Some(kept) = durable.photographs.front() else {
            return;
        };
        let count = kept.count;
        self.shards = kept.shards;
        for entered in durable.entered.values_mut() {
            entered.retain(|number| *number <= count);
        }
        self.sessions = kept.sessions.clone();
        self.groups = kept.groups.clone();
        self.retained = kept.retained.clone();
        self.mail.clear();
        self.shift(shift_millis);
        let (sessions, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.sessions)
            .into_iter()
            .partition(|(_, session)| session.is_durable);
        self.sessions = sessions;
        let mut lost: Vec<_> = gone
            .into_values()
            .flat_map(|session| session.debts)
            .collect();
        for session in self.sessions.values_mut() {
            let is_lost = |debt: &mut Debt| debt.qos == Qos::AtMostOnce;
            lost.extend(session.debts.extract_if(.., is_lost));
        }
        self.excuse_groups(&lost);
        // It may crash again before anything is committed.
        if let Some(kept) = self.durable.photographs.front_mut() {
            kept.sessions = self.sessions.clone();
            kept.groups = self.groups.clone();
            kept.retained = self.retained.clone();
        }
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
        self.retained.restart(shards, self.shards);
        self.shards = shards;
        self.durable.full = vec![false; shards];
        let names: Vec<_> = self.sessions.keys().cloned().collect();
        if !names.iter().eq(homes.keys()) {
            let found: Vec<_> = homes.keys().collect();
            return self.fail(format!("sessions {found:?} came back instead of {names:?}"));
        }
        for (client_id, session) in &mut self.sessions {
            session.shard = homes[client_id];
            session.begin_again(now);
        }
        self.homes = homes;
    }

    /// Every shard knows what the others were given back.
    pub(crate) fn settled(&mut self, now: u64) {
        self.is_settling = false;
        self.retained.late_until = now + 1000;
        for session in self.sessions.values_mut() {
            session.not_before(now);
        }
    }

    /// A debt of a QoS 2 message was entered.
    pub(super) fn count_entered(&mut self, client_id: &str, number: u64) {
        let count = self.count;
        let key = (client_id.to_string(), number);
        self.durable.entered.entry(key).or_default().push(count);
    }

    /// A client took a QoS 2 message that it did not know: end to end, exactly once.
    pub(crate) fn taken(&mut self, link: LinkId, number: u64) {
        if !self.durable.is_on {
            return;
        }
        let wire = &self.wires[link];
        if wire
            .connect
            .as_ref()
            .is_none_or(|it| it.client_id.is_empty())
        {
            // Whoever takes its session up at the end does not know what it has taken.
            return;
        }
        let client_id = &wire.client_id;
        let key = (client_id.clone(), number);
        let owed = self.durable.entered.get(&key).map_or(0, Vec::len);
        let taken = self.durable.taken.entry(key).or_default();
        *taken += 1;
        if *taken > owed {
            let wrong = format!(
                "{client_id} took the QoS 2 message {number} {taken} times, it was owed {owed} times"
            );
            self.fail(wrong);
        }
    }

    /// A client begins anew: what it took before counts for nothing.
    pub(crate) fn forgets(&mut self, client_id: &str) {
        self.durable.taken.retain(|(name, _), _| name != client_id);
    }

    /// Everybody is gone: so is every record.
    pub(crate) fn check_store_empty(&mut self) {
        if self.durable.asked.len() > 0 {
            let left = self.durable.asked.list();
            self.fail(format!("the store is left with {left:?}"));
        }
    }
}

/// Whether an answer can promise any of this, messages aside: not that somebody else's connection or session ended at
/// that moment.
fn is_promised(changes: &[Change]) -> bool {
    let ends = |session: &SessionNumber| changes.contains(&Change::Delete(Key::Session(*session)));
    changes.iter().any(|change| match change {
        Change::Put(Record::Session(session)) => session.absent_since.is_none(),
        Change::Put(Record::Delivery(delivery)) => matches!(delivery.stage, Stage::Released(_)),
        Change::Put(Record::Received(..) | Record::Subscription(_)) => true,
        Change::Delete(Key::Received(session, _) | Key::Subscription(session, _)) => !ends(session),
        _ => false,
    })
}

/// The message that a change keeps; or the one that deletes a retained message.
fn message_of(change: &Change) -> Option<Identity> {
    match change {
        Change::Put(Record::Message(it)) => Some(Identity::of(it.topic.as_str(), &it.payload)),
        Change::Delete(Key::Retained(topic)) => Some(Identity::of(topic.as_str(), b"")),
        _ => None,
    }
}

/// The topic of a retained message that a change keeps.
fn retained_topic(change: &Change) -> Option<TopicName> {
    match change {
        Change::Put(Record::Retained(it)) => Some(it.topic.clone()),
        _ => None,
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
