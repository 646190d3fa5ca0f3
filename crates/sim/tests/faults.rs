//! The oracle can fail: every fault that can be planted in the engine is found, and a failure becomes a short script.

#![cfg(feature = "faults")]

use weir_sim::{Fault, check, generate, plant, shrink};

const SEEDS: u64 = 1000;

/// One test, since a fault is planted for the whole process.
#[test]
fn every_planted_fault_is_found_within_a_thousand_seeds() {
    // Panics are findings too; their messages would drown what there is to read.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        plant(Some(*fault));
        let found = (0..SEEDS).find_map(|seed| Some((seed, check(&generate(seed)).err()?)));
        plant(None);
        let Some((seed, failure)) = found else {
            missed.push(fault);
            continue;
        };
        println!("{fault:?}: seed {seed}: {failure:.160}");
        // It is the fault that was found, and nothing else.
        assert_eq!(
            check(&generate(seed)).err(),
            None,
            "seed {seed} without {fault:?}"
        );
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(Fault::ALL.len() >= 25);

    plant(Some(Fault::WillKeptAtResume));
    let script = (0..SEEDS)
        .map(generate)
        .find(|script| check(script).is_err());
    let script = script.expect("the fault was found before");
    let short = shrink(&script);
    println!(
        "from {} steps to {}:\n{short}",
        script.steps.len(),
        short.steps.len()
    );
    assert!(check(&short).is_err());
    assert!(short.steps.len() <= 6);
    plant(None);
}
