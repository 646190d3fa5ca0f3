//! On real files: what is loaded is what was written, wherever it is by now, at the cost of what is read.

use super::*;
use crate::{Durability, Faulty, Files, Limits, WallClock};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;
use weir_codec::{Properties, Qos, Utf8};
use weir_engine::{Change, DeliveryRecord, Key, Record, SessionNumber, SessionRecord, Stage};

const CLOCK: WallClock = WallClock {
    unix_millis_at_zero: 1_700_000_000_000,
};
const SMALL: Limits = Limits {
    batch_bytes: 300,
    relocate_bytes: 200,
    garbage_bytes: 0,
};
const SESSION: SessionNumber = SessionNumber(1);

fn message(number: u64, len: usize) -> Arc<Message> {
    Arc::new(Message {
        number: MessageNumber(number),
        topic: TopicName::try_from(format!("a/{}", number % 3).as_str()).unwrap(),
        payload: Bytes::from(vec![number as u8; len]),
        properties: Properties::new(),
        qos: Qos::AtLeastOnce,
        retain: false,
        expires_at: None,
    })
}

fn queued(message: &Arc<Message>) -> Vec<Change> {
    let delivery = DeliveryRecord {
        session: SESSION,
        sequence: message.number.0,
        qos: Qos::AtLeastOnce,
        retain: false,
        identifiers: Default::default(),
        stage: Stage::Queued(message.number),
    };
    vec![
        Change::Put(Record::Message(Arc::clone(message))),
        Change::Put(Record::Delivery(delivery)),
    ]
}

fn acked(number: u64) -> Vec<Change> {
    vec![Change::Delete(Key::Delivery(SESSION, number))]
}

fn with_session<L: Log>(log: L, limits: Limits) -> Store<L> {
    let (mut store, _) = Store::open(log, CLOCK, Durability::Interval, limits).unwrap();
    let session = SessionRecord {
        number: SESSION,
        client_id: Utf8::from_static("client"),
        user: None,
        expiry_seconds: u32::MAX,
        absent_since: None,
    };
    store.stage(vec![Change::Put(Record::Session(session))]);
    store
}

/// Keeps `count` messages from 10 on, each in a batch of its own.
fn one_by_one<L: Log>(store: &mut Store<L>, count: u64, len: usize) -> Vec<MessageNumber> {
    for number in 10..10 + count {
        store.stage(queued(&message(number, len)));
        store.commit(CLOCK).unwrap();
    }
    (10..10 + count).map(MessageNumber).collect()
}

fn segment_paths(directory: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(directory).unwrap();
    let paths = files.map(|it| it.unwrap().path());
    paths
        .filter(|it| it.extension().is_some_and(|it| it == "log"))
        .collect()
}

/// Flips a bit in the middle of each payload that consists of this byte.
fn damage(directory: &Path, byte: u8, len: usize) {
    for path in segment_paths(directory) {
        let bytes = std::fs::read(&path).unwrap();
        let payload = vec![byte; len];
        if let Some(at) = bytes.windows(len).position(|it| it == payload) {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[byte ^ 1], (at + len / 2) as u64)
                .unwrap();
        }
    }
}

#[test]
fn what_is_asked_for_comes_in_the_order_of_asking() {
    let directory = TempDir::new().unwrap();
    let mut store = with_session(Files::open(directory.path()).unwrap(), SMALL);
    one_by_one(&mut store, 20, 100);
    store.stage(acked(12));
    let asked = [29, 12, 10, 777, 10, 15].map(MessageNumber);
    let loaded = store.load(&asked).unwrap();
    let expected = [29, 0, 10, 0, 10, 15].map(|it| (it != 0).then(|| message(it, 100)));
    assert_eq!(loaded.messages, expected);
    assert_eq!(loaded.damaged, []);
}

