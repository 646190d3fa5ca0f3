//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! `setup` makes a machine able to run every test; `test` does that and then runs every check the
//! project has, in the order in which they are cheapest to fail. A person, the README and `.ci/run`
//! all use the same command, so that nobody's green differs from anybody else's. Only the standard
//! library is used: this has to build on a machine that has nothing but Rust.

mod autobahn;
mod bench;
mod check;
mod coverage;
mod durability;
mod fuzz;
mod hostile;
mod kills;
mod setup;
mod shell;
mod suites;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  setup   install what the tests need: Debian packages, Node packages, Python packages
  test    setup, then formatting, lints, documentation and all tests

Longer runs, each on its own:

  autobahn       every case of the Autobahn test suite that concerns us
  bench [--quick] [--rounds 5] [--scenarios A,B] [--table-only]
                 Weir, the floor under it, mosquitto, rumqttd, nats-server and Aedes; writes the table
  browser [ROUNDS] [SECONDS]
                 what a message from Weir and from mosquitto costs a page in Chromium
  coverage [SEEDS]
                 the lines of the engine that the simulation does not reach (3000 seeds)
  durability [--rounds 3] [--seconds 3]
                 what it costs Weir and mosquitto that messages last; writes the table
  recovery [--sessions 100000] [--messages 1000000]
                 Weir killed and started again with very much to keep: time, memory and space
  hostile        the tests of hostile behaviour that take long or many connections
  kills [N]      the broker killed N times (1000) under load, in each way
  fuzz SECONDS   each fuzz target for so long, with stable Rust
  suites [--paho DIR]
                 the test-suites of mosquitto and, from a checkout of its repository, paho.mqtt.testing";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let done = match command.as_deref() {
        Some("setup") => setup::run().and_then(|()| autobahn::setup()),
        Some("test") => setup::run()
            .and_then(|()| autobahn::setup())
            .and_then(|()| check::run()),
        Some("autobahn") => autobahn::setup().and_then(|()| autobahn::run()),
        Some("bench") => bench::run(std::env::args().skip(2)),
        Some("browser") => bench::browser(std::env::args().skip(2)),
        Some("coverage") => coverage::run(std::env::args().nth(2).as_deref()),
        Some("durability") => durability::run(std::env::args().skip(2)),
        Some("recovery") => durability::recovery(std::env::args().skip(2)),
        Some("fuzz") => fuzz::run(std::env::args().nth(2).as_deref()),
        Some("hostile") => hostile::run(),
        Some("kills") => kills::run(std::env::args().nth(2).as_deref()),
        Some("suites") => suites::run(std::env::args().skip(2)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
