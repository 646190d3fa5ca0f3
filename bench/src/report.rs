//! What a measurement found, for people and for machines.
//!
//! A figure whose messages were lost, doubled or out of order is void: [`Report::is_clean`] says so, and so does what is
//! printed.

use crate::process::Process;
use crate::scenario::Scenario;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What one run of a scenario found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) scenario: Scenario,
    /// What is counted: deliveries, connections, ..
    pub(crate) unit: String,
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) misordered: u64,
    /// The broker's CPU time per unit, in microseconds.
    pub(crate) broker_us: f64,
    /// The generator's.
    pub(crate) generator_us: f64,
    /// The broker's memory at the end.
    pub(crate) resident_bytes: u64,
    pub(crate) latency: Option<Latency>,
    /// What only this scenario measures; units last in the names.
    pub(crate) figures: BTreeMap<String, f64>,
}

/// From the moment a message was to be sent until it arrived, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

/// CPU time of broker and generator since some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    broker: Process,
    broker_before: Duration,
    own_before: Duration,
}

impl Spent {
    /// Counts from now on.
    pub(crate) fn start(broker: Process) -> Self {
        Self {
            broker,
            broker_before: broker.cpu(),
            own_before: Process::own().cpu(),
        }
    }

    /// A report of `count` units that took what was spent so far.
    pub(crate) fn report(
        self,
        scenario: Scenario,
        unit: &str,
        count: u64,
        elapsed: Duration,
    ) -> Report {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count.max(1) as f64;
        Report {
            scenario,
            unit: unit.to_owned(),
            count,
            seconds: elapsed.as_secs_f64(),
            lost: 0,
            duplicates: 0,
            misordered: 0,
            broker_us: each(self.broker.cpu().saturating_sub(self.broker_before)),
            generator_us: each(Process::own().cpu().saturating_sub(self.own_before)),
            resident_bytes: self.broker.resident_bytes(),
            latency: None,
            figures: BTreeMap::new(),
        }
    }
}

impl Report {
    /// Something was measured, nothing lost, doubled or out of order.
    pub(crate) fn is_clean(&self) -> bool {
        self.count > 0 && self.lost + self.duplicates + self.misordered == 0
    }

    /// Units a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.seconds.max(1e-9)
    }

    /// Adds a figure of this scenario's own.
    pub(crate) fn with(mut self, name: &str, value: f64) -> Self {
        self.figures.insert(name.to_owned(), value);
        self
    }
}

impl Latency {
    /// Of what was recorded, in nanoseconds; `None` if nothing was.
    pub(crate) fn of(nanos: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| nanos.value_at_quantile(quantile) as f64 / 1e3;
        (!nanos.is_empty()).then(|| Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: nanos.max() as f64 / 1e3,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.scenario.name();
        writeln!(
            f,
            "{name}: {} {} in {:.2} s, {:.0}/s",
            self.count,
            self.unit,
            self.seconds,
            self.rate()
        )?;
        if !self.is_clean() {
            writeln!(
                f,
                "  VOID: lost {}, duplicates {}, misordered {}",
                self.lost, self.duplicates, self.misordered
            )?;
        }
        write!(
            f,
            "  broker {:.3} us, generator {:.3} us of CPU each; resident {:.1} MiB",
            self.broker_us,
            self.generator_us,
            self.resident_bytes as f64 / f64::from(1 << 20)
        )?;
        if let Some(latency) = self.latency {
            write!(
                f,
                "\n  latency p50 {:.0} us, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0}",
                latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us
            )?;
        }
        for (name, value) in &self.figures {
            write!(f, "\n  {name} {value:.2}")?;
        }
        Ok(())
    }
}
