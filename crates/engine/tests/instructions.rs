//! The ratchet on the hot path: how many instructions decoding, routing, encoding and delivering take.
//!
//! Counted by valgrind's cachegrind, so a busy machine changes nothing: the difference between doing a part often and
//! doing it seldom. What stands in benches/instructions.txt may not be exceeded by more than the tolerance, and has
//! to be written anew (`UPDATE=1`) when it is undercut by more: that is the ratchet. Compilers differ, so it is not tight.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How far a count may be off, in percent.
const TOLERANCE_PERCENT: u64 = 10;

const SELDOM: u64 = 20;
const OFTEN: u64 = 120;

#[test]
fn the_hot_path_takes_no_more_instructions_than_it_did() {
    let program = build();
    let counted: BTreeMap<String, u64> = parts(&program)
        .into_iter()
        .enumerate()
        .map(|(index, (name, units))| (name, count(&program, index, units)))
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    if std::env::var_os("UPDATE").is_some() {
        let lines = counted
            .iter()
            .fold(String::new(), |mut lines, (name, count)| {
                let _ = writeln!(lines, "{name}: {count}");
                lines
            });
        fs::write(file, lines).unwrap();
        return;
    }
    let kept = fs::read_to_string(file).unwrap();
    let kept: BTreeMap<String, u64> = kept
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect();
    let faults = faults(&kept, &counted);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn both_directions_are_found() {
    let counts = |count| BTreeMap::from([("a".to_owned(), count)]);
    assert!(faults(&counts(100), &counts(110)).is_empty());
    assert_eq!(faults(&counts(100), &counts(111)).len(), 1);
    assert_eq!(faults(&counts(100), &counts(89)).len(), 1);
    assert_eq!(faults(&BTreeMap::new(), &counts(1)).len(), 1);
}

fn faults(kept: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>) -> Vec<String> {
    let fault = |(name, now): (&String, &u64)| {
        let before = kept.get(name).copied().unwrap_or(0);
        let is_near = now.abs_diff(before) * 100 <= before * TOLERANCE_PERCENT;
        (!is_near).then(|| {
            format!("{name}: {now} instructions, {before} before; if that is meant: UPDATE=1 cargo test -p weir-engine --test instructions")
        })
    };
    counted.iter().filter_map(fault).collect()
}

/// Builds the parts as they would be released.
fn build() -> PathBuf {
    let arguments = "build --release --package weir-engine --bench hot_path --message-format json";
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments.split_whitespace())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == "hot_path")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names what it built")
}

/// The parts by name, and how many units doing each once is.
fn parts(program: &Path) -> Vec<(String, u64)> {
    let output = Command::new(program).arg("list").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let (name, units) = line.split_once('\t').unwrap();
            (name.to_owned(), units.parse().unwrap())
        })
        .collect()
}

/// Instructions for one unit of a part.
fn count(program: &Path, part: usize, units: u64) -> u64 {
    let refs = |times: u64| -> u64 {
        let output = Command::new("valgrind")
            .args([
                "--tool=cachegrind",
                "--cache-sim=no",
                "--cachegrind-out-file=/dev/null",
            ])
            .arg(program)
            .args([part.to_string(), times.to_string()])
            .output()
            .expect("valgrind is installed by `cargo xtask setup`");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let line = text.lines().find_map(|line| line.split_once("refs:"));
        let (_, count) = line.unwrap_or_else(|| panic!("{text}"));
        count.trim().replace(',', "").parse().unwrap()
    };
    (refs(OFTEN) - refs(SELDOM)) / (OFTEN - SELDOM) / units
}
