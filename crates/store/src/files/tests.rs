//! On real files: what a crash leaves is found, what is damaged is told and never served.

use super::*;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

const SMALL: u64 = 1024;

fn open(path: &Path) -> Files {
    Files::open_with(path, SMALL).unwrap()
}

fn batches(log: &mut Files) -> Vec<(u64, Vec<u8>)> {
    let mut found = vec![];
    let first = log.first();
    log.tail(first, &mut |position, batch| {
        found.push((position.0, batch.to_vec()));
        true
    })
    .unwrap();
    found
}

fn content(number: u64) -> Vec<u8> {
    let len = 1 + number as usize * 37 % 200;
    // Ends with zeros, which must not be taken for the end of the log.
    let mut bytes = vec![number as u8; len];
    bytes.extend([0; 5]);
    bytes
}

fn numbered(range: std::ops::Range<u64>) -> Vec<(u64, Vec<u8>)> {
    range.map(|it| (it + 1, content(it))).collect()
}

fn append(log: &mut Files, range: std::ops::Range<u64>) {
    for number in range {
        assert_eq!(log.append(&content(number)), Ok(Position(number + 1)));
    }
}

fn newest(path: &Path) -> PathBuf {
    let segments = Directory::unlocked(path).segments().unwrap();
    segments.last().unwrap().1.clone()
}

fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

fn is_corrupt(damage: &Damage) -> bool {
    matches!(damage, Damage::Corrupt { .. })
}

#[test]
fn what_was_appended_is_found_again_over_many_segments() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..50);
    assert_eq!(batches(&mut log), numbered(0..50));
    drop(log);
    let mut log = open(directory.path());
    assert!(log.segments.len() > 3);
    assert_eq!(log.damage(), []);
    assert_eq!((log.end(), log.durable()), (Position(50), Position(50)));
    append(&mut log, 50..60);
    assert_eq!(batches(&mut log), numbered(0..60));
}

#[test]
fn a_tail_begins_anywhere_and_goes_on_from_where_it_was() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..40);
    for from in (0..41).chain((0..41).rev()) {
        let mut seen = vec![];
        log.tail(Position(from), &mut |position, batch| {
            seen.push((position.0, batch.to_vec()));
            seen.len() < 3
        })
        .unwrap();
        assert_eq!(seen, numbered(from..40.min(from + 3)));
    }
}

#[test]
fn a_batch_may_be_larger_than_a_segment() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    let large = vec![7; 5000];
    log.append(b"small").unwrap();
    log.append(&large).unwrap();
    log.append(b"small").unwrap();
    log.sync().unwrap();
    drop(log);
    let found = batches(&mut open(directory.path()));
    assert_eq!(
        found.iter().map(|it| it.1.len()).collect::<Vec<_>>(),
        [5, 5000, 5]
    );
}

#[test]
fn a_first_batch_larger_than_a_segment_is_kept_when_the_log_is_trimmed() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    log.append(&[7; 5000]).unwrap();
    log.sync().unwrap();
    log.trim(Position(0)).unwrap();
    assert_eq!(log.segments.len(), 1);
    drop(log);
    assert_eq!(batches(&mut open(directory.path())).len(), 1);
}

#[test]
fn a_directory_is_made_for_nobody_else() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/er/log");
    open(&path);
    open(&path);
    for made in path.ancestors().take(3) {
        let mode = std::fs::metadata(made).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", made.display());
    }
}

#[test]
fn a_second_process_is_refused_and_told_by_whom() {
    let directory = TempDir::new().unwrap();
    let _log = open(directory.path());
    let refused = Files::open(directory.path()).unwrap_err();
    let expected = StoreError::Locked(directory.path().into(), Some(std::process::id()));
    assert_eq!(refused, expected);
    assert!(refused.to_string().contains("is in use by process"));
}

#[test]
fn whoever_only_looks_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..3);
    let mut looking = Files::look(directory.path()).unwrap();
    assert_eq!(batches(&mut looking), numbered(0..3));
    assert_eq!(looking.append(b"x"), Err(StoreError::ReadOnly));
    assert_eq!(looking.sync(), Err(StoreError::ReadOnly));
    append(&mut log, 3..5);
    assert_eq!(batches(&mut log), numbered(0..5));
}

#[test]
fn a_backup_taken_while_the_log_is_written_is_the_log_at_some_moment() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut log = open(&path);
        for number in 0_u64.. {
            append(&mut log, number..number + 1);
            log.sync().unwrap();
            log.trim(Position(number.saturating_sub(20))).unwrap();
            if is_done.try_recv().is_ok() {
                return number + 1;
            }
        }
        unreachable!("numbers don't end")
    });
    let mut ends = vec![];
    while ends.len() < 20 {
        let copied = TempDir::new().unwrap();
        backup(directory.path(), copied.path()).unwrap();
        let mut log = open(copied.path());
        assert_eq!(log.damage(), []);
        let (first, end) = (log.first().0, log.end().0);
        assert_eq!(batches(&mut log), numbered(first..end));
        if end > 0 {
            assert!(first < end);
            ends.push(end);
        }
    }
    done.send(()).unwrap();
    assert!(ends.is_sorted());
    assert!(*ends.last().unwrap() <= writer.join().unwrap());
    let occupied = backup(directory.path(), directory.path());
    assert_eq!(occupied, Err(StoreError::Occupied(directory.path().into())));
}

