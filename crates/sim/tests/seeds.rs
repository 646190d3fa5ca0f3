//! The first seeds are clean, and a seed is the same run every time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use weir_sim::{check, generate, run};

const SEEDS: u64 = 500;

#[test]
fn the_first_seeds_break_no_promise() {
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    if let Err(failure) = check(&generate(seed)) {
                        failures.lock().unwrap().push(format!(
                            "seed {seed}: {failure}\nto see it: cargo run -p weir-sim --release -- --seed {seed} --trace"
                        ));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in 0..20 {
        let script = generate(seed);
        let first = run(&script, false);
        // Whether somebody reads along changes nothing.
        let second = run(&generate(seed), true);
        assert_eq!(
            (first.hash, first.events),
            (second.hash, second.events),
            "seed {seed}"
        );
    }
    let hashes = [0, 1].map(|seed| run(&generate(seed), false).hash);
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn a_script_can_be_cut_to_some_of_its_steps() {
    let script = generate(3);
    let numbers: Vec<u64> = script
        .steps
        .iter()
        .map(|step| step.number)
        .filter(|number| number % 3 == 0)
        .collect();
    let shorter = script.only(&numbers);
    assert_eq!(shorter.steps.len(), numbers.len());
    assert_eq!(run(&shorter, false).failure, None);
}
