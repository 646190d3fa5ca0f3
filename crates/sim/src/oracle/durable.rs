//! What must last: which answers may leave, and what the store holds.
//!
//! Batches are numbered in the order in which they are asked for. An answer names the batches that it promises, its own
//! step's and those of other shards that its message went to, and may not leave before all of them are kept. The store
//! takes batches up in *units*, each of which lasts as a whole: of a shard always the oldest, and what belongs together in
//! one unit. So what is kept is, for each shard, all that it asked for up to some batch; what the model is then stands in
//! crash.rs.

use super::Oracle;
use super::crash::Photograph;
use super::sessions::{Flight, Session};
use crate::client::LinkId;
use crate::message::{Identity, Message};
use crate::script::{Action, Script, Step};
use crate::table::Table;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use weir_codec::{PacketId, TopicName};
use weir_engine::{Change, Key, MessageNumber, Record, SessionNumber, Stage, StoreTicket};

/// What an answer waits for.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// The batches that have to be kept.
    batches: RefCell<Vec<u64>>,
    /// How many other shards a message has not reached yet that are to say so.
    pub(crate) unarrived: Cell<u32>,
    /// Whether it waits for nothing: then it has to leave with the next bytes.
    pub(crate) is_prompt: Cell<bool>,
    /// Whether all of it has to be kept at once: that a message came which may not come again, and what became of it.
    pub(crate) is_whole: Cell<bool>,
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
    pub(super) asked: Table,
    /// What is kept.
    pub(super) kept: Table,
    /// What each shard asked for and the store has not taken up.
    pub(super) pending: Vec<VecDeque<Batch>>,
    /// What it has taken up and may lose.
    pub(super) staged: VecDeque<Vec<Batch>>,
    asked_batches: u64,
    pub(super) unkept: BTreeSet<u64>,
    pub(super) untaken: BTreeSet<u64>,
    /// Of each shard, the model at the end of the last batch that is kept.
    pub(super) photographs: Vec<Rc<Photograph>>,
    /// Which shard has the store keep a topic's retained message.
    pub(super) keepers: BTreeMap<TopicName, usize>,
    /// Of each shard, whether it was told that there is no room.
    pub(super) full: Vec<bool>,
    /// How often a client was owed a message with QoS 2, by the number of the debt, and how often it took it.
    pub(super) entered: BTreeMap<(String, u64), Vec<u64>>,
    taken: BTreeMap<(String, u64), usize>,
}

/// What one shard asked for in one go.
#[derive(Debug)]
pub(super) struct Batch {
    number: u64,
    shard: usize,
    ticket: StoreTicket,
    changes: Vec<Change>,
    /// What the model is when all of this shard up to here is kept.
    photograph: Rc<Photograph>,
    /// What it is a part of.
    wholes: Vec<Rc<Needs>>,
}

/// What was asked for in a step.
pub(super) struct Asked {
    batch: u64,
    messages: Vec<Identity>,
    /// Whether it keeps anything else that an answer can promise.
    is_promised: bool,
    /// Whether it forgets a will.
    forgets_will: bool,
}

impl Durable {
    pub(super) fn new(script: &Script) -> Self {
        let crashes = |step: &Step| {
            matches!(
                step.action,
                Action::Crash(_) | Action::Shutdown(_) | Action::StoreFails
            )
        };
        let mut durable = Self {
            is_on: script.settings.is_durable,
            may_crash: script.steps.iter().any(crashes),
            ..Self::default()
        };
        durable.begin(vec![Rc::default(); script.shards.into()]);
        durable
    }

    /// The broker begins, with a shard for each photograph.
    pub(super) fn begin(&mut self, photographs: Vec<Rc<Photograph>>) {
        let shards = photographs.len();
        self.full = vec![false; shards];
        self.pending = (0..shards).map(|_| VecDeque::new()).collect();
        self.photographs = photographs;
        self.keepers.clear();
    }

    /// The broker is gone, and what was asked for and is not kept with it.
    pub(super) fn end(&mut self) {
        self.asked = self.kept.clone();
        self.pending.clear();
        self.staged.clear();
        self.unkept.clear();
        self.untaken.clear();
        self.full.clear();
    }

    pub(super) fn keep(&mut self, unit: Vec<Batch>) {
        for batch in unit {
            self.unkept.remove(&batch.number);
            // It was looked at when it was asked for.
            let _ = self.kept.apply(&batch.changes);
            if let Some(last) = self.photographs.get_mut(batch.shard) {
                *last = batch.photograph;
            }
        }
    }
}

