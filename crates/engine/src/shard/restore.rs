//! Beginning again with what lasted.
//!
//! Every shard is shown all records and takes those of the sessions whose home it is; retained messages go to all. The
//! sessions are absent, until their clients come or their time is over: neither has happened when this returns. Until
//! every shard has answered [`Shard::is_settled`] no client may be let in and no timeout told, or a will would miss
//! subscriptions that other shards have not heard of yet.

use super::Shard;
use super::end::be_absent;
use crate::id::{MessageNumber, Numbers, SessionKey, SessionNumber};
use crate::inflight::{Awaiting, Envelope, Sequence};
use crate::message::{Message, Parked};
use crate::permission::AllowAll;
use crate::record::{DeliveryRecord, Record, SessionRecord, Stage, SubscriptionRecord};
use crate::session::{Session, Will};
use crate::subscription::Subscription;
use crate::time::Instant;
use crate::timers::Timer;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What records name.
struct Restoring<'a> {
    sessions: HashMap<SessionNumber, SessionKey, FixedState>,
    messages: HashMap<MessageNumber, Arc<Message>, FixedState>,
    parked: &'a [Parked],
    /// The sessions in their order, and since when they are absent; `None`: they had a connection when the broker ended.
    absent: Vec<(SessionKey, Option<Instant>)>,
}

impl Restoring<'_> {
    /// A message that waits in a queue.
    fn parked(&self, number: MessageNumber) -> Option<Parked> {
        let found = self.parked.binary_search_by_key(&number, |it| it.number);
        if let Some(parked) = found.ok().and_then(|at| self.parked.get(at)) {
            return Some(*parked);
        }
        let message = self.messages.get(&number)?;
        Some(Parked {
            number,
            cost_bytes: u32::try_from(message.cost_bytes()).ok()?,
        })
    }
}

impl Shard {
    /// Takes what is its own of `records`: sessions before their wills, subscriptions and packet ids, messages
    /// before what names them, a session's deliveries in their sequence. Messages that only wait in queues may be in `parked`
    /// instead, which is sorted by number: they are loaded when they are taken. Sessions and messages are numbered from
    /// `first_number` on from now on. Before the first connection is opened.
    pub fn restore(
        &mut self,
        now: Instant,
        records: &[Record],
        parked: &[Parked],
        first_number: u64,
    ) {
        self.roster.now = now;
        if !fault!(NumbersGivenTwice) {
            self.roster.journal.numbers = Numbers::new(first_number, self.id, self.shards);
        }
        let mut restoring = Restoring {
            parked,
            sessions: HashMap::with_hasher(FixedState::with_seed(self.seed)),
            messages: HashMap::with_hasher(FixedState::with_seed(self.seed)),
            absent: Vec::new(),
        };
        for run in records.chunk_by(is_same_queue) {
            if let [Record::Delivery(first), _, ..] = run
                && let Some(session) = self.restored(first.session, &restoring)
            {
                session.queue.expect(run.len());
            }
            for record in run {
                self.restore_one(now, record, &mut restoring);
            }
        }
        for (key, since) in restoring.absent {
            self.went_offline(key);
            self.wait_for_client(key, since.unwrap_or(now));
            if since.is_none() {
                self.record_session(key, Some(now));
            }
        }
        self.end_step();
    }