#[test]
fn trimming_gives_files_back() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..100);
    log.sync().unwrap();
    let before = log.segments.len();
    log.trim(Position(90)).unwrap();
    assert!(log.segments.len() < before / 2);
    assert!(log.first() <= Position(90) && log.first() > Position(70));
    let trimmed = log.tail(Position(0), &mut |_, _| true);
    assert_eq!(trimmed, Err(StoreError::Trimmed(log.first())));
    let first = log.first().0;
    drop(log);
    let mut log = open(directory.path());
    assert_eq!(batches(&mut log), numbered(first..100));
    log.trim(Position(100)).unwrap();
    assert_eq!(log.segments.len(), 1, "the active segment stays");
}

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..4);
    log.sync().unwrap();
    let synced = log.segments.back().unwrap().end;
    append(&mut log, 4..5);
    let end = log.segments.back().unwrap().end;
    for cut in synced..end {
        let crashed = copy(directory.path());
        let file = directory::open(&newest(crashed.path()), true).unwrap();
        file.write_all_at(&vec![0; (end - cut) as usize], cut)
            .unwrap();
        let mut log = open(crashed.path());
        // The batch ends with zeros, so cutting into those leaves it whole.
        let whole = u64::from(end - cut <= 5);
        assert_eq!(batches(&mut log), numbered(0..4 + whole));
        assert!(!log.damage().iter().any(is_corrupt));
        assert_eq!(log.damage().len(), usize::from(cut > synced && whole == 0));
        append(&mut log, 4 + whole..9);
        assert_eq!(batches(&mut log), numbered(0..9));
    }
}

#[test]
fn what_lies_behind_a_torn_batch_goes_with_it() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..2);
    log.sync().unwrap();
    let torn = log.segments.back().unwrap().end;
    append(&mut log, 2..5);
    let crashed = copy(directory.path());
    let file = directory::open(&newest(crashed.path()), true).unwrap();
    file.write_all_at(&[0xff], torn + 30).unwrap();
    let mut log = open(crashed.path());
    assert_eq!(batches(&mut log), numbered(0..2));
    assert!(matches!(log.damage(), [Damage::Torn { .. }]));
    // Exactly as long as what was there: the old batches behind it must not come back.
    append(&mut log, 2..3);
    drop(log);
    assert_eq!(batches(&mut open(crashed.path())), numbered(0..3));
}

#[test]
fn a_flipped_bit_loses_one_batch_and_is_told() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    for number in 0..12 {
        append(&mut log, number..number + 1);
        log.sync().unwrap();
    }
    let path = log.segments.front().unwrap().path.clone();
    let end = log.segments.front().unwrap().end;
    assert!(log.segments.len() > 1);
    let whole = numbered(0..12);
    for at in HEADER_BYTES..end {
        let damaged = copy(directory.path());
        let path = damaged.path().join(path.file_name().unwrap());
        flip(&path, at);
        let mut log = open(damaged.path());
        let found = batches(&mut log);
        assert_eq!(found.len(), 11, "one batch is lost at {at}");
        assert!(found.iter().all(|it| whole.contains(it)));
        let [Damage::Corrupt { from, to, .. }] = log.damage() else {
            panic!("{:?}", log.damage());
        };
        assert_eq!(to.0, from.0 + 1);
        assert!(found.iter().all(|it| it.0 != to.0));
        append(&mut log, 12..14);
    }
}

#[test]
fn damage_in_the_newest_segment_is_known_from_what_was_synced_behind_it() {
    let directory = TempDir::new().unwrap();
    let mut log = Files::open_with(directory.path(), 1 << 20).unwrap();
    let mut ends = vec![];
    for number in 0..4 {
        append(&mut log, number..number + 1);
        log.sync().unwrap();
        ends.push(log.segments.back().unwrap().end);
    }
    for (number, end) in (0..).zip(ends) {
        let damaged = copy(directory.path());
        flip(&newest(damaged.path()), end - 10);
        let mut log = open(damaged.path());
        let found = batches(&mut log);
        assert!(found.len() == 3 && found.iter().all(|it| it.0 != number + 1));
        // Nothing is known to have been synced behind the last one.
        assert_eq!(is_corrupt(&log.damage()[0]), number < 3);
    }
}

