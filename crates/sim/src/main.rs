//! Runs seeds: one that is to be looked at, or many that are to be clean.
//!
//! This is the only file that knows a real clock, to say how fast it went. What is printed at the end does not depend on
//! which thread ran what.

use std::fmt::Write as _;
use std::ops::{ControlFlow, Range};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use weir_sim::{Script, check, cores, each_seed, generate, run, shrink};

const USAGE: &str = "\
Usage: weir-sim --seed N [--trace] [--shrink] [--keep 1,2,3]
       weir-sim --seeds A..B [--threads N]

  --trace    print what happens
  --shrink   if it fails, look for a short script that fails too
  --keep     run only these steps of the script";

#[derive(Default)]
struct Wishes {
    seed: Option<u64>,
    seeds: Option<Range<u64>>,
    keep: Option<Vec<u64>>,
    threads: usize,
    trace: bool,
    shrink: bool,
}

fn main() -> ExitCode {
    let wishes = parse(std::env::args().skip(1));
    match wishes {
        Some(Wishes {
            seed: Some(seed),
            ref keep,
            trace,
            shrink,
            ..
        }) => one(seed, keep.as_deref(), trace, shrink),
        Some(Wishes {
            seeds: Some(seeds),
            threads,
            ..
        }) => many(&seeds, threads),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Wishes> {
    let mut wishes = Wishes {
        threads: cores(),
        ..Wishes::default()
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--trace" => wishes.trace = true,
            "--shrink" => wishes.shrink = true,
            "--seed" => wishes.seed = Some(words.next()?.parse().ok()?),
            "--threads" => wishes.threads = words.next()?.parse().ok()?,
            "--keep" => {
                let list = words.next()?;
                wishes.keep = Some(
                    list.split(',')
                        .map(|number| number.parse().ok())
                        .collect::<Option<_>>()?,
                );
            }
            "--seeds" => {
                let range = words.next()?;
                let (first, end) = range.split_once("..")?;
                wishes.seeds = Some(first.parse().ok()?..end.parse().ok()?);
            }
            _ => return None,
        }
    }
    Some(wishes)
}

fn one(seed: u64, keep: Option<&[u64]>, trace: bool, shrinks: bool) -> ExitCode {
    let mut script = generate(seed);
    if let Some(numbers) = keep {
        script = script.only(numbers);
    }
    if trace {
        println!("{script}");
        run(&script, true)
            .trace
            .iter()
            .for_each(|line| println!("{line}"));
    }
    match check(&script) {
        Ok(outcome) => {
            println!("seed {seed}: clean, hash {:016x}", outcome.hash);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("seed {seed}: {failure}");
            if shrinks {
                let short = shrink(&script);
                println!("\n{short}\n{}", replay(&short));
            }
            ExitCode::FAILURE
        }
    }
}

fn many(seeds: &Range<u64>, threads: usize) -> ExitCode {
    let begun = Instant::now();
    let failures = Mutex::new(Vec::new());
    let (virtual_millis, events, hash) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    each_seed(seeds.clone(), threads, |seed| {
        match check(&generate(seed)) {
            Ok(outcome) => {
                virtual_millis.fetch_add(outcome.virtual_millis, Ordering::Relaxed);
                events.fetch_add(outcome.events, Ordering::Relaxed);
                // The sum does not depend on the order.
                hash.fetch_add(outcome.hash, Ordering::Relaxed);
            }
            Err(failure) => {
                let replay = replay_seed(seed);
                println!("seed {seed}: {failure:.400}\n  replay: {replay}");
                let failed = failures.lock().map(|mut list| list.push(seed));
                failed.unwrap_or(());
            }
        }
        ControlFlow::Continue(())
    });
    let failures = failures.into_inner().unwrap_or_default();
    let seconds = begun.elapsed().as_secs_f64();
    let count = seeds.end - seeds.start;
    println!(
        "{count} seeds, {} failed; {:.0} seeds/s, {:.0} virtual hours, {} events, hash {:016x}",
        failures.len(),
        count as f64 / seconds,
        virtual_millis.into_inner() as f64 / 3_600_000.0,
        events.into_inner(),
        hash.into_inner(),
    );
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn replay_seed(seed: u64) -> String {
    format!("cargo run -p weir-sim --release -- --seed {seed} --trace")
}

fn replay(script: &Script) -> String {
    let mut command = replay_seed(script.seed);
    command.push_str(" --keep ");
    for (index, step) in script.steps.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(command, "{comma}{}", step.number);
    }
    command
}
