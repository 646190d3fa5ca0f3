//! The figures of durability: Weir and mosquitto side by side, and a broker with very much to keep.
//!
//! All of it lies below target/durability; the table goes into the book.

use std::process::Command;

use crate::setup;
use crate::shell::{self, Failure};

/// Builds Weir as it would be released, measures, writes the table. The arguments go to `weir-bench compare`.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let built = crate::bench::build()?;
    setup::debian_packages(&[("mosquitto", crate::bench::has_mosquitto())])?;
    let mut compare = Command::new(built.join("weir-bench"));
    compare.arg("compare");
    let arguments: Vec<String> = arguments.collect();
    for (option, value) in [("--rounds", "3"), ("--seconds", "3")] {
        if !arguments.iter().any(|argument| argument == option) {
            compare.args([option, value]);
        }
    }
    compare.args([
        "--scenarios",
        "durable-offline,durable-filled,durable-online,durable-lockstep,durable-single",
    ]);
    compare.arg("--weir").arg(built.join("weir"));
    compare.args(["--mosquitto", crate::bench::mosquitto()]);
    compare.arg("--scratch").arg(scratch()).args(arguments);
    let page = shell::root().join("docs/src/durability-figures.md");
    shell::run(compare.arg("--write").arg(page))
}

/// Queues a million messages, ends Weir and mosquitto and starts them again; prints what that takes. The arguments go to
/// `weir-bench recovery`.
pub(crate) fn recovery(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let built = crate::bench::build()?;
    setup::debian_packages(&[("mosquitto", crate::bench::has_mosquitto())])?;
    let mut recovery = Command::new(built.join("weir-bench"));
    recovery
        .arg("recovery")
        .arg("--weir")
        .arg(built.join("weir"))
        .args(["--mosquitto", crate::bench::mosquitto()]);
    shell::run(recovery.arg("--scratch").arg(scratch()).args(arguments))
}

fn scratch() -> std::path::PathBuf {
    shell::root().join("target/durability")
}