#[test]
fn a_damaged_header_loses_its_segment_and_is_told() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..30);
    log.sync().unwrap();
    let segments: Vec<_> = log.segments.iter().map(|it| it.path.clone()).collect();
    drop(log);
    for path in segments {
        let damaged = copy(directory.path());
        flip(&damaged.path().join(path.file_name().unwrap()), 20);
        let mut log = open(damaged.path());
        assert!(matches!(log.damage(), [Damage::Corrupt { .. }]));
        let kept = batches(&mut log);
        assert!(kept.len() < 30 && kept.iter().all(|it| numbered(0..30).contains(it)));
        // Positions are never given out twice, although nobody knows how many there were.
        assert!(log.end() >= Position(30));
        let end = log.append(b"new").unwrap();
        drop(log);
        let found = batches(&mut open(damaged.path()));
        assert_eq!(found.last().unwrap(), &(end.0, b"new".to_vec()));
    }
}

#[test]
fn a_file_that_is_gone_is_told() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..30);
    let gone = log.segments.get(1).unwrap();
    let (from, path) = (gone.base, gone.path.clone());
    let to = log.segments.get(2).unwrap().base;
    log.sync().unwrap();
    drop(log);
    std::fs::remove_file(path).unwrap();
    let log = open(directory.path());
    let [Damage::Corrupt { from: f, to: t, .. }] = log.damage() else {
        panic!("{:?}", log.damage());
    };
    assert_eq!((*f, *t), (from, to));
}

#[test]
fn damage_after_opening_is_an_error_and_not_served() {
    let directory = TempDir::new().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 0..3);
    let newest = log.segments.back().unwrap();
    flip(&newest.path.clone(), newest.end - 1);
    let first = log.first();
    let error = log.tail(first, &mut |_, _| true).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(..)) && error.is_fatal());
}

#[test]
fn another_format_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(open(directory.path()));
    let file = directory::open(&newest(directory.path()), true).unwrap();
    file.write_all_at(&[2], 8).unwrap();
    let refused = Files::open(directory.path()).unwrap_err();
    assert_eq!(
        refused,
        StoreError::FileVersion(newest(directory.path()), 2)
    );
}

#[test]
fn a_disk_without_room_for_a_segment_is_full() {
    let directory = TempDir::new().unwrap();
    assert_eq!(
        Files::open_with(directory.path(), 1 << 60).unwrap_err(),
        StoreError::Full
    );
    // With what is there already it can be opened, and says that nothing is set aside.
    drop(open(directory.path()));
    let mut log = Files::open_with(directory.path(), 1 << 60).unwrap();
    assert_eq!(log.append(&[1; 2000]), Err(StoreError::Full));
    assert!(!log.reserve());
    assert_eq!(log.append(&[1; 2000]), Err(StoreError::Full));
    drop(log);
    let mut log = open(directory.path());
    assert!(log.reserve());
    append(&mut log, 0..3);
    assert_eq!(batches(&mut log), numbered(0..3));
}

fn flip(path: &Path, at: u64) {
    let file = directory::open(path, true).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// What a power cut does to the bytes that were not synced.
#[derive(Clone, Debug)]
struct Loss {
    at: prop::sample::Index,
    len: usize,
    fill: u8,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_loses_nothing_that_was_synced(
        rounds in prop::collection::vec((1_u64..8, 0_u64..4, prop::collection::vec(loss(), 0..4)), 1..6),
    ) {
        let mut directory = TempDir::new().unwrap();
        let mut next = 0;
        for (synced, unsynced, losses) in rounds {
            let mut log = open(directory.path());
            append(&mut log, next..next + synced);
            log.sync().unwrap();
            next += synced;
            let segments = log.segments.len();
            let from = log.segments.back().unwrap().end;
            append(&mut log, next..next + unsynced);
            // Rolling syncs, so only what is in the newest segment may be lost.
            let rolled = log.segments.len() > segments;
            let least = if rolled { log.segments.back().unwrap().base.0 } else { next };
            let from = if rolled { HEADER_BYTES } else { from };
            let to = log.segments.back().unwrap().end;
            let crashed = copy(directory.path());
            drop(log);
            let file = directory::open(&newest(crashed.path()), true).unwrap();
            for loss in losses {
                let span = to - from;
                if span > 0 {
                    let at = from + loss.at.index(span as usize) as u64;
                    let len = loss.len.min((to - at) as usize);
                    file.write_all_at(&vec![loss.fill; len], at).unwrap();
                }
            }
            let mut log = open(crashed.path());
            let found = batches(&mut log);
            let len = found.len() as u64;
            prop_assert_eq!(found, numbered(0..len));
            prop_assert!(len >= least && len <= next + unsynced);
            prop_assert!(!log.damage().iter().any(is_corrupt));
            next = len;
            directory = crashed;
        }
    }
}

fn loss() -> impl Strategy<Value = Loss> {
    (
        any::<prop::sample::Index>(),
        1_usize..300,
        prop_oneof![Just(0_u8), any::<u8>()],
    )
        .prop_map(|(at, len, fill)| Loss { at, len, fill })
}
