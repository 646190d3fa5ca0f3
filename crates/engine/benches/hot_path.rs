//! What the parts of the way of a PUBLISH take.
//!
//! `cargo bench -p weir-engine --bench hot_path` prints nanoseconds. A test of the project (`instructions`) runs
//! `hot_path PART TIMES` under valgrind and counts instructions; `hot_path list` tells it what there is.

#![allow(missing_docs)] // a program

mod parts;

use parts::PARTS;
use std::time::{Duration, Instant};

/// How long each part is timed.
const TIMED: Duration = Duration::from_millis(500);

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    match (arguments.next(), arguments.next()) {
        (Some(part), Some(times)) => {
            let (_, _, make) = PARTS[part.parse::<usize>().unwrap()];
            let mut part = make();
            (0..times.parse::<u32>().unwrap()).for_each(|_| part());
        }
        (Some(_), None) => PARTS
            .iter()
            .for_each(|(name, units, _)| println!("{name}\t{units}")),
        _ => time_all(),
    }
}

fn time_all() {
    for (name, units, make) in PARTS {
        let mut part = make();
        (0..100).for_each(|_| part());
        let (started, mut times) = (Instant::now(), 0);
        while started.elapsed() < TIMED {
            (0..10).for_each(|_| part());
            times += 10;
        }
        let nanoseconds = started.elapsed().as_nanos() as f64 / (times * units) as f64;
        println!("{name:30} {nanoseconds:8.1} ns");
    }
}
