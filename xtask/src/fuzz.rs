//! Fuzzing with cargo-fuzz, on stable Rust.
//!
//! The targets are safe Rust and panic where something does not hold, so no sanitizer is needed, and without one
//! neither is a nightly compiler. What is found worth keeping goes into fuzz/corpus by hand, with a name that says what
//! it is; what cargo-fuzz itself collects lies below target/.

use std::env;
use std::fs;
use std::process::Command;

use crate::shell::{self, Failure, ask};

const TARGETS: [&str; 5] = ["decoder", "frames", "handshake", "topics", "operations"];

/// Runs every target for so many seconds.
pub(crate) fn run(seconds: Option<&str>) -> Result<(), Failure> {
    let seconds = seconds.unwrap_or("60");
    if ask(cargo().args(["fuzz", "--version"])).is_none() {
        let tools = shell::root().join("target/tools");
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", "cargo-fuzz", "--root"]);
        shell::run(install.arg(tools))?;
    }
    for target in TARGETS {
        let found = shell::root().join("target/fuzz-corpus").join(target);
        fs::create_dir_all(&found).map_err(|error| Failure::File(found.clone(), error))?;
        let mut fuzz = cargo();
        fuzz.args(["fuzz", "run", "--sanitizer", "none", target]);
        fuzz.arg(&found).arg(format!("fuzz/corpus/{target}"));
        fuzz.args(["--", "-max_len=2000", "-rss_limit_mb=1024", "-timeout=10"]);
        shell::run(fuzz.arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}

/// Cargo, which finds a cargo-fuzz of our own below target/ behind one that is installed.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(shell::root().join("target/tools/bin"));
    command.env("PATH", path).current_dir(shell::root());
    command
}
