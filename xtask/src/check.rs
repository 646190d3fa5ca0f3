//! Every check of the project, cheapest first: formatting, lints, documentation, tests.
//!
//! Warnings are errors here and nowhere else, so that work in progress still compiles. The binary is built
//! before the tests that drive it.

use std::process::Command;

use crate::setup::{BARE_TARGET, has_bare_target};
use crate::shell::{self, Failure};

/// Most end-to-end tests wait for a peer, not for a core: more of them at once than there are cores.
const TEST_THREADS: &str = "6";

/// Formatting, lints, documentation and tests of the whole workspace; stops at the first failure.
pub(crate) fn run() -> Result<(), Failure> {
    shell::run(&mut cargo("fmt --all --check"))?;
    shell::run(&mut cargo(
        "clippy --workspace --all-targets -- -D warnings",
    ))?;
    // The rooms of pure logic, where there is no standard library.
    if has_bare_target() {
        shell::run(
            cargo(
                "check --package weir-codec --package weir-router --package weir-engine --target",
            )
            .arg(BARE_TARGET),
        )?;
    } else {
        eprintln!(
            "xtask: not checked without std: `rustup target add {BARE_TARGET}` would allow it"
        );
    }
    shell::run(cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"))?;
    shell::run(&mut cargo("build --package weir-broker --bin weir"))?;
    shell::run(cargo("test --workspace").env("RUST_TEST_THREADS", TEST_THREADS))?;
    // On its own, so that nothing else is built with faults in it.
    shell::run(&mut cargo(
        "test --package weir-sim --features faults --test faults",
    ))
}

fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments.split_whitespace())
        .current_dir(shell::root());
    command
}
