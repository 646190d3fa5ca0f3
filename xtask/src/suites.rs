//! The test-suites of others: what they need, and running them against Weir and mosquitto.
//!
//! They are not part of `test`: one of them comes with a source package of Debian, the other is in no registry at all,
//! and nothing of either is kept here. tests/suites/run.py says what is missing. All it makes lies below target/suites.

use std::process::Command;

use crate::setup;
use crate::shell::{self, Failure};

/// Runs them with the binary that would be released; the arguments go to tests/suites/run.py.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let (tests, scratch) = (
        shell::root().join("tests/suites"),
        shell::root().join("target/suites"),
    );
    let environment = scratch.join("env");
    setup::python_packages(&tests.join("requirements.txt"), &environment)?;
    let build = "build --release --package weir-broker --bin weir";
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(build.split_whitespace());
    shell::run(cargo.current_dir(shell::root()))?;
    let mut python = Command::new(environment.join("bin/python"));
    python.arg("-B").arg(tests.join("run.py"));
    python
        .arg("--weir")
        .arg(setup::built().join("release/weir"));
    shell::run(python.arg("--scratch").arg(scratch).args(arguments))
}
