//! Load for any MQTT broker, from outside.
//!
//! Measures every broker the same way: units a second, latency, what is lost, doubled or out of order, and the broker's
//! CPU time per delivered message (by process id). On a machine with few cores and other work that last figure, and of
//! it the ratio to a peer measured in the same run, is the one that holds.

mod address;
mod client;
mod compare;
mod fleet;
mod floor;
mod flow;
mod ledger;
mod packets;
mod process;
mod report;
mod scenario;
mod trust;

use address::Address;
use clap::{Args, Parser, Subcommand};
use process::Process;
use scenario::{Options, Scenario};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Puts load on MQTT brokers and says what a delivered message costs them.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure one broker.
    Run(Run),
    /// Be the floor: write the bytes that come to everybody who wants them, and nothing else.
    Floor {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8083")]
        bind: SocketAddr,
    },
    /// Measure several brokers in turn and write the table.
    Compare(compare::Arguments),
    /// Queue very much, end the broker (Weir is killed, mosquitto ended in order), and see what it is like when it comes back.
    Recovery(compare::recovery::Arguments),
}

#[derive(Debug, Args)]
struct Run {
    scenario: Scenario,
    /// ws://HOST:PORT/PATH, wss://HOST:PORT/PATH (no certificate is checked) or mqtt://HOST:PORT.
    #[arg(long, default_value = "ws://127.0.0.1:8083/mqtt")]
    address: Address,
    /// The broker's process id, for its CPU time and memory.
    #[arg(long)]
    pid: u32,
    /// How long to publish.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Messages a second of each publisher, instead of the scenario's own.
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes of payload, instead of the scenario's own.
    #[arg(long)]
    payload: Option<usize>,
    /// Tiny numbers: only to see that nothing is lost.
    #[arg(long)]
    small: bool,
    /// One line of JSON instead of text.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Floor { bind } => floor::serve(bind).map(|()| true),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Recovery(arguments) => compare::recovery::run(&arguments),
    };
    match done {
        Ok(is_clean) => ExitCode::from(u8::from(!is_clean)),
        Err(error) => {
            eprintln!("weir-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether nothing was lost, doubled or out of order.
fn run(arguments: &Run) -> io::Result<bool> {
    let options = Options {
        duration: Duration::from_secs_f64(arguments.seconds),
        rate: arguments.rate,
        payload_bytes: arguments.payload,
        small: arguments.small,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measured = arguments
        .scenario
        .run(&arguments.address, Process(arguments.pid), options);
    let report = tokio::task::LocalSet::new().block_on(&runtime, measured)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(report.is_clean())
}
