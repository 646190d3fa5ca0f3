//! From a script that fails to a short one.
//!
//! Steps are taken out in ever smaller groups for as long as the rest still fails. Any failure will do: what is left is
//! short, and what it shows is a broken promise all the same.

use crate::script::Script;
use crate::world::{Outcome, run};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a script.
///
/// # Errors
/// The promise that was broken; a panic breaks the ninth.
pub fn check(script: &Script) -> Result<Outcome, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(script, false)))
        .map_err(|_| "it panicked".to_string())?;
    match outcome.failure {
        Some(failure) => Err(failure),
        None => Ok(outcome),
    }
}

/// The shortest script found that still fails; the script itself if it does not fail.
#[must_use]
pub fn shrink(script: &Script) -> Script {
    let mut best = script.clone();
    if check(script).is_ok() {
        return best;
    }
    let mut group = best.steps.len().div_ceil(2);
    while group > 0 {
        let mut at = 0;
        let mut is_shorter = false;
        while at < best.steps.len() {
            let shorter = without(&best, at, group);
            if check(&shorter).is_err() {
                best = shorter;
                is_shorter = true;
            } else {
                at += group;
            }
        }
        if !is_shorter {
            group /= 2;
        }
    }
    best
}

fn without(script: &Script, at: usize, group: usize) -> Script {
    let end = (at + group).min(script.steps.len());
    let mut shorter = script.clone();
    shorter.steps.drain(at..end);
    shorter
}
