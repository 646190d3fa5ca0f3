//! The tests of hostile behaviour that take too long, or too many open files, for every run.

use std::process::Command;

use crate::shell::{self, Failure};

/// Runs all of them, the short ones as well.
pub(crate) fn run() -> Result<(), Failure> {
    let arguments = "test --package weir-tests --test hostile -- --include-ignored --nocapture --test-threads 2";
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments.split_whitespace());
    shell::run(cargo.current_dir(shell::root()))
}