#[test]
fn messages_of_one_topic_share_its_name() {
    let mut store = with_session(Faulty::new(4), SMALL);
    one_by_one(&mut store, 4, 10);
    let loaded = store.load(&[10, 13].map(MessageNumber)).unwrap();
    let topic = |at: usize| {
        loaded.messages[at]
            .as_ref()
            .unwrap()
            .topic
            .as_str()
            .as_ptr()
    };
    assert_eq!(topic(0), topic(1));
}

#[test]
fn a_damaged_message_is_named_and_not_served() {
    let directory = TempDir::new().unwrap();
    let mut store = with_session(Files::open(directory.path()).unwrap(), SMALL);
    let numbers = one_by_one(&mut store, 6, 9000);
    damage(directory.path(), 12, 9000);
    let loaded = store.load(&numbers).unwrap();
    for (number, found) in numbers.iter().zip(&loaded.messages) {
        let expected = (number.0 != 12).then(|| message(number.0, 9000));
        assert_eq!(found, &expected);
    }
    let [damaged] = &loaded.damaged[..] else {
        panic!("{:?}", loaded.damaged);
    };
    assert_eq!(damaged.number, MessageNumber(12));
    assert!(
        damaged
            .to_string()
            .starts_with("message 12 in the batch at ")
    );
}

#[test]
fn a_byte_that_changed_anywhere_in_a_batch_is_never_served() {
    let mut store = with_session(Faulty::new(4), SMALL);
    store.stage(queued(&message(10, 40)));
    store.commit(CLOCK).unwrap();
    let mut told = 0;
    for offset in 0..100 {
        let mut log = store.log().clone();
        store.log_mut().damage_byte(Position(0), offset);
        let loaded = store.load(&[MessageNumber(10)]).unwrap();
        match &loaded.messages[..] {
            [Some(found)] => assert_eq!(found, &message(10, 40)),
            _ => told += loaded.damaged.len(),
        }
        std::mem::swap(store.log_mut(), &mut log);
    }
    assert!(told > 45, "{told}");
}

#[test]
fn a_file_that_was_cut_loses_what_was_in_it_and_tells() {
    let directory = TempDir::new().unwrap();
    let mut store = with_session(Files::open_with(directory.path(), 4096).unwrap(), SMALL);
    let numbers = one_by_one(&mut store, 40, 500);
    let mut paths = segment_paths(directory.path());
    paths.sort();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&paths[1])
        .unwrap();
    file.set_len(100).unwrap();
    let loaded = store.load(&numbers).unwrap();
    let found = loaded.messages.iter().flatten().count();
    assert_eq!(found + loaded.damaged.len(), 40);
    assert!((2..10).contains(&loaded.damaged.len()), "{loaded:?}");
}

#[test]
fn around_a_hole_messages_are_loaded() {
    let directory = TempDir::new().unwrap();
    let mut store = with_session(Files::open_with(directory.path(), 8192).unwrap(), SMALL);
    let numbers = one_by_one(&mut store, 60, 300);
    drop(store);
    damage(directory.path(), 14, 300);
    let files = Files::open(directory.path()).unwrap();
    let (mut store, recovered) = Store::open(files, CLOCK, Durability::Sync, SMALL).unwrap();
    assert!(recovered.lost.is_loss());
    let loaded = store.load(&numbers).unwrap();
    // It is not there since it was told when the store was opened.
    assert_eq!(loaded.damaged, []);
    for (number, found) in numbers.iter().zip(&loaded.messages) {
        let expected = (number.0 != 14).then(|| message(number.0, 300));
        assert_eq!(found, &expected);
    }
}

