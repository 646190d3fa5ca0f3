//! The binary `weir`: reads the command line and the configuration, starts the broker, and ends when it is told to.
//!
//! Everything with a subject of its own lives in a module; here they are only put in order. Exit codes: 0 after an
//! orderly end, 1 if something could not be read or opened, 2 for a wrong command line or configuration.

mod cli;
mod config;
mod logging;
mod notify;
mod runtime;

use cli::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Command::parse() {
        Command::Check(file) => cli::check(&file),
        Command::Explain(explain) => explain.run(),
        Command::Passwd(passwd) => passwd.run(),
        Command::Store(ask) => ask.run(),
        Command::Run(run) => start(&run),
    }
}

fn start(run: &cli::Run) -> ExitCode {
    let config = match run.config() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(error.exit_code());
        }
    };
    if let Err(error) = logging::start(config.log) {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    for notice in config.notices() {
        tracing::warn!("{notice}");
    }
    match runtime::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                tracing::error!("{line}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}