    /// Whether the other shards know every subscription. What the store was asked for may still be under way, for long if
    /// it is full.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.promises.all_known()
    }

    /// Whether nothing is under way that others were asked for: all of it is done, and kept.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.promises.all_kept()
    }

    fn restore_one(&mut self, now: Instant, record: &Record, restoring: &mut Restoring<'_>) {
        match record {
            Record::Message(message) => {
                let message = Arc::clone(message);
                restoring.messages.insert(message.number, message);
            }
            Record::Session(session) => self.restore_session(session, restoring),
            Record::Subscription(it) => self.restore_subscription(it, restoring),
            Record::Will(will) => {
                if let Some(session) = self.restored(will.session, restoring) {
                    session.will = Some(Box::new(Will {
                        message: Message::clone(&will.message),
                        delay_seconds: will.delay_seconds,
                        expiry_seconds: will.expiry_seconds,
                        due_at: None,
                    }));
                }
            }
            Record::Received(session, id) => {
                if let Some(session) = self.restored(*session, restoring) {
                    session.received.insert(*id);
                }
            }
            Record::Delivery(delivery) => self.restore_delivery(delivery, restoring),
            Record::Retained(retained) => {
                if let Some(message) = restoring.messages.get(&retained.message) {
                    self.clock = self.clock.max(retained.stamp.0);
                    let timers = &mut self.timers;
                    self.retained.set(message, retained.stamp, now, timers);
                }
            }
        }
    }

    fn restored(
        &mut self,
        number: SessionNumber,
        restoring: &Restoring<'_>,
    ) -> Option<&mut Session> {
        let key = restoring.sessions.get(&number)?;
        self.roster.sessions.get_mut(*key)
    }

    fn restore_session(&mut self, record: &SessionRecord, restoring: &mut Restoring<'_>) {
        if self.home(record.client_id.as_bytes()) != self.id {
            return;
        }
        // What the client may do is found out when it comes.
        let mut session = Session::new(record.client_id.clone(), Arc::new(AllowAll));
        session.number = Some(record.number);
        session.user = record.user.clone();
        session.expiry_seconds = record.expiry_seconds;
        let key = self.roster.sessions.insert(session);
        self.by_client_id.insert(record.client_id.clone(), key);
        restoring.sessions.insert(record.number, key);
        restoring.absent.push((key, record.absent_since));
    }

    fn restore_subscription(&mut self, record: &SubscriptionRecord, restoring: &Restoring<'_>) {
        if let Some(key) = restoring.sessions.get(&record.session) {
            let subscription = Subscription {
                qos: record.qos,
                no_local: record.no_local,
                retain_as_published: record.retain_as_published,
                slow_reader: record.slow_reader,
                identifier: record.identifier,
            };
            if !fault!(RestoredUnsubscribed) {
                self.subscribe(*key, &record.filter, subscription);
            }
        }
    }

    fn restore_delivery(&mut self, record: &DeliveryRecord, restoring: &Restoring<'_>) {
        let sequence = Sequence::new(record.sequence);
        let Some(session) = self.restored(record.session, restoring) else {
            return;
        };
        session.last_sequence = session.last_sequence.max(record.sequence);
        match &record.stage {
            Stage::Queued(number) => {
                if let Some(message) = restoring.parked(*number) {
                    let identifiers = record.identifiers[..].into();
                    let flags = (record.qos, record.retain);
                    session.queue.restore(message, flags, identifiers, sequence);
                }
            }
            Stage::Sent(number, id) => {
                if let Some(message) = restoring.messages.get(number) {
                    let envelope = Envelope {
                        message: Arc::clone(message),
                        qos: record.qos,
                        retain: record.retain,
                        identifiers: record.identifiers[..].into(),
                        sequence,
                    };
                    session.inflight.restore(*id, Awaiting::Publish(envelope));
                }
            }
            Stage::Released(id) => {
                session.inflight.restore(*id, Awaiting::Release(sequence));
            }
        }
    }

    /// Looks at an absent session when its will is due or its time is over, which may be past already.
    fn wait_for_client(&mut self, key: SessionKey, since: Instant) {
        let Some(session) = self.roster.sessions.get_mut(key) else {
            return;
        };
        be_absent(session, since);
        let due = session.will.as_ref().and_then(|will| will.due_at);
        let next = [due, session.expires_at].into_iter().flatten().min();
        let next = next.filter(|_| !fault!(RestoredForEver));
        session.timer = next.map(|at| self.timers.set(at, Timer::Session(key)));
    }
}

/// Whether both wait in the same queue, which then takes no more room than it needs.
fn is_same_queue(a: &Record, b: &Record) -> bool {
    let queue = |record: &Record| match record {
        Record::Delivery(it) => matches!(it.stage, Stage::Queued(_)).then_some(it.session),
        _ => None,
    };
    queue(a).is_some() && queue(a) == queue(b)
}
