//! The Autobahn test suite against the transport of the broker: every case OK or informational.
//!
//! It drives `crates/ws/examples/echo.rs`, the broker's own transport code that sends every message back. The short form
//! leaves out group 9, the large and the many messages; `cargo xtask autobahn` runs it as well. tests/autobahn/run.py
//! says which program runs the cases, and what is left out and why.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use weir_tests::Script;

const SHORT_CASES: usize = 247;
const ALL_CASES: usize = 301;

#[test]
fn the_transport_passes_every_case_but_the_large_ones() {
    passes("short", SHORT_CASES);
}

#[test]
#[ignore = "takes half a minute; `cargo xtask autobahn` runs it"]
fn the_transport_passes_every_case() {
    passes("whole", ALL_CASES);
}

/// Runs the cases; a count that is not as expected means that some were silently left out.
fn passes(form: &str, cases: usize) {
    let echo = Echo::start();
    let mut script = Script::python("../autobahn/run.py", &[form, &echo.address]);
    script.wait_for(&format!("cases: {cases}"));
    script.succeed();
}

/// The echo server, killed when it is dropped.
struct Echo {
    process: Child,
    address: String,
}

impl Echo {
    fn start() -> Self {
        let mut process = Command::new(built())
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the echo server starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a line of the echo server");
        let address = line.trim_start_matches("echo on ws://").trim_end();
        let address = address.trim_end_matches('/').to_owned();
        Self { process, address }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the example beside the running test, with the same profile.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a running program");
    let folder = test.ancestors().nth(2).expect("target/PROFILE");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "build",
        "--quiet",
        "--package",
        "weir-ws",
        "--example",
        "echo",
    ]);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let built = command
        .arg("--target-dir")
        .arg(folder.parent().expect("target"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status();
    assert!(
        built.expect("cargo runs").success(),
        "the echo server does not build"
    );
    folder.join("examples/echo")
}
