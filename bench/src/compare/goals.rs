//! The goals that Weir was given, each with what was measured.
//!
//! Most are ratios of two figures of the same rounds, so that a slow machine makes neither better. Nothing is said of a
//! goal whose figures are void or were not measured.

use super::Measured;
use super::brokers::Broker;
use super::table::{best_peer, carried_bytes, cpu, digits, figure, idle_bytes, median, p99};
use crate::report::Report;
use crate::scenario::Scenario as S;
use std::fmt::Write as _;

type Figure = fn(&Report) -> f64;

/// One goal.
struct Goal {
    title: &'static str,
    ours: Figured,
    against: Option<Against>,
    bound: Bound,
}

/// A broker's figure of a scenario.
struct Figured(Broker, S, Figure);

/// What Weir's figure is divided by.
enum Against {
    One(Figured),
    /// The best of the peers in the same scenario.
    BestPeer,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Against::{BestPeer, One};
use Bound::{AtLeast, AtMost};
use Broker::{Floor, Mosquitto, Rumqttd, Weir, WeirTls, WeirTwoShards};

/// Weir's CPU time against another's in the same scenario.
const fn cost(title: &'static str, scenario: S, other: Broker, at_most: f64) -> Goal {
    let ours = Figured(Weir, scenario, cpu);
    ratio(title, ours, Figured(other, scenario, cpu), AtMost(at_most))
}

/// Weir's figure against that of the best peer.
const fn peers(title: &'static str, scenario: S, figure: Figure, at_most: f64) -> Goal {
    Goal {
        title,
        ours: Figured(Weir, scenario, figure),
        against: Some(BestPeer),
        bound: AtMost(at_most),
    }
}

const fn ratio(title: &'static str, ours: Figured, other: Figured, bound: Bound) -> Goal {
    Goal {
        title,
        ours,
        against: Some(One(other)),
        bound,
    }
}

/// A figure by itself.
const fn alone(title: &'static str, ours: Figured, bound: Bound) -> Goal {
    Goal {
        title,
        ours,
        against: None,
        bound,
    }
}

const GOALS: [Goal; 32] = [
    cost("fan-out : floor", S::FanOut, Floor, 1.5),
    cost("fan-out : rumqttd", S::FanOut, Rumqttd, 0.45),
    cost("fan-out : mosquitto", S::FanOut, Mosquitto, 0.02),
    cost("fan-out, paced : floor", S::FanOutPaced, Floor, 1.15),
    peers("fan-out, QoS 1 : best peer", S::FanOutQos1, cpu, 0.35),
    cost("50 pairs : floor", S::Pairs, Floor, 1.3),
    peers("50 pairs : best peer", S::Pairs, cpu, 0.6),
    peers("50 pairs, QoS 1 : best peer", S::PairsQos1, cpu, 0.6),
    cost("100 publishers to 1 : floor", S::FanIn, Floor, 1.3),
    cost("100 to 100 shared : floor", S::Shared, Floor, 1.3),
    ratio(
        "fan-out, wss : ws",
        Figured(WeirTls, S::FanOut, cpu),
        Figured(Weir, S::FanOut, cpu),
        AtMost(2.0),
    ),
    ratio(
        "fan-out, 5.0 with properties : 3.1.1",
        Figured(Weir, S::FanOutV5, cpu),
        Figured(Weir, S::FanOut, cpu),
        AtMost(1.5),
    ),
    cost("fan-out, 8 KiB : floor", S::Payload8k, Floor, 1.2),
    cost("fan-out, 256 KiB : floor", S::Payload256k, Floor, 1.2),
    ratio(
        "  memory, which holds a payload once : floor",
        Figured(Weir, S::Payload256k, payloads),
        Figured(Floor, S::Payload256k, payloads),
        AtMost(1.2),
    ),
    alone(
        "bytes of an idle connection",
        Figured(Weir, S::Idle, idle_bytes),
        AtMost(4096.0),
    ),
    alone(
        "  wss",
        Figured(WeirTls, S::Idle, idle_bytes),
        AtMost(14336.0),
    ),
    ratio(
        "  after 64 KiB were carried : before",
        Figured(Weir, S::Idle, carried_bytes),
        Figured(Weir, S::Idle, idle_bytes),
        AtMost(1.1),
    ),
    ratio(
        "  wss, after 64 KiB were carried : before",
        Figured(WeirTls, S::Idle, carried_bytes),
        Figured(WeirTls, S::Idle, idle_bytes),
        AtMost(1.1),
    ),
    cost(
        "connect, subscribe, disconnect : mosquitto",
        S::Churn,
        Mosquitto,
        0.5,
    ),
    alone(
        "bytes of each of 1,000,000 subscriptions",
        Figured(Weir, S::Subscriptions, |report| {
            figure(report, "subscription_bytes")
        }),
        AtMost(150.0),
    ),
    alone(
        "  us of matching a cold topic",
        Figured(Weir, S::Subscriptions, |report| {
            figure(report, "cold_match_us")
        }),
        AtMost(5.0),
    ),
    alone(
        "  us of matching a hot topic",
        Figured(Weir, S::Subscriptions, |report| {
            figure(report, "hot_match_us")
        }),
        AtMost(0.5),
    ),
    cost("100,000 retained messages : floor", S::Retained, Floor, 1.0),
    alone(
        "  us, p99 of others meanwhile",
        Figured(Weir, S::Retained, p99),
        AtMost(5000.0),
    ),
    peers(
        "p99 at half of the best peer's saturation : best peer",
        S::LatencyAlike,
        p99,
        1.0,
    ),
    alone(
        "rate beside a stalled reader : before",
        Figured(Weir, S::Stalled, |report| figure(report, "rate_ratio")),
        AtLeast(0.98),
    ),
    alone(
        "  MiB for it",
        Figured(Weir, S::Stalled, |report| figure(report, "peak_growth_mib")),
        // `queue_bytes`, `outbox_bytes` and what the allocator has beside them.
        AtMost(17.0),
    ),
    ratio(
        "fan-out, 2 shards : 1, CPU",
        Figured(WeirTwoShards, S::FanOut, cpu),
        Figured(Weir, S::FanOut, cpu),
        AtMost(1.1),
    ),
    ratio(
        "fan-out, 2 shards : 1, throughput",
        Figured(WeirTwoShards, S::FanOut, rate_of_two),
        Figured(Weir, S::FanOut, rate_of_two),
        AtLeast(1.6),
    ),
    ratio(
        "50 pairs, QoS 1, 2 shards : 1, CPU",
        Figured(WeirTwoShards, S::PairsQos1, cpu),
        Figured(Weir, S::PairsQos1, cpu),
        AtMost(1.1),
    ),
    ratio(
        "50 pairs, QoS 1, 2 shards : 1, throughput",
        Figured(WeirTwoShards, S::PairsQos1, rate_of_two),
        Figured(Weir, S::PairsQos1, rate_of_two),
        AtLeast(1.6),
    ),
];

/// Every goal that something was measured for; empty if there is none.
pub(super) fn table(all: &[Measured]) -> String {
    let mut text = String::new();
    for goal in &GOALS {
        if let Some(value) = goal.value(all) {
            let _ = write!(text, "\n{}", goal.line(value));
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("| | goal | measured | |\n|---|---|---|---|{text}\n")
}

impl Goal {
    fn value(&self, all: &[Measured]) -> Option<f64> {
        let of = |it: &Figured| median(all, it.0, it.1, it.2);
        let ours = of(&self.ours)?;
        let against = match &self.against {
            None => 1.0,
            Some(One(other)) => of(other)?,
            Some(BestPeer) => best_peer(all, self.ours.1, self.ours.2)?,
        };
        (against > 0.0).then_some(ours / against)
    }

    fn line(&self, value: f64) -> String {
        let (words, bound, is_met) = match self.bound {
            AtMost(bound) => ("at most", bound, value <= bound),
            AtLeast(bound) => ("at least", bound, value >= bound),
        };
        let met = if is_met { "met" } else { "missed" };
        format!(
            "| {} | {words} {bound} | {} | {met} |",
            self.title,
            digits(value)
        )
    }
}

/// What came in a second, where two shards had two cores beside the generator's.
fn rate_of_two(report: &Report) -> f64 {
    match figure(report, "broker_cores") {
        2.0.. => report.rate(),
        _ => f64::NAN,
    }
}

fn payloads(report: &Report) -> f64 {
    figure(report, "peak_growth_payloads")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;
    use crate::report::Spent;
    use std::time::Duration;

    fn measured(broker: Broker, broker_us: f64) -> Measured {
        let spent = Spent::start(Process::own());
        let mut report = spent.report(S::FanOut, "deliveries", 1, Duration::from_secs(1));
        report.broker_us = broker_us;
        Measured {
            broker,
            scenario: S::FanOut,
            outcome: Ok(report),
        }
    }

    #[test]
    fn a_goal_says_whether_it_is_met() {
        let all = [
            measured(Weir, 0.3),
            measured(Floor, 0.1),
            measured(Rumqttd, 1.0),
        ];
        let table = table(&all);
        assert!(
            table.contains("| fan-out : floor | at most 1.5 | 3.00 | missed |"),
            "{table}"
        );
        assert!(
            table.contains("| fan-out : rumqttd | at most 0.45 | 0.30 | met |"),
            "{table}"
        );
        assert!(!table.contains("mosquitto"), "{table}");
    }
}
