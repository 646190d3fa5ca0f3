//! Load for an MQTT broker over WebSocket.
//!
//! Measures any broker the same way, from outside: messages per second, the broker's CPU time per delivered message (by
//! process id), losses and misorder. The figure that holds on a noisy machine is CPU per delivery, and of that the
//! ratio to a peer measured in the same run.

mod client;
mod process;
mod scenario;

use clap::Parser;
use process::Process;
use std::process::ExitCode;

/// Puts load on an MQTT broker over WebSocket and says what a delivered message costs it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the broker listens: HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:8083")]
    address: String,
    /// The path of its WebSocket.
    #[arg(long, default_value = "/mqtt")]
    path: String,
    /// The broker's process id, for its CPU time and memory.
    #[arg(long)]
    pid: u32,
    /// How many publishers.
    #[arg(long, default_value_t = 1)]
    publishers: usize,
    /// How many subscribers. Each gets every message, or with --pairs those of its own publisher.
    #[arg(long, default_value_t = 100)]
    subscribers: usize,
    /// One publisher to one subscriber, as many times as there are publishers.
    #[arg(long)]
    pairs: bool,
    /// Messages of each publisher.
    #[arg(long, default_value_t = 20_000)]
    messages: u32,
    /// Bytes of a payload; at least 4, for the sequence number.
    #[arg(long, default_value_t = 100)]
    payload: usize,
    /// QoS 0 or 1, published and subscribed.
    #[arg(long, default_value_t = 0)]
    qos: u8,
    /// Messages on their way at most, of each publisher.
    #[arg(long, default_value_t = 200)]
    window: u32,
    /// Messages a second of each publisher; 0: as fast as the window allows.
    #[arg(long, default_value_t = 0)]
    rate: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let broker = Process(arguments.pid);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let local = tokio::task::LocalSet::new();
    match local.block_on(&runtime, scenario::run(&arguments, broker)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
