//! What the shard tells the store: sessions, wills, retained messages, and the end of each step.
//!
//! Deliveries are put where they are made (roster.rs), packet ids where they are received (publish.rs). A session is in
//! the durable state from the CONNECT that asks for a Session Expiry Interval above 0 until it ends. A retained message is
//! told to the store by the home shard of its topic alone, so that two shards never contradict each other there.

use super::Shard;
use super::answers::Answer;
use crate::id::StoreTicket;
use crate::id::{SessionKey, SessionNumber};
use crate::inflight::Awaiting;
use crate::input::Effect;
use crate::message::Message;
use crate::promises::{Debtor, Until};
use crate::record::{Key, Record, RetainedRecord, SessionRecord, SubscriptionRecord, WillRecord};
use crate::retained::Stamp;
use crate::session::{Session, Will};
use crate::subscription::Subscription;
use crate::time::Instant;
use alloc::sync::Arc;
use weir_codec::{TopicFilter, TopicName};

impl Shard {
    /// The step is over: what it changed goes to the store.
    pub(super) fn end_step(&mut self) {
        if !self.roster.journal.is_untouched() {
            self.ask_store();
        }
        for (session, messages) in self.roster.parking.take_asked() {
            self.effects.push_back(Effect::Load { session, messages });
        }
        self.promises.end_step();
        self.roster.journal.mark = self.promises.step();
    }

    fn ask_store(&mut self) {
        let journal = &mut self.roster.journal;
        let mark = self.promises.ask(Debtor::Store);
        self.effects.push_back(Effect::Store {
            ticket: StoreTicket(mark),
            changes: journal.take_changes(),
            links: core::mem::take(&mut journal.links),
        });
        for unsent in journal.take_unsent() {
            // Never given back at once: the store was only just asked.
            let answer = Answer::Publish(unsent);
            let _ = self.promises.hold(mark, Until::Kept, answer);
        }
    }

    pub(super) fn handle_stored(&mut self, now: Instant, ticket: StoreTicket) {
        self.promises.answered_up_to(Debtor::Store, ticket.0);
        self.roster.park(ticket);
        self.give_all(now);
    }

    /// Puts a session as it is now, if it is in the durable state.
    pub(super) fn record_session(&mut self, key: SessionKey, absent_since: Option<Instant>) {
        let Some(session) = self.roster.sessions.get(key) else {
            return;
        };
        let Some(number) = session.number else {
            return;
        };
        let record = SessionRecord {
            number,
            client_id: session.client_id.clone(),
            user: session.user.clone(),
            expiry_seconds: session.expiry_seconds,
            absent_since,
        };
        let will = session.will.as_ref().map(|will| will_record(number, will));
        self.roster.journal.put(Record::Session(record));
        match will.filter(|_| !fault!(WillNotRecorded)) {
            Some(will) => self.roster.journal.put(Record::Will(will)),
            None => self.roster.journal.delete(Key::Will(number)),
        }
    }

    /// A session in the durable state has no will any more.
    pub(super) fn forget_will(&mut self, key: SessionKey) {
        let session = self.roster.sessions.get(key);
        if let Some(number) = session.and_then(|session| session.number)
            && !fault!(WillNotDeleted)
        {
            self.roster.journal.delete(Key::Will(number));
        }
    }

    /// A session is gone: so is everything of it.
    pub(super) fn forget_session(&mut self, session: &Session) {
        let Some(number) = session.number.filter(|_| !fault!(SessionNotDeleted)) else {
            return;
        };
        let journal = &mut self.roster.journal;
        for filter in session.subscriptions.iter(&self.subscriptions) {
            journal.delete(Key::Subscription(number, filter));
        }
        for id in &session.received {
            journal.delete(Key::Received(number, *id));
        }
        let inflight = session.inflight.iter().map(|(_, awaiting)| match awaiting {
            Awaiting::Publish(envelope) => envelope.sequence,
            Awaiting::Release(sequence) => *sequence,
        });
        let queued = session.queue.iter().map(|waiting| waiting.sequence);
        for sequence in inflight.chain(queued) {
            journal.delete_delivery(Some(number), sequence);
        }
        journal.delete(Key::Will(number));
        journal.delete(Key::Session(number));
    }

    pub(super) fn record_subscription(
        &mut self,
        key: SessionKey,
        filter: &TopicFilter,
        subscription: Subscription,
    ) {
        let session = self.roster.sessions.get(key);
        if let Some(session) = session.and_then(|session| session.number)
            && !fault!(SubscriptionNotRecorded)
        {
            let record = SubscriptionRecord {
                session,
                filter: filter.clone(),
                qos: subscription.qos,
                no_local: subscription.no_local,
                retain_as_published: subscription.retain_as_published,
                slow_reader: subscription.slow_reader,
                identifier: subscription.identifier,
            };
            self.roster.journal.put(Record::Subscription(record));
        }
    }

    pub(super) fn forget_subscription(&mut self, key: SessionKey, filter: &TopicFilter) {
        let session = self.roster.sessions.get(key);
        if let Some(session) = session.and_then(|session| session.number)
            && !fault!(SubscriptionNotDeleted)
        {
            let key = Key::Subscription(session, filter.clone());
            self.roster.journal.delete(key);
        }
    }

    /// A topic's retained message was set or, with an empty payload, deleted.
    pub(super) fn record_retained(&mut self, message: &Arc<Message>, stamp: Stamp) {
        let topic = &message.topic;
        if message.payload.is_empty() {
            return self.forget_retained(topic);
        }
        if self.records_topic(topic) && !fault!(RetainedNotRecorded) {
            self.roster.journal.put_message(message);
            self.roster.journal.put(Record::Retained(RetainedRecord {
                topic: topic.clone(),
                message: message.number,
                stamp,
            }));
        }
    }

    /// A topic has no retained message any more.
    pub(super) fn forget_retained(&mut self, topic: &TopicName) {
        if self.records_topic(topic) && !fault!(RetainedNotDeleted) {
            let key = Key::Retained(topic.detached());
            self.roster.journal.delete(key);
        }
    }

    /// Whether the retained message of this topic is this shard's to record.
    pub(super) fn records_topic(&self, topic: &TopicName) -> bool {
        self.roster.journal.is_open() && self.home(topic.as_str().as_bytes()) == self.id
    }
}

pub(super) fn will_record(session: SessionNumber, will: &Will) -> WillRecord {
    WillRecord {
        session,
        message: Arc::new(will.message.clone()),
        delay_seconds: will.delay_seconds,
        expiry_seconds: will.expiry_seconds,
    }
}
