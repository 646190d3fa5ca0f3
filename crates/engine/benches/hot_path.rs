//! What the parts of the way of a PUBLISH take. `cargo bench -p weir-engine` prints nanoseconds; the test
//! tests/instructions.rs runs it under valgrind, as `hot_path PART TIMES`, and counts instructions.

#![allow(missing_docs)] // a program

#[path = "parts.rs"]
mod parts;

use parts::PARTS;
use std::time::{Duration, Instant};

/// How long each part is timed.
const TIMED: Duration = Duration::from_millis(500);

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    if let (Some(part), Some(times)) = (arguments.next(), arguments.next()) {
        let (_, _, make) = PARTS[part.parse::<usize>().unwrap()];
        let mut part = make();
        (0..times.parse::<u32>().unwrap()).for_each(|_| part());
        return;
    }
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
