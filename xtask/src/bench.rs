//! The comparison with other brokers: what it needs, and running it.
//!
//! The peers come from where everybody gets them: mosquitto from Debian, rumqttd through cargo, nats-server through pip, Aedes
//! from npm. All of it lies below target/bench; the table goes into the README and the book.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup;
use crate::shell::{self, Failure};

/// Builds Weir as it would be released, gets the peers, measures, writes the table. The arguments go to
/// `weir-bench compare`; `--quick` is one short round, for a look.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let (root, scratch) = (shell::root(), shell::root().join("target/bench"));
    let peers = scratch.join("peers");
    install_peers(root, &peers)?;
    let built = build()?;
    cargo("build --release --package weir-router --example million")?;
    let mut compare = Command::new(built.join("weir-bench"));
    compare.arg("compare").arg("--weir").arg(built.join("weir"));
    compare.args(["--mosquitto", mosquitto()]);
    compare.arg("--rumqttd").arg(peers.join("bin/rumqttd"));
    compare
        .arg("--nats")
        .arg(peers.join("nats/bin/nats-server"));
    compare.arg("--aedes").arg(root.join("bench/peers/aedes"));
    compare
        .arg("--matching")
        .arg(built.join("examples/million"));
    compare.arg("--scratch").arg(&scratch);
    for argument in arguments {
        match argument.as_str() {
            "--quick" => compare.args(["--rounds", "1"]),
            other => compare.arg(other),
        };
    }
    for document in ["README.md", "docs/src/benchmarks.md"] {
        compare.arg("--write").arg(root.join(document));
    }
    shell::run(&mut compare)
}

/// What a message costs a page that gets it from Weir, and from mosquitto. The arguments go to bench/browser/cost.mjs.
pub(crate) fn browser(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    setup::run()?;
    setup::debian_packages(&[("mosquitto", has_mosquitto())])?;
    let built = build()?;
    let mut cost = Command::new("node");
    cost.arg(shell::root().join("bench/browser/cost.mjs"));
    cost.arg(built.join("weir")).arg(mosquitto());
    shell::run(cost.args(arguments))
}

fn install_peers(root: &Path, peers: &Path) -> Result<(), Failure> {
    setup::debian_packages(&[("mosquitto", has_mosquitto())])?;
    setup::node_packages(&root.join("bench/peers/aedes"))?;
    setup::python_packages(&root.join("bench/peers/nats.txt"), &peers.join("nats"))?;
    if peers.join("bin/rumqttd").exists() {
        return Ok(());
    }
    // Not --locked: what it was released with does not compile any more.
    let mut install = cargo_command("install --quiet rumqttd --version 0.20.0 --root");
    shell::run(install.arg(peers))
}

/// Builds Weir and the generator; returns the folder they are in.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    cargo(
        "build --release --package weir-broker --package weir-bench --bin weir --bin weir-bench",
    )?;
    Ok(setup::built().join("release"))
}

pub(crate) fn mosquitto() -> &'static str {
    "/usr/sbin/mosquitto"
}

pub(crate) fn has_mosquitto() -> bool {
    Path::new(mosquitto()).exists()
}

fn cargo(arguments: &str) -> Result<(), Failure> {
    shell::run(&mut cargo_command(arguments))
}

fn cargo_command(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments.split_whitespace())
        .current_dir(shell::root());
    command
}
