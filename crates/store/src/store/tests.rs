//! Against a plain model: whatever is staged, committed, cleaned and lost, what is found again is one of the states that
//! the store was in, none older than the last commit.

use super::*;
use crate::Faulty;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_codec::{PacketId, Properties, Qos, TopicFilter, TopicName, Utf8};
use weir_engine::{
    DeliveryRecord, Instant, Key, Message, MessageNumber, RetainedRecord, SessionNumber,
    SessionRecord, ShardId, SlowReader, Stage, SubscriptionRecord, WillRecord,
};

const CLOCK: WallClock = WallClock {
    unix_millis_at_zero: 1_700_000_000_000,
};
const SMALL: Limits = Limits {
    batch_bytes: 300,
    relocate_bytes: 64,
    garbage_bytes: 0,
};

/// What the store should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    records: BTreeMap<Key, Record>,
    messages: BTreeMap<MessageNumber, Arc<Message>>,
}

impl Model {
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(Record::Message(message)) => {
                    self.messages
                        .entry(message.number)
                        .or_insert_with(|| Arc::clone(message));
                }
                Change::Put(record) => {
                    self.records.insert(record.key().unwrap(), record.clone());
                }
                Change::Delete(Key::Session(session)) => {
                    self.records.retain(|key, _| owner(key) != Some(*session));
                }
                Change::Delete(key) => {
                    self.records.remove(key);
                }
            }
        }
        let named: Vec<_> = self.records.values().filter_map(Record::names).collect();
        self.messages.retain(|number, _| named.contains(number));
    }

    fn of(recovered: Recovered, store: &mut Store<Faulty>) -> Self {
        let recovered = whole(recovered, store);
        let mut model = Self::default();
        for record in &recovered.records {
            match record {
                Record::Message(message) => {
                    let twice = model.messages.insert(message.number, Arc::clone(message));
                    assert!(twice.is_none());
                }
                record => {
                    let twice = model.records.insert(record.key().unwrap(), record.clone());
                    assert!(twice.is_none());
                }
            }
        }
        model
    }

    fn sessions(&self) -> Vec<SessionNumber> {
        let keys = self.records.keys();
        keys.filter_map(|key| match key {
            Key::Session(number) => Some(*number),
            _ => None,
        })
        .collect()
    }
}

/// With the messages that are parked, after a look whether those are the ones that should be.
fn whole(mut recovered: Recovered, store: &mut Store<Faulty>) -> Recovered {
    let at_once = recovered.records.iter().filter_map(|it| match it {
        Record::Retained(it) => Some(it.message),
        Record::Delivery(it) => match it.stage {
            Stage::Sent(message, _) => Some(message),
            Stage::Queued(_) | Stage::Released(_) => None,
        },
        _ => None,
    });
    let at_once: BTreeSet<_> = at_once.collect();
    let messages = recovered.records.iter().filter_map(|it| match it {
        Record::Message(message) => Some(message.number),
        _ => None,
    });
    assert!(messages.eq(at_once.iter().copied()));
    let parked = std::mem::take(&mut recovered.parked);
    assert!(parked.is_sorted_by(|a, b| a.number < b.number));
    for it in &parked {
        assert!(!at_once.contains(&it.number));
        let loaded = store.load(&[it.number]).unwrap().messages;
        let message = loaded[0].as_ref().unwrap();
        assert_eq!(message.cost_bytes(), it.cost_bytes as usize);
    }
    recovered.parked = parked;
    assert_eq!(recovered.unpark(store).unwrap(), []);
    recovered
}

fn owner(key: &Key) -> Option<SessionNumber> {
    match key {
        Key::Session(it) | Key::Will(it) => Some(*it),
        Key::Subscription(it, _) | Key::Received(it, _) | Key::Delivery(it, _) => Some(*it),
        Key::Retained(_) => None,
    }
}

