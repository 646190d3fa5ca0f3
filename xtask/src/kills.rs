//! The real binary killed again and again: what was acknowledged must be there afterwards.
//!
//! The tests are the ordinary ones of `tests/tests/kills`, which kill less often when nobody asks for more. A release build
//! starts sooner, so more of the time is spent under load.

use std::process::Command;

use crate::shell::{self, Failure};

/// Runs the kill tests with so many kills each.
pub(crate) fn run(kills: Option<&str>) -> Result<(), Failure> {
    let kills = kills.unwrap_or("1000");
    let arguments =
        "test --release --package weir-tests --test kills -- --nocapture --test-threads 2";
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(arguments.split_whitespace())
        .env("WEIR_KILLS", kills);
    shell::run(cargo.current_dir(shell::root()))
}
