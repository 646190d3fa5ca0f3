//! The table of what durability costs: ratios first, then what they are made of.

use super::Measured;
use super::brokers::Broker;
use super::table::{cpu, digits, faults, median, p99};
use crate::report::Report;
use crate::scenario::Scenario;
use std::fmt::Write as _;

const BROKERS: [Broker; 5] = [
    Broker::WeirSync,
    Broker::WeirInterval,
    Broker::WeirMemory,
    Broker::MosquittoPersistent,
    Broker::MosquittoAutosave,
];

/// One row: a scenario, and which figure of it.
struct Row(Scenario, &'static str, fn(&Report) -> f64);

const ROWS: [Row; 16] = [
    Row(
        Scenario::DurableOffline,
        "offline, acknowledged a second",
        Report::rate,
    ),
    Row(
        Scenario::DurableFilled,
        "offline, until 200,000 wait, acknowledged a second",
        Report::rate,
    ),
    Row(
        Scenario::DurableOnline,
        "online, acknowledged a second",
        Report::rate,
    ),
    Row(
        Scenario::DurableOffline,
        "offline, CPU of a message, us",
        cpu,
    ),
    Row(
        Scenario::DurableFilled,
        "offline, until 200,000 wait, CPU of a message, us",
        cpu,
    ),
    Row(Scenario::DurableOnline, "online, CPU of a message, us", cpu),
    Row(Scenario::DurableOffline, "offline, PUBACK p50, us", p50),
    Row(Scenario::DurableOffline, "offline, PUBACK p99, us", p99),
    Row(Scenario::DurableOnline, "online, PUBACK p50, us", p50),
    Row(Scenario::DurableOnline, "online, PUBACK p99, us", p99),
    Row(
        Scenario::DurableLockstep,
        "in lockstep, acknowledged a second",
        Report::rate,
    ),
    Row(
        Scenario::DurableLockstep,
        "in lockstep, CPU of a message, us",
        cpu,
    ),
    Row(
        Scenario::DurableLockstep,
        "in lockstep, PUBACK p99, us",
        p99,
    ),
    Row(
        Scenario::DurableSingle,
        "one at a time, PUBACK p50, us",
        p50,
    ),
    Row(
        Scenario::DurableSingle,
        "one at a time, PUBACK p99, us",
        p99,
    ),
    Row(
        Scenario::DurableSingle,
        "one at a time, CPU of a message, us",
        cpu,
    ),
];

/// The whole table; empty if nothing of it was measured.
pub(super) fn table(all: &[Measured]) -> String {
    if !all.iter().any(|measured| measured.scenario.is_durable()) {
        return String::new();
    }
    let mut text = String::from("| | sync : autosave | sync : default |");
    for broker in BROKERS {
        let _ = write!(text, " {} |", broker.title());
    }
    text.push_str("\n|---|---|---|");
    text.push_str(&"---|".repeat(BROKERS.len()));
    for Row(scenario, title, figure) in ROWS {
        let of = |broker| median(all, broker, scenario, figure);
        let ratio = |other| match (of(Broker::WeirSync), of(other)) {
            (Some(ours), Some(other)) if other > 0.0 => digits(ours / other),
            _ => "-".to_owned(),
        };
        let (autosave, default) = (
            ratio(Broker::MosquittoAutosave),
            ratio(Broker::MosquittoPersistent),
        );
        let _ = write!(text, "\n| {title} | {autosave} | {default} |");
        for broker in BROKERS {
            let cell = of(broker).map_or_else(|| "void".to_owned(), digits);
            let _ = write!(text, " {cell} |");
        }
    }
    text.push('\n');
    text.push_str(&faults(all));
    text
}

fn p50(report: &Report) -> f64 {
    report.latency.map_or(0.0, |latency| latency.p50_us)
}
