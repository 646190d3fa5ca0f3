//! The fuzz targets as an ordinary test: what is kept in fuzz/corpus, then input made from a seed for a moment.
//!
//! The seed is printed with a failure, and `WEIR_FUZZ_SEED` repeats it; `WEIR_FUZZ_SECONDS` makes the moment longer.

use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_fuzz::{TARGETS, fingerprint};

/// How long each target is given input that is made.
const SECONDS: u64 = 4;

/// The longest input that is made here.
const INPUT_BYTES: u64 = 600;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).expect("a readable file")))
        .collect()
}

/// Runs a target; a panic is told with where its input came from.
fn run(name: &str, target: fn(&[u8]), input: &[u8], origin: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let file = env::temp_dir().join(format!("weir-fuzz-{name}"));
        let _ = fs::write(&file, input);
        panic!(
            "{name} fails with {origin}; the input is in {}",
            file.display()
        );
    }
}

#[test]
fn every_target_holds_for_what_is_kept() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 5, "{name} has {} inputs", corpus.len());
        for (path, input) in corpus {
            run(name, target, &input, &path.display().to_string());
        }
    }
}

#[test]
fn the_same_operations_send_the_same_bytes() {
    for (path, input) in corpus("operations") {
        assert_eq!(
            fingerprint(&input),
            fingerprint(&input),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_decoder_holds_for_input_made_from_seeds() {
    holds_for_made_input("decoder");
}

#[test]
fn frames_hold_for_input_made_from_seeds() {
    holds_for_made_input("frames");
}

#[test]
fn the_handshake_holds_for_input_made_from_seeds() {
    holds_for_made_input("handshake");
}

#[test]
fn topics_hold_for_input_made_from_seeds() {
    holds_for_made_input("topics");
}

#[test]
fn operations_hold_for_input_made_from_seeds() {
    holds_for_made_input("operations");
}

/// The seeds are the same in every run, so that nobody's change fails for another's fault: cargo-fuzz finds the new.
fn holds_for_made_input(name: &str) {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let time = Duration::from_secs(number("WEIR_FUZZ_SECONDS").unwrap_or(SECONDS));
    let seeds = match number("WEIR_FUZZ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..u64::MAX,
    };
    let corpus = corpus(name);
    let mut targets = TARGETS.into_iter();
    let (_, target) = targets.find(|(found, _)| *found == name).expect("a target");
    let (begin, mut runs) = (Instant::now(), 0);
    for seed in seeds.take_while(|_| begin.elapsed() < time) {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let kept = &corpus[dice.below(corpus.len() as u64) as usize].1;
        run(
            name,
            target,
            &made(&mut dice, kept),
            &format!("WEIR_FUZZ_SEED={seed}"),
        );
        runs += 1;
    }
    println!("{name}: {runs} inputs");
}

/// Random bytes, or a kept input with some bytes changed, repeated, left out or put in.
fn made(dice: &mut Dice, kept: &[u8]) -> Vec<u8> {
    if dice.below(3) == 0 {
        let length = dice.below(INPUT_BYTES);
        return (0..length).map(|_| dice.next() as u8).collect();
    }
    let mut input = kept.to_vec();
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len() as u64 + 1) as usize;
        match dice.below(4) {
            0 => input.insert(at, dice.next() as u8),
            1 if at < input.len() => {
                input.remove(at);
            }
            2 if at < input.len() => input[at] = dice.next() as u8,
            _ => {
                let end = (at + dice.below(32) as usize).min(input.len());
                let piece = input[at..end].to_vec();
                let to = dice.below(input.len() as u64 + 1) as usize;
                input.splice(to..to, piece);
            }
        }
    }
    input
}

/// xorshift64*: numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, count: u64) -> u64 {
        self.next() % count.max(1)
    }
}
