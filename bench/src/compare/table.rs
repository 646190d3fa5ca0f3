//! The table: ratios first, then what they are made of; and putting it into the documents.
//!
//! A figure is the median of its rounds. Where a message was lost, doubled or out of order in any round, the figure is void
//! and says why.

use super::brokers::Broker;
use super::{Measured, durable, goals};
use crate::report::Report;
use crate::scenario::Scenario;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// One row: a scenario, and which figure of it.
#[derive(Clone, Copy)]
struct Row {
    /// Whose figure stands for Weir's.
    ours: Broker,
    scenario: Scenario,
    title: &'static str,
    figure: fn(&Report) -> f64,
    unit: &'static str,
    /// Whether it belongs to the short table.
    is_short: bool,
}

const fn row(scenario: Scenario, title: &'static str, is_short: bool) -> Row {
    Row {
        ours: Broker::Weir,
        scenario,
        title,
        figure: cpu,
        unit: "us",
        is_short,
    }
}

const fn other(
    scenario: Scenario,
    title: &'static str,
    figure: fn(&Report) -> f64,
    unit: &'static str,
) -> Row {
    Row {
        ours: Broker::Weir,
        scenario,
        title,
        figure,
        unit,
        is_short: matches!(scenario, Scenario::Idle),
    }
}

/// Of Weir over TLS; nobody else is measured with it.
const fn tls(row: Row) -> Row {
    Row {
        ours: Broker::WeirTls,
        is_short: false,
        ..row
    }
}

const ROWS: [Row; 33] = [
    row(Scenario::FanOut, "fan-out 1 to 100", true),
    row(
        Scenario::FanOutPaced,
        "fan-out, 500 messages a second",
        true,
    ),
    tls(row(Scenario::FanOut, "fan-out 1 to 100, wss", false)),
    row(Scenario::FanOutQos1, "fan-out, QoS 1", true),
    row(Scenario::FanOutV5, "fan-out, 5.0 with properties", false),
    row(Scenario::Payload8k, "fan-out, 8 KiB", false),
    row(Scenario::Payload256k, "fan-out, 256 KiB", false),
    row(Scenario::Pairs, "50 pairs", true),
    row(Scenario::PairsQos1, "50 pairs, QoS 1", true),
    row(Scenario::PairsQos2, "50 pairs, QoS 2", false),
    row(Scenario::FanIn, "100 publishers to 1", true),
    row(Scenario::Shared, "100 to 100 shared", true),
    row(Scenario::Wildcards, "10,000 filters, 44% wildcards", false),
    row(Scenario::Churn, "connect, subscribe, disconnect", true),
    row(Scenario::Storm, "2,000 reconnect at once", false),
    other(
        Scenario::Storm,
        "  until the last is back",
        |report| report.seconds * 1e3,
        "ms",
    ),
    row(Scenario::Retained, "100,000 retained messages", false),
    other(Scenario::Retained, "  p99 of others meanwhile", p99, "us"),
    other(
        Scenario::FanOutPaced,
        "p99, 500 messages a second",
        p99,
        "us",
    ),
    other(
        Scenario::Latency,
        "p99 at half of its own saturation",
        p99,
        "us",
    ),
    other(
        Scenario::LatencyAlike,
        "p99 at half of the best peer's saturation",
        p99,
        "us",
    ),
    other(
        Scenario::Idle,
        "memory of an idle connection",
        idle_bytes,
        "B",
    ),
    other(
        Scenario::Idle,
        "  after 64 KiB were carried",
        carried_bytes,
        "B",
    ),
    tls(other(
        Scenario::Idle,
        "memory of an idle connection, wss",
        idle_bytes,
        "B",
    )),
    tls(other(
        Scenario::Idle,
        "  after 64 KiB were carried",
        carried_bytes,
        "B",
    )),
    other(
        Scenario::Subscriptions,
        "memory of a subscription (1,000,000)",
        |report| figure(report, "subscription_bytes"),
        "B",
    ),
    other(
        Scenario::Subscriptions,
        "  the whole way of a publish to a cold topic",
        |report| figure(report, "cold_publish_us"),
        "us",
    ),
    other(
        Scenario::Subscriptions,
        "  the whole way of a publish to a hot topic",
        |report| figure(report, "hot_publish_us"),
        "us",
    ),
    other(
        Scenario::Subscriptions,
        "  of it matching, cold",
        |report| figure(report, "cold_match_us"),
        "us",
    ),
    other(
        Scenario::Subscriptions,
        "  of it matching, hot",
        |report| figure(report, "hot_match_us"),
        "us",
    ),
    other(
        Scenario::Payload256k,
        "memory for 256 KiB messages",
        |report| figure(report, "peak_growth_payloads"),
        "payloads",
    ),
    other(
        Scenario::Stalled,
        "rate beside a stalled reader",
        |report| figure(report, "rate_ratio"),
        "of before",
    ),
    other(
        Scenario::Stalled,
        "  memory for it",
        |report| figure(report, "peak_growth_mib"),
        "MiB",
    ),
];