#[test]
fn what_an_offset_cannot_say_is_looked_for() {
    let mut store = with_session(Faulty::new(4), Limits::default());
    let large: Vec<_> = (10..15).map(|number| message(number, 6 << 20)).collect();
    store.stage(large.iter().flat_map(queued).collect());
    let staged = store.load(&[MessageNumber(14)]).unwrap();
    assert_eq!(staged.messages, [Some(Arc::clone(&large[4]))]);
    store.commit(CLOCK).unwrap();
    let numbers = [14, 10, 13].map(MessageNumber);
    let loaded = store.load(&numbers).unwrap();
    let expected = numbers.map(|it| Some(Arc::clone(&large[it.0 as usize - 10])));
    assert_eq!(loaded.messages, expected);
    // The fourth begins where an offset has no number any more.
    store.log_mut().damage_byte(Position(0), (20 << 20) + 5);
    let damaged = store.load(&numbers).unwrap();
    assert_eq!(
        damaged.messages,
        [expected[0].clone(), expected[1].clone(), None]
    );
    assert_eq!(damaged.damaged.len(), 1);
}

#[test]
fn after_a_full_disk_what_waits_is_loaded_too() {
    let mut store = with_session(Faulty::new(1), SMALL);
    one_by_one(&mut store, 3, 100);
    store.log_mut().set_max_bytes(Some(0));
    store.stage(queued(&message(20, 100)));
    assert_eq!(store.commit(CLOCK), Err(StoreError::Full));
    let loaded = store.load(&[11, 20].map(MessageNumber)).unwrap();
    assert_eq!(loaded.messages, [11, 20].map(|it| Some(message(it, 100))));
}

#[test]
fn few_messages_in_many_large_batches_cost_little() {
    let directory = TempDir::new().unwrap();
    let mut store = with_session(Files::open(directory.path()).unwrap(), Limits::default());
    for batch in 0..10 {
        for number in 0..100 {
            store.stage(queued(&message(10 + batch * 100 + number, 10_000)));
        }
        store.commit(CLOCK).unwrap();
    }
    let numbers: Vec<_> = (0..10).map(|it| MessageNumber(60 + it * 100)).collect();
    let before = read_bytes();
    let loaded = store.load(&numbers).unwrap();
    let read = read_bytes() - before;
    assert_eq!(loaded.messages.iter().flatten().count(), 10);
    assert!(read < 10 * 40_000, "{read}");
}

/// What this thread has read so far.
fn read_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = text.lines().find_map(|it| it.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    Ack(prop::sample::Index),
    Commit,
    Sync,
    Reopen,
    Load,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0_usize..700).prop_map(Step::Put),
        1 => (4000_usize..80_000).prop_map(Step::Put),
        8 => any::<prop::sample::Index>().prop_map(Step::Ack),
        5 => Just(Step::Commit),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        4 => Just(Step::Load),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn what_is_loaded_is_what_was_kept(steps in prop::collection::vec(step(), 1..250)) {
        let directory = TempDir::new().unwrap();
        let open = || Files::open_with(directory.path(), 20_000).unwrap();
        let mut store = with_session(open(), SMALL);
        let mut kept = BTreeMap::new();
        for (number, step) in (10..).zip(steps.into_iter().chain([Step::Load])) {
            match step {
                Step::Put(len) => {
                    let message = message(number, len);
                    store.stage(queued(&message));
                    kept.insert(message.number, message);
                }
                Step::Ack(which) if !kept.is_empty() => {
                    let number = *kept.keys().nth(which.index(kept.len())).unwrap();
                    store.stage(acked(number.0));
                    kept.remove(&number);
                }
                Step::Ack(_) => {}
                Step::Commit => drop(store.commit(CLOCK).unwrap()),
                Step::Sync => store.sync().unwrap(),
                Step::Reopen => {
                    store.commit(CLOCK).unwrap();
                    drop(store);
                    (store, _) = Store::open(open(), CLOCK, Durability::Interval, SMALL).unwrap();
                }
                Step::Load => {
                    let numbers: Vec<_> = (1..=number).rev().map(MessageNumber).collect();
                    let loaded = store.load(&numbers).unwrap();
                    prop_assert_eq!(loaded.damaged, []);
                    for (number, found) in numbers.iter().zip(&loaded.messages) {
                        prop_assert_eq!(found.as_ref(), kept.get(number));
                    }
                }
            }
        }
    }
}