impl Batch {
    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
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
        self.sessions.insert(Rc::new(session));
        let durable = &mut self.durable;
        for table in [&mut durable.asked, &mut durable.kept] {
            let applied = table.apply(changes);
            debug_assert!(applied.is_ok(), "{applied:?}");
        }
    }

    /// A shard asks the store to keep this.
    pub(super) fn asked(&mut self, shard: usize, ticket: StoreTicket, changes: &[Change]) {
        let durable = &mut self.durable;
        let (true, Some(pending)) = (durable.is_on, durable.pending.get_mut(shard)) else {
            return self.fail("a batch for a store that is not there".into());
        };
        durable.asked_batches += 1;
        let number = durable.asked_batches;
        durable.unkept.insert(number);
        durable.untaken.insert(number);
        pending.push_back(Batch {
            number,
            shard,
            ticket,
            changes: changes.to_vec(),
            photograph: Rc::default(),
            wholes: Vec::new(),
        });
        for topic in changes.iter().filter_map(retained_topic) {
            durable.keepers.insert(topic.clone(), shard);
        }
        self.step.asked.push(Asked {
            batch: number,
            messages: changes.iter().filter_map(message_of).collect(),
            is_promised: is_promised(changes),
            forgets_will: changes.iter().any(forgets_will),
        });
        let retained = changes.iter().filter_map(put_topic).cloned();
        self.step.retained.extend(retained);
        if let Err(why) = self.durable.asked.apply(changes) {
            self.fail(why);
        }
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

    /// The step of a shard is over: what was promised in it is known, and what the model is when it is kept.
    pub(super) fn settle_needs(&mut self, shard: usize) {
        let asked = std::mem::take(&mut self.step.asked);
        let mut batches = VecDeque::new();
        if let Some(pending) = self.durable.pending.get_mut(shard) {
            batches = pending.split_off(pending.len().saturating_sub(asked.len()));
        }
        for needs in std::mem::take(&mut self.step.needs) {
            let is_stored = |asked: &Asked| {
                let message = needs.message.as_ref();
                message.is_some_and(|message| asked.messages.contains(message))
            };
            for (asked, batch) in asked.iter().zip(&mut batches) {
                let is_gone = needs.is_whole.get() && asked.forgets_will;
                if asked.is_promised || is_stored(asked) || is_gone {
                    needs.batches.borrow_mut().push(asked.batch);
                    batch
                        .wholes
                        .extend(needs.is_whole.get().then(|| Rc::clone(&needs)));
                }
            }
            if !asked.is_empty() || needs.unarrived.get() > 0 {
                needs.is_prompt.set(false);
            }
        }
        if !batches.is_empty() && self.durable.may_crash {
            let photograph = Rc::new(self.photograph(shard));
            let unfinished = batches.iter_mut();
            unfinished.for_each(|batch| batch.photograph = Rc::clone(&photograph));
        }
        if let Some(pending) = self.durable.pending.get_mut(shard) {
            pending.append(&mut batches);
        }
    }

    /// Whether what an answer promises has happened.
    pub(super) fn is_kept(&self, needs: &Needs) -> bool {
        let is_kept = |batch| !self.durable.unkept.contains(batch);
        needs.unarrived.get() == 0 && needs.batches.borrow().iter().all(is_kept)
    }

    /// What was asked for so far is exactly what the shards would write down if they were asked.
    pub(crate) fn check_records(&mut self, inventory: Vec<Record>) {
        let durable = &self.durable;
        if let Some(difference) = durable.asked.differs_from(inventory, &durable.kept) {
            self.fail(difference);
        }
    }

    /// The store has taken up these batches of these shards, all or nothing, after what it took up before.
    pub(crate) fn staged(&mut self, unit: &[(usize, StoreTicket)]) {
        let durable = &mut self.durable;
        let mut batches = Vec::new();
        for (shard, ticket) in unit {
            let next = durable.pending.get_mut(*shard);
            match next.and_then(VecDeque::pop_front) {
                Some(batch) if batch.ticket == *ticket => batches.push(batch),
                other => {
                    let wrong = format!("shard {shard}: {ticket:?} was taken up before {other:?}");
                    return self.fail(wrong);
                }
            }
        }
        for batch in &batches {
            durable.untaken.remove(&batch.number);
        }
        let is_torn = |whole: &&Rc<Needs>| {
            let parts = whole.batches.borrow();
            whole.unarrived.get() > 0 || parts.iter().any(|it| durable.untaken.contains(it))
        };
        let mut wholes = batches.iter().flat_map(|batch| &batch.wholes);
        let torn = wholes.find(is_torn).map(Rc::clone);
        durable.staged.push_back(batches);
        if let Some(whole) = torn {
            let message = &whole.message;
            self.fail(format!(
                "a part of {message:?} would be kept without the rest"
            ));
        }
    }

    /// All that was taken up is kept.
    pub(crate) fn committed(&mut self) {
        for unit in std::mem::take(&mut self.durable.staged) {
            self.durable.keep(unit);
        }
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

/// A session's will goes with it.
fn forgets_will(change: &Change) -> bool {
    matches!(change, Change::Delete(Key::Will(_) | Key::Session(_)))
}

/// The topic of a retained message that a change keeps.
fn put_topic(change: &Change) -> Option<&TopicName> {
    match change {
        Change::Put(Record::Retained(it)) => Some(&it.topic),
        _ => None,
    }
}

/// The topic of a retained message that a change keeps or deletes.
fn retained_topic(change: &Change) -> Option<&TopicName> {
    match change {
        Change::Delete(Key::Retained(topic)) => Some(topic),
        _ => put_topic(change),
    }
}