fn message(number: u64, len: usize) -> Arc<Message> {
    Arc::new(Message {
        number: MessageNumber(number),
        topic: TopicName::try_from("a/b").unwrap(),
        payload: Bytes::from(vec![number as u8; len]),
        properties: Properties::new(),
        qos: Qos::AtLeastOnce,
        retain: number.is_multiple_of(2),
        expires_at: number
            .is_multiple_of(3)
            .then(|| Instant::from_millis(number)),
    })
}

fn session(number: SessionNumber) -> Record {
    Record::Session(SessionRecord {
        number,
        client_id: Utf8::try_from(format!("client-{}", number.0)).unwrap(),
        user: number
            .0
            .is_multiple_of(2)
            .then(|| Utf8::from_static("somebody")),
        expiry_seconds: u32::MAX,
        absent_since: Some(Instant::from_millis(number.0)),
    })
}

fn delivery(session: SessionNumber, sequence: u64, stage: Stage) -> Record {
    Record::Delivery(DeliveryRecord {
        session,
        sequence,
        qos: Qos::ExactlyOnce,
        retain: false,
        identifiers: [7, 300].into_iter().collect(),
        stage,
    })
}

/// One thing that happens, chosen by numbers.
#[derive(Clone, Debug)]
enum Step {
    Stage(Vec<(u8, u8, u8)>),
    Commit,
    Sync,
    Crash(u64),
    Full(Option<usize>),
    Load(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(any::<(u8, u8, u8)>(), 1..6).prop_map(Step::Stage),
        12 => Just(Step::Commit),
        1 => Just(Step::Sync),
        1 => (0_u64..5).prop_map(Step::Crash),
        1 => prop::option::of(0_usize..2000).prop_map(Step::Full),
        3 => any::<u64>().prop_map(Step::Load),
    ]
}

/// The store, the model, and every state the store may be found in.
struct World {
    store: Store<Faulty>,
    model: Model,
    /// States since the last one that certainly lasts, which is the first.
    states: Vec<Model>,
    durability: Durability,
    next: u64,
}

impl World {
    fn new(segment_batches: u64, durability: Durability) -> Self {
        let log = Faulty::new(segment_batches);
        let (store, recovered) = Store::open(log, CLOCK, durability, SMALL).unwrap();
        assert!(recovered.records.is_empty());
        Self {
            store,
            model: Model::default(),
            states: vec![Model::default()],
            durability,
            next: recovered.next_number,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Stage(codes) => self.stage(codes),
            Step::Commit => match self.store.commit(CLOCK) {
                Ok(_) if self.durability == Durability::Sync => self.all_lasts(),
                Ok(_) => {}
                Err(error) => assert_eq!(error, StoreError::Full),
            },
            Step::Sync => {
                self.store.sync().unwrap();
                if !self.store.has_staged() {
                    self.all_lasts();
                }
            }
            Step::Crash(kept) => self.crash(*kept),
            Step::Full(max_bytes) => self.store.log_mut().set_max_bytes(*max_bytes),
            Step::Load(seed) => self.load(*seed),
        }
    }

