//! The oracle can fail: every fault that can be planted in the engine is found, and a failure becomes a short script.

#![cfg(feature = "faults")]

use std::ops::ControlFlow;
use std::sync::Mutex;
use weir_sim::{Fault, check, cores, each_seed, generate, plant, shrink};

const SEEDS: u64 = 1000;

/// One test, since a fault is planted for the whole process.
#[test]
fn every_planted_fault_is_found_within_a_thousand_seeds() {
    // Panics are findings too; their messages would drown what there is to read.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        plant(Some(*fault));
        let found = first_that_fails();
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
    let script = first_that_fails().map(|(seed, _)| generate(seed));
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

/// The lowest seed that fails, and how; found on all cores.
fn first_that_fails() -> Option<(u64, String)> {
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    each_seed(0..SEEDS, cores(), |seed| {
        let is_beyond = |it: &(u64, String)| it.0 < seed;
        if found.lock().unwrap().as_ref().is_some_and(is_beyond) {
            return ControlFlow::Break(());
        }
        if let Err(failure) = check(&generate(seed)) {
            let mut found = found.lock().unwrap();
            if !found.as_ref().is_some_and(is_beyond) {
                *found = Some((seed, failure));
            }
        }
        ControlFlow::Continue(())
    });
    found.into_inner().unwrap()
}
