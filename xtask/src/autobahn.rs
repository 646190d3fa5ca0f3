//! The Autobahn test suite: making its environment, and running it whole.
//!
//! The suite is Python 2 code. Where a machine has no Python 2.7, another runner of the same cases takes its
//! place, which comes with the Python packages of the tests; tests/autobahn/run.py decides and says which.

use std::process::Command;

use crate::shell::{self, Failure};

/// Installs the suite, where this machine can run it.
pub(crate) fn setup() -> Result<(), Failure> {
    let tests = shell::root().join("tests");
    let mut python = Command::new(tests.join(".env/bin/python"));
    shell::run(python.arg(tests.join("autobahn/run.py")).arg("setup"))
}

/// Every case.
pub(crate) fn run() -> Result<(), Failure> {
    let arguments = "test --package weir-tests --test autobahn -- --include-ignored --nocapture --test-threads 1";
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments.split_whitespace());
    shell::run(cargo.current_dir(shell::root()))
}