pub(super) fn cpu(report: &Report) -> f64 {
    report.broker_us
}

pub(super) fn p99(report: &Report) -> f64 {
    report.latency.map_or(0.0, |latency| latency.p99_us)
}

/// A figure of the scenario's own; not a number if it was not measured.
pub(super) fn figure(report: &Report, name: &str) -> f64 {
    report.figures.get(name).copied().unwrap_or(f64::NAN)
}

pub(super) fn idle_bytes(report: &Report) -> f64 {
    figure(report, "connection_bytes")
}

pub(super) fn carried_bytes(report: &Report) -> f64 {
    figure(report, "connection_after_64k_bytes")
}

/// The median of a figure over the rounds; `None` if there is none, or it is void.
pub(super) fn median(
    all: &[Measured],
    broker: Broker,
    scenario: Scenario,
    figure: fn(&Report) -> f64,
) -> Option<f64> {
    let of = all
        .iter()
        .filter(|it| it.broker == broker && it.scenario == scenario);
    let mut figures = Vec::new();
    for measured in of {
        let report = measured.outcome.as_ref().ok()?;
        if !report.is_clean() {
            return None;
        }
        figures.push(figure(report));
    }
    figures.retain(|figure| figure.is_finite());
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = *figures.get(middle)?;
    let is_even = figures.len().is_multiple_of(2);
    Some(if is_even {
        (figures[middle - 1] + upper) / 2.0
    } else {
        upper
    })
}

/// The whole table, with what is void below it.
pub(super) fn whole(all: &[Measured]) -> String {
    let mut text = String::from("| |");
    let brokers: Vec<Broker> = Broker::ALL
        .into_iter()
        .filter(|broker| *broker != Broker::WeirTls)
        .filter(|broker| all.iter().any(|it| it.broker == *broker))
        .collect();
    text.push_str(" Weir : floor | Weir : best peer | Weir : mosquitto | |");
    for broker in &brokers {
        let _ = write!(text, " {} |", broker.title());
    }
    text.push_str("\n|---|---|---|---|---|");
    text.push_str(&"---|".repeat(brokers.len()));
    for row in &ROWS {
        let is_measured = |it: &Measured| (it.broker, it.scenario) == (row.ours, row.scenario);
        if !all.iter().any(is_measured) {
            continue;
        }
        let _ = write!(
            text,
            "\n| {} | {} | {} |",
            row.title,
            ratios(all, row),
            row.unit
        );
        for broker in &brokers {
            let _ = write!(text, " {} |", cell(all, *broker, row));
        }
    }
    text.push('\n');
    text.push_str(&faults(all));
    text
}

/// The ratios alone, of the rows that matter most.
fn short(all: &[Measured]) -> String {
    let mut text = String::from(
        "| CPU time of the broker for each delivery | Weir : floor | Weir : best peer | Weir : mosquitto | Weir |\n|---|---|---|---|---|",
    );
    for row in ROWS.iter().filter(|row| row.is_short) {
        if let Some(ours) = median(all, Broker::Weir, row.scenario, row.figure) {
            let _ = write!(
                text,
                "\n| {} | {} | {} {} |",
                row.title.trim(),
                ratios(all, row),
                digits(ours),
                row.unit
            );
        }
    }
    text.push('\n');
    text
}

