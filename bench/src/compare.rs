//! Several brokers in turn, round after round, and the table of their medians.
//!
//! Rounds are interleaved: whatever else the machine does hits all brokers alike. Results are kept in a file, so that a
//! part can be measured again and the table written anew.

mod brokers;
mod cores;
mod durable;
mod goals;
mod matching;
pub(crate) mod recovery;
mod table;

use crate::process::Process;
use crate::report::Report;
use crate::scenario::{Options, Scenario};
use brokers::{Broker, Programs};
use clap::ValueEnum;
use cores::Cores;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::timeout;

/// What is compared, and where the table goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    programs: Programs,
    /// Measurements of each broker and scenario.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each publishes.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// Tiny numbers: only to see that nothing is lost.
    #[arg(long)]
    small: bool,
    /// The router's example `million`, for what matching alone takes.
    #[arg(long)]
    matching: Option<PathBuf>,
    /// A folder for the brokers' files and the results.
    #[arg(long)]
    scratch: PathBuf,
    /// Measure nothing: only write the table of what was measured.
    #[arg(long)]
    table_only: bool,
    /// Markdown files that get the table, short or whole, as their markers say.
    #[arg(long)]
    write: Vec<PathBuf>,
}

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Measured {
    broker: Broker,
    scenario: Scenario,
    /// What was found, or why nothing could be.
    outcome: Result<Report, String>,
}

/// Of the fan-out.
const SUBSCRIBERS: f64 = 100.0;

/// Where messages were lost, so much of the rate is tried next, and so often.
const SLOWER: f64 = 0.75;
const TRIES: usize = 8;

/// Returns whether everything that Weir was measured with is clean.
pub(crate) fn run(arguments: &Arguments) -> io::Result<bool> {
    fs::create_dir_all(&arguments.scratch)?;
    let file = arguments.scratch.join("results.json");
    let mut all = read(&file)?;
    if !arguments.table_only {
        let scenarios = arguments.scenarios();
        all.retain(|measured| !scenarios.contains(&measured.scenario));
        for round in 0..arguments.rounds {
            for scenario in &scenarios {
                for broker in Broker::ALL {
                    if broker.can(*scenario) && broker.is_among(&arguments.programs) {
                        all.push(arguments.measure(round, broker, *scenario, &all));
                        fs::write(&file, serde_json::to_string_pretty(&all)?)?;
                    }
                }
            }
        }
    }
    let tables = [table::whole(&all), goals::table(&all), durable::table(&all)];
    println!("{}", tables.join("\n"));
    for file in &arguments.write {
        table::write(file, &all)?;
    }
    let ours = all.iter().filter(|measured| measured.broker.is_weir());
    Ok(ours
        .map(|measured| &measured.outcome)
        .all(|outcome| outcome.as_ref().is_ok_and(Report::is_clean)))
}

impl Arguments {
    fn scenarios(&self) -> Vec<Scenario> {
        if self.scenarios.is_empty() {
            let all = Scenario::value_variants().iter().copied();
            return all.filter(|scenario| !scenario.is_durable()).collect();
        }
        self.scenarios.clone()
    }

    fn measure(
        &self,
        round: usize,
        broker: Broker,
        scenario: Scenario,
        so_far: &[Measured],
    ) -> Measured {
        let outcome = self
            .rate(broker, scenario, so_far)
            .and_then(|rate| self.run_one(broker, scenario, self.options(rate)));
        let title = broker.title();
        match &outcome {
            Ok(report) => println!("round {}, {title}, {report}", round + 1),
            Err(error) => println!("round {}, {title}, {}: {error}", round + 1, scenario.name()),
        }
        Measured {
            broker,
            scenario,
            outcome: outcome.map_err(|error| error.to_string()),
        }
    }

    fn options(&self, rate: Option<f64>) -> Options {
        Options {
            duration: Duration::from_secs_f64(self.seconds),
            rate,
            payload_bytes: None,
            small: self.small,
        }
    }

    /// Messages a second, where they depend on what has been measured: half of what a broker could do with the same fan-out,
    /// unpaced; itself, or the fastest of the peers.
    fn rate(
        &self,
        broker: Broker,
        scenario: Scenario,
        so_far: &[Measured],
    ) -> io::Result<Option<f64>> {
        let saturated = |broker| {
            let rate = table::median(so_far, broker, Scenario::FanOut, Report::rate);
            rate.map(|rate| rate / SUBSCRIBERS)
        };
        let whole = match scenario {
            Scenario::Latency => match saturated(broker) {
                Some(rate) => Some(self.sustained(broker, rate)?),
                None => None,
            },
            Scenario::LatencyAlike => {
                let peers = Broker::ALL.into_iter().filter(|broker| broker.is_peer());
                peers.filter_map(saturated).max_by(f64::total_cmp)
            }
            _ => None,
        };
        Ok(whole.map(|rate| rate / 2.0))
    }

    /// What broker and generator can keep up with together when messages come at a rate and not as the last ones have
    /// arrived: the rate of the unpaced fan-out, or as much less as it takes for nothing to be lost.
    fn sustained(&self, broker: Broker, saturated: f64) -> io::Result<f64> {
        let rates = iter::successors(Some(saturated), |rate| Some(rate * SLOWER));
        for rate in rates.take(TRIES) {
            let outcome = self.run_one(broker, Scenario::Latency, self.options(Some(rate)));
            if outcome.is_ok_and(|report| report.is_clean()) {
                return Ok(rate);
            }
        }
        Err(io::Error::other("nothing near its saturation is sustained"))
    }

    fn run_one(&self, broker: Broker, scenario: Scenario, options: Options) -> io::Result<Report> {
        let start = || broker.start(&self.programs, &self.scratch.join("broker"));
        // Who waits for a disk has threads for that, which are not to wait for who delivers.
        let cores = match scenario.is_durable() {
            true => Cores::share()?,
            false => Cores::divide()?,
        };
        let running = cores.start(start)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let process = Process(running.process_id());
        let measured = scenario.run(running.address(), process, options);
        let limit = scenario.limit() + options.duration;
        let done = LocalSet::new().block_on(&runtime, async { timeout(limit, measured).await });
        let too_long = |_| io::Error::other(format!("not done after {} s", limit.as_secs()));
        let report = done.map_err(too_long)??;
        let report = report.with("broker_cores", cores.of_broker() as f64);
        match &self.matching {
            Some(program) if scenario == Scenario::Subscriptions => matching::add(program, report),
            _ => Ok(report),
        }
    }
}

fn read(file: &Path) -> io::Result<Vec<Measured>> {
    match fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
