//! A subscriber that stops reading, and what the others notice of it.

use super::{Options, Scenario};
use crate::address::Address;
use crate::flow::{Flow, Shape};
use crate::process::Process;
use crate::report::Report;
use std::io;

pub(super) async fn run(
    address: &Address,
    broker: Process,
    options: Options,
) -> io::Result<Report> {
    let flow = Flow {
        duration: options.duration,
        ..Flow::new(Shape::Each, 1, options.scale(99, 4), 200)
    };
    let without = flow.clone().run(Scenario::Stalled, address, broker).await?;
    let before = broker.resident_bytes();
    let with = Flow {
        has_stalled: true,
        ..flow
    };
    let with = with.run(Scenario::Stalled, address, broker).await?;
    let growth = broker.resident_peak_bytes().saturating_sub(before);
    let (ratio, cpu) = (
        with.rate() / without.rate(),
        with.broker_us / without.broker_us,
    );
    Ok(with
        .with("rate_ratio", ratio)
        .with("cpu_ratio", cpu)
        .with("peak_growth_mib", growth as f64 / f64::from(1 << 20)))
}
