//! A subscriber that stops reading, and what the others notice of it.
//!
//! With and without it by turns, many and short ones, since the rate of a machine with other work is not the same from second
//! to second.

use super::{Options, Scenario};
use crate::address::Address;
use crate::flow::{Flow, Shape};
use crate::process::Process;
use crate::report::Report;
use std::io;

/// Times that it is measured without and with.
const TURNS: u32 = 9;

pub(super) async fn run(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let without = Flow {
        duration: options.duration / 4,
        ..Flow::new(Shape::Each, 1, options.scale(99, 4), 200)
    };
    let with = Flow {
        has_stalled: true,
        ..without.clone()
    };
    // What the broker takes for everybody it takes now.
    let measured = without.clone().run(Scenario::Stalled, address, broker);
    let mut all = measured.await?;
    let before = broker.resident_bytes();
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let measured = without.clone().run(Scenario::Stalled, address, broker);
        let alone = measured.await?;
        let measured = with.clone().run(Scenario::Stalled, address, broker);
        let beside = measured.await?;
        rates.push(beside.rate() / alone.rate());
        costs.push(beside.broker_us / alone.broker_us);
        let faults = [&all, &alone, &beside].map(|it| (it.lost, it.duplicates, it.misordered));
        all = beside;
        all.lost = faults.iter().map(|it| it.0).sum();
        all.duplicates = faults.iter().map(|it| it.1).sum();
        all.misordered = faults.iter().map(|it| it.2).sum();
    }
    let growth = broker.resident_peak_bytes().saturating_sub(before);
    Ok(all
        .with("rate_ratio", middle(rates))
        .with("cpu_ratio", middle(costs))
        .with("peak_growth_mib", growth as f64 / f64::from(1 << 20)))
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