    /// Whatever is staged, written, moved or found again can be read, in any order, and nothing else.
    fn load(&mut self, seed: u64) {
        let mut numbers: Vec<_> = (1..self.next + 2).map(MessageNumber).collect();
        numbers.sort_by_key(|it| (it.0 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let loaded = self.store.load(&numbers).unwrap();
        assert_eq!(loaded.damaged, []);
        for (number, message) in numbers.iter().zip(&loaded.messages) {
            assert_eq!(message.as_ref(), self.model.messages.get(number));
        }
        assert_eq!(loaded.messages.len(), numbers.len());
    }

    fn stage(&mut self, codes: &[(u8, u8, u8)]) {
        let mut changes = vec![];
        let mut ahead = self.model.clone();
        for &code in codes {
            let more = self.changes(code, &ahead);
            ahead.apply(&more);
            changes.extend(more);
        }
        self.model.apply(&changes);
        self.states.push(self.model.clone());
        self.store.stage(changes);
    }

    fn all_lasts(&mut self) {
        self.states = vec![self.model.clone()];
    }

    fn crash(&mut self, kept: u64) {
        if kept.is_multiple_of(2) {
            self.store.log_mut().forget_trimmed();
        }
        let log = self.store.log().crash(kept);
        let (mut store, recovered) = Store::open(log, CLOCK, self.durability, SMALL).unwrap();
        assert_eq!(recovered.lost, crate::Lost::default());
        let next_number = recovered.next_number;
        let found = Model::of(recovered, &mut store);
        let place = self.states.iter().position(|state| *state == found);
        assert!(place.is_some(), "{found:#?}\nis none of {:#?}", self.states);
        assert!(next_number > found.messages.keys().map(|it| it.0).max().unwrap_or(0));
        self.next = self.next.max(next_number);
        self.store = store;
        self.model = found;
        // What was found was not synced by whoever opened it.
        self.store.sync().unwrap();
        self.all_lasts();
    }

    /// Some changes that make sense now.
    fn changes(&mut self, (kind, which, what): (u8, u8, u8), model: &Model) -> Vec<Change> {
        let sessions = model.sessions();
        let pick = |len: usize| usize::from(which) % len.max(1);
        let topic = TopicName::try_from(format!("t/{}", which % 3).as_str()).unwrap();
        let Some(&owner) = sessions.get(pick(sessions.len())) else {
            return vec![Change::Put(session(SessionNumber(self.number())))];
        };
        let queued: Vec<&Record> = model
            .records
            .values()
            .filter(|it| matches!(it, Record::Delivery(_)))
            .collect();
        let picked = queued.get(pick(queued.len())).copied().cloned();
        let put = |record| vec![Change::Put(record)];
        match (kind % 16, picked) {
            (0, _) => put(session(SessionNumber(self.number()))),
            (1, _) if what < 60 => vec![Change::Delete(Key::Session(owner))],
            (2, _) => put(Record::Subscription(SubscriptionRecord {
                session: owner,
                filter: filter(which),
                qos: Qos::AtLeastOnce,
                no_local: true,
                retain_as_published: false,
                slow_reader: SlowReader::ALL.get(usize::from(what) % 5).copied(),
                identifier: u32::from(what),
            })),
            (3, _) => vec![Change::Delete(Key::Subscription(owner, filter(which)))],
            (4, _) => put(Record::Received(owner, id(what))),
            (5, _) => vec![Change::Delete(Key::Received(owner, id(what)))],
            (6, _) => put(Record::Will(WillRecord {
                session: owner,
                message: message(self.number(), 5),
                delay_seconds: 3,
                expiry_seconds: Some(u32::from(what)),
            })),
            (7, _) => vec![Change::Delete(Key::Will(owner))],
            (8, _) => {
                let number = self.number();
                vec![
                    Change::Put(Record::Message(message(number, usize::from(what)))),
                    Change::Put(Record::Retained(RetainedRecord {
                        topic,
                        message: MessageNumber(number),
                        stamp: (number, ShardId(1)),
                    })),
                ]
            }
            (9, _) => vec![Change::Delete(Key::Retained(topic))],
            (10 | 11, Some(Record::Delivery(it))) => {
                vec![Change::Delete(Key::Delivery(it.session, it.sequence))]
            }
            (12, Some(Record::Delivery(it))) => {
                let stage = match it.stage {
                    Stage::Queued(message) => Stage::Sent(message, id(what)),
                    Stage::Sent(_, id) | Stage::Released(id) => Stage::Released(id),
                };
                put(delivery(it.session, it.sequence, stage))
            }
            _ => self.publish(&sessions, usize::from(what)),
        }
    }

    /// A message for some of the sessions, put once for each as shards do.
    fn publish(&mut self, sessions: &[SessionNumber], what: usize) -> Vec<Change> {
        let published = message(self.number(), what);
        let mut changes = vec![Change::Put(Record::Message(Arc::clone(&published)))];
        for (at, &session) in sessions.iter().enumerate() {
            if what >> (at % 8) & 1 == 1 {
                changes.push(Change::Put(Record::Message(Arc::clone(&published))));
                let stage = Stage::Queued(published.number);
                changes.push(Change::Put(delivery(session, self.number(), stage)));
            }
        }
        changes
    }
}

fn filter(which: u8) -> TopicFilter {
    TopicFilter::try_from(format!("$share/g/{}/#", which % 3).as_str()).unwrap()
}

fn id(what: u8) -> PacketId {
    PacketId::new(u16::from(what) + 1).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_was_committed(
        steps in prop::collection::vec(step(), 1..200),
        segment_batches in 1_u64..6,
        is_interval in any::<bool>(),
    ) {
        let durability = if is_interval { Durability::Interval } else { Durability::Sync };
        let mut world = World::new(segment_batches, durability);
        for step in &steps {
            world.step(step);
        }
        world.store.log_mut().set_max_bytes(None);
        world.step(&Step::Commit);
        world.step(&Step::Sync);
        while world.store.wants_cleaning() {
            world.step(&Step::Commit);
        }
        world.load(0);
        world.step(&Step::Crash(0));
        world.load(1);
        // The index knows after a restart what it knew before.
        let live = world.store.census().live_bytes;
        let (again, _) = Store::open(world.store.log().kill(), CLOCK, durability, SMALL).unwrap();
        prop_assert_eq!(again.census().live_bytes, live);
    }
}

fn open(log: Faulty) -> (Store<Faulty>, Recovered) {
    let (mut store, recovered) = Store::open(log, CLOCK, Durability::Sync, SMALL).unwrap();
    let recovered = whole(recovered, &mut store);
    (store, recovered)
}

fn put(records: impl IntoIterator<Item = Record>) -> Vec<Change> {
    records.into_iter().map(Change::Put).collect()
}

/// A message for `sessions` deliveries, one in each session from 1 on.
fn publish(number: u64, sessions: u64, len: usize) -> Vec<Change> {
    let queued = (1..=sessions).map(|it| {
        delivery(
            SessionNumber(it),
            number,
            Stage::Queued(MessageNumber(number)),
        )
    });
    put([Record::Message(message(number, len))]
        .into_iter()
        .chain(queued))
}

fn acked(number: u64, sessions: u64) -> Vec<Change> {
    let keys = (1..=sessions).map(|it| Key::Delivery(SessionNumber(it), number));
    keys.map(Change::Delete).collect()
}

#[test]
fn a_message_acknowledged_before_its_group_commits_is_never_written() {
    let (mut store, _) = open(Faulty::new(1));
    store.stage(put([session(SessionNumber(1)), session(SessionNumber(2))]));
    store.commit(CLOCK).unwrap();
    let before = store.log().len_bytes();
    store.stage(publish(10, 2, 100));
    store.stage(acked(10, 1));
    store.stage(vec![Change::Delete(Key::Delivery(SessionNumber(2), 10))]);
    assert_eq!(store.commit(CLOCK).unwrap().written_bytes, 0);
    assert_eq!(store.log().len_bytes(), before);
    assert_eq!(store.census().messages, 0);
}

#[test]
fn a_message_that_nothing_names_is_not_written() {
    let (mut store, _) = open(Faulty::new(1));
    store.stage(put([Record::Message(message(1, 100))]));
    assert_eq!(store.commit(CLOCK).unwrap().written_bytes, 0);
}

#[test]
fn a_record_replaced_and_deleted_in_one_group_does_not_come_back() {
    let (mut store, _) = open(Faulty::new(1));
    store.stage(put([session(SessionNumber(1))]));
    store.stage(publish(10, 1, 10));
    store.commit(CLOCK).unwrap();
    let sent = Stage::Sent(MessageNumber(10), id(1));
    store.stage(put([delivery(SessionNumber(1), 10, sent)]));
    store.stage(acked(10, 1));
    store.commit(CLOCK).unwrap();
    let (_, recovered) = open(store.log().crash(0));
    assert_eq!(recovered.records, [session(SessionNumber(1))]);
}

/// A batch was cleaned in two steps: the message with the first delivery, and the second delivery after the first was
/// acknowledged. A replay that forgot the message in between lost the second delivery.
#[test]
fn a_message_is_found_although_what_named_it_comes_and_goes() {
    for (relocate_bytes, steps) in (1..180).flat_map(|bytes| (0..5).map(move |it| (bytes, it))) {
        let (mut store, _) = open(Faulty::new(1));
        store.limits.garbage_bytes = u64::MAX / 2;
        store.stage(put([SessionNumber(1), SessionNumber(2)].map(session)));
        store.stage(publish(10, 2, 90));
        store.commit(CLOCK).unwrap();
        store.stage(publish(11, 2, 200));
        store.commit(CLOCK).unwrap();
        store.stage(acked(11, 2));
        store.commit(CLOCK).unwrap();
        store.limits.garbage_bytes = 0;
        store.limits.relocate_bytes = relocate_bytes;
        for _ in 0..steps {
            store.commit(CLOCK).unwrap();
        }
        store.stage(acked(10, 1));
        store.commit(CLOCK).unwrap();
        loop {
            store.log_mut().forget_trimmed();
            let (_, recovered) = open(store.log().crash(0));
            assert_eq!(recovered.lost, crate::Lost::default());
            assert_eq!(recovered.records.len(), 4);
            if !store.wants_cleaning() {
                break;
            }
            store.commit(CLOCK).unwrap();
        }
    }
}

#[test]
fn after_everything_is_acknowledged_the_log_is_small_again() {
    let (mut store, _) = open(Faulty::new(4));
    store.stage(put([session(SessionNumber(1))]));
    for number in 10..3000 {
        store.stage(publish(number, 1, 50));
        store.commit(CLOCK).unwrap();
    }
    let full = store.log().len_bytes();
    let mut relocated_bytes = 0;
    for number in 10..3000 {
        store.stage(acked(number, 1));
        relocated_bytes += store.commit(CLOCK).unwrap().relocated_bytes;
    }
    while store.wants_cleaning() {
        relocated_bytes += store.commit(CLOCK).unwrap().relocated_bytes;
    }
    assert!(store.log().len_bytes() < 1000, "{:?}", store.census());
    assert!(relocated_bytes < full as u64, "{relocated_bytes} of {full}");
}

/// A full disk stayed full with less garbage than is worth cleaning otherwise: nothing new is accepted, so none came.
#[test]
fn a_full_disk_is_cleaned_of_little_garbage() {
    let (mut store, _) = open(Faulty::new(4));
    store.limits.garbage_bytes = u64::MAX / 2;
    store.stage(put([session(SessionNumber(1))]));
    for number in 10..100 {
        store.stage(publish(number, 1, 50));
        store.commit(CLOCK).unwrap();
    }
    store.stage(vec![Change::Delete(Key::Session(SessionNumber(1)))]);
    store.commit(CLOCK).unwrap();
    assert!(!store.wants_cleaning());
    let full = store.log().len_bytes();
    store.log_mut().set_max_bytes(Some(full));
    assert!(store.commit(CLOCK).unwrap().is_low);
    while store.wants_cleaning() {
        store.commit(CLOCK).unwrap();
    }
    assert!(!store.commit(CLOCK).unwrap().is_low);
}

#[test]
fn a_topic_overwritten_again_and_again_does_not_grow() {
    let (mut store, _) = open(Faulty::new(4));
    let mut most = 0;
    for number in 1..5000 {
        store.stage(put([
            Record::Message(message(number, 50)),
            Record::Retained(RetainedRecord {
                topic: TopicName::try_from("t").unwrap(),
                message: MessageNumber(number),
                stamp: (number, ShardId(0)),
            }),
        ]));
        store.commit(CLOCK).unwrap();
        most = most.max(store.log().len_bytes());
    }
    assert!(most < 2000, "{most}");
}

#[test]
fn a_pinned_session_costs_at_most_one_more_write_each() {
    let (mut store, _) = open(Faulty::new(4));
    store.stage(put([SessionNumber(1), SessionNumber(2)].map(session)));
    for number in 10..1000 {
        store.stage(publish(number, 2, 50));
        store.stage(acked(number, 1));
        store.commit(CLOCK).unwrap();
    }
    let (mut written, mut relocated) = (0, 0);
    for number in 1000..20_000 {
        let published = publish(number, 1, 50);
        store.stage(published);
        let first = store.commit(CLOCK).unwrap();
        store.stage(acked(number, 1));
        let second = store.commit(CLOCK).unwrap();
        written += first.written_bytes + second.written_bytes;
        relocated += first.relocated_bytes + second.relocated_bytes;
    }
    assert!(
        relocated > written / 3,
        "the pinned messages were never moved"
    );
    assert!(
        relocated <= written + written / 10,
        "{relocated} for {written}"
    );
}

#[test]
fn on_a_small_disk_it_is_cleaned_before_half_of_the_log_is_garbage() {
    let (mut store, _) = open(Faulty::new(4));
    store.stage(put([session(SessionNumber(1))]));
    for number in 10..1010 {
        store.stage(publish(number, 1, 300));
        store.commit(CLOCK).unwrap();
    }
    let live = store.log().len_bytes();
    store.log_mut().set_max_bytes(Some(live + live / 4));
    for number in 1010..10_000 {
        store.stage(publish(number, 1, 300));
        store.stage(acked(number - 1000, 1));
        assert!(store.commit(CLOCK).is_ok(), "{number}");
    }
}

#[test]
fn what_there_was_no_room_for_stays_staged() {
    let (mut store, _) = open(Faulty::new(1));
    store.stage(put([session(SessionNumber(1))]));
    store.commit(CLOCK).unwrap();
    store.log_mut().set_max_bytes(Some(200));
    store.stage(publish(10, 1, 200));
    store.stage(publish(11, 1, 5));
    assert_eq!(store.commit(CLOCK), Err(StoreError::Full));
    assert!(store.has_staged());
    // What is acknowledged meanwhile need not be written at all.
    store.stage(acked(10, 1));
    assert!(store.commit(CLOCK).is_ok());
    let (_, recovered) = open(store.log().crash(0));
    assert_eq!(recovered.records.len(), 3);
    assert_eq!(recovered.next_number, 12);
}

#[test]
fn numbers_are_not_given_out_twice_although_nothing_is_left_of_them() {
    let (mut store, _) = open(Faulty::new(1));
    for number in 1..500 {
        store.stage(put([session(SessionNumber(number))]));
        store.commit(CLOCK).unwrap();
        store.stage(vec![Change::Delete(Key::Session(SessionNumber(number)))]);
        store.commit(CLOCK).unwrap();
    }
    let (_, recovered) = open(store.log().crash(0));
    assert_eq!(recovered.next_number, 500);
}

#[test]
fn records_without_their_session_or_message_are_reported_and_deleted() {
    let (mut store, _) = open(Faulty::new(1));
    store.stage(put([session(SessionNumber(1))]));
    let queued = Stage::Queued(MessageNumber(77));
    store.stage(put([
        delivery(SessionNumber(1), 5, queued),
        delivery(SessionNumber(2), 6, Stage::Released(id(3))),
    ]));
    store.commit(CLOCK).unwrap();
    let (mut store, recovered) = open(store.log().crash(0));
    assert_eq!(recovered.records, [session(SessionNumber(1))]);
    let lost = [
        Key::Session(SessionNumber(2)),
        Key::Delivery(SessionNumber(1), 5),
    ];
    assert_eq!(recovered.lost.records, lost);
    assert!(recovered.lost.is_loss());
    store.commit(CLOCK).unwrap();
    assert!(!open(store.log().crash(0)).1.lost.is_loss());
}

#[test]
fn after_a_failed_sync_nothing_works() {
    let (mut store, _) = open(Faulty::new(1));
    store.stage(put([session(SessionNumber(1))]));
    store.log_mut().fail_sync();
    assert!(store.commit(CLOCK).unwrap_err().is_fatal());
}

#[test]
fn a_sync_that_lies_is_found_out() {
    let (mut store, _) = open(Faulty::new(1));
    store.log_mut().lie_about_sync();
    store.stage(put([session(SessionNumber(1))]));
    store.commit(CLOCK).unwrap();
    assert!(open(store.log().crash(0)).1.records.is_empty());
}