/// The least of the peers' figures.
pub(super) fn best_peer(
    all: &[Measured],
    scenario: Scenario,
    figure: fn(&Report) -> f64,
) -> Option<f64> {
    let peers = Broker::ALL.into_iter().filter(|broker| broker.is_peer());
    peers
        .filter_map(|peer| median(all, peer, scenario, figure))
        .min_by(f64::total_cmp)
}

fn ratios(all: &[Measured], row: &Row) -> String {
    if row.ours != Broker::Weir {
        return "- | - | -".to_owned();
    }
    let of = |broker: Broker| median(all, broker, row.scenario, row.figure);
    let best = best_peer(all, row.scenario, row.figure);
    let against = [of(Broker::Floor), best, of(Broker::Mosquitto)];
    let cells = against.map(|other| match (of(Broker::Weir), other) {
        (Some(ours), Some(other)) if other > 0.0 => digits(ours / other),
        _ => "-".to_owned(),
    });
    cells.join(" | ")
}

fn cell(all: &[Measured], broker: Broker, row: &Row) -> String {
    let broker = match broker {
        Broker::Weir => row.ours,
        _ if row.ours != Broker::Weir => return "-".to_owned(),
        other => other,
    };
    let is_void = |it: &Measured| {
        let is_clean = it.outcome.as_ref().is_ok_and(Report::is_clean);
        (it.broker, it.scenario) == (broker, row.scenario) && !is_clean
    };
    match median(all, broker, row.scenario, row.figure) {
        Some(value) => digits(value),
        None if all.iter().any(is_void) => "void".to_owned(),
        None => "-".to_owned(),
    }
}

/// Three digits that mean something.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        ..0.1 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Why figures are void, a line each.
pub(super) fn faults(all: &[Measured]) -> String {
    let mut lines = Vec::new();
    for measured in all {
        let why = match &measured.outcome {
            Ok(report) if report.is_clean() => continue,
            Ok(report) => format!(
                "{} lost, {} twice, {} out of order",
                report.lost, report.duplicates, report.misordered
            ),
            Err(error) => error.clone(),
        };
        let name = measured.scenario.name();
        let line = format!("- Void: {}, {name}: {why}", measured.broker.title());
        let is_known = |known: &String| {
            known.starts_with(&format!("- Void: {}, {name}:", measured.broker.title()))
        };
        if !lines.iter().any(is_known) {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    format!("\n{}\n", lines.join("\n"))
}

/// Replaces what stands between the markers `<!-- bench:short -->` or `<!-- bench:whole -->` and `<!-- /bench -->`.
pub(super) fn write(file: &Path, all: &[Measured]) -> io::Result<()> {
    let mut text = fs::read_to_string(file)?;
    for (marker, table, command) in [
        ("<!-- bench:short -->", short(all), "bench"),
        ("<!-- bench:whole -->", whole(all), "bench"),
        ("<!-- bench:goals -->", goals::table(all), "bench"),
        ("<!-- bench:durable -->", durable::table(all), "durability"),
    ] {
        let Some(start) = text.find(marker).map(|at| at + marker.len()) else {
            continue;
        };
        let end = text[start..].find("<!-- /bench -->").map(|at| start + at);
        let end =
            end.ok_or_else(|| io::Error::other(format!("{}: no <!-- /bench -->", file.display())))?;
        text.replace_range(start..end, &format!("\n{table}\n{}\n", provenance(command)));
    }
    fs::write(file, text)
}

/// When and where.
pub(super) fn provenance(command: &str) -> String {
    let date = Command::new("date").args(["--utc", "+%F"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names: Vec<&str> = cpus
        .lines()
        .filter(|line| line.starts_with("model name"))
        .collect();
    let name = names
        .first()
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("a processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<&str> = kernel.split('.').take(2).collect();
    format!(
        "Measured on {} with `cargo xtask {command}` on {} cores of {name}, Linux {}, generator and broker on one machine.",
        date.unwrap_or_default(),
        names.len(),
        kernel.join(".")
    )
}
