//! A client in another language, run as a script of this package.
//!
//! A script prints one line for each thing that held and ends with status 0, or says what failed and ends
//! with another. What it prints is passed on, so `--nocapture` or a failure shows it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::broker::lines;

/// A whole script: many checks, each with patience of its own.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(240);

/// A running script, killed when it is dropped.
pub struct Script {
    name: String,
    process: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    deadline: Instant,
}

impl Script {
    /// Starts a script of tests/node with Node.
    pub fn node(script: &str, arguments: &[&str]) -> Self {
        let modules = package().join("node/node_modules");
        assert!(
            modules.exists(),
            "Node packages are missing: run `cargo xtask setup`"
        );
        let program = PathBuf::from("node");
        Self::start(&program, &package().join("node").join(script), arguments)
    }

    /// Starts a script of tests/python in the environment that the setup made.
    pub fn python(script: &str, arguments: &[&str]) -> Self {
        let python = package().join(".env/bin/python");
        assert!(
            python.exists(),
            "Python packages are missing: run `cargo xtask setup`"
        );
        Self::start(&python, &package().join("python").join(script), arguments)
    }

    fn start(program: &Path, script: &Path, arguments: &[&str]) -> Self {
        let mut process = Command::new(program)
            .arg(script)
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the script starts: run `cargo xtask setup`");
        Self {
            name: script.display().to_string(),
            stdout: lines(process.stdout.take().expect("stdout is piped")),
            stderr: lines(process.stderr.take().expect("stderr is piped")),
            process,
            deadline: Instant::now() + SCRIPT_PATIENCE,
        }
    }

    /// Waits until the script prints this line.
    pub fn wait_for(&mut self, line: &str) {
        while let Some(printed) = self.next_line() {
            if printed == line {
                return;
            }
        }
        self.fail(&format!("ended without printing {line:?}"));
    }

    /// Waits for the script's end, which has to be a good one; gives how many checks it made.
    pub fn succeed(mut self) -> usize {
        let mut checks = 0;
        while let Some(printed) = self.next_line() {
            checks += usize::from(printed.starts_with("ok "));
        }
        let status = self.process.wait().expect("a child");
        if !status.success() {
            self.fail(&status.to_string());
        }
        checks
    }

    /// The next line it prints, `None` after the last.
    fn next_line(&mut self) -> Option<String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.stdout.recv_timeout(left) {
            Ok(line) => {
                println!("{line}");
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => self.fail("takes too long"),
        }
    }

    fn fail(&self, why: &str) -> ! {
        let quiet = Duration::from_secs(1);
        let said: Vec<_> = std::iter::from_fn(|| self.stderr.recv_timeout(quiet).ok()).collect();
        panic!("{} {why}\n{}", self.name, said.join("\n"));
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
