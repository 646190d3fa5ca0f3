//! The real binary as a child process.
//!
//! It is built once per test program, by the profile that the tests were built with, so it is never
//! older than its sources. Port 0 and a configuration file of its own keep brokers apart; what it prints is
//! read all the time, so a full pipe never stops it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use crate::transport::default_listener;
use crate::{PATIENCE, Transport, folder};

const READY: &str = "listening on ";

/// Where a listener accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// A running broker, killed when it is dropped.
pub struct Broker {
    process: Child,
    listeners: Vec<(Transport, Endpoint)>,
    log: Arc<Mutex<String>>,
}

impl Broker {
    /// Starts the broker with its defaults on a free port.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts the broker with this configuration; without a `[[listener]]` in it, on a free port.
    pub fn start_with(toml: &str) -> Self {
        Self::start_in(toml, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_in(toml: &str, environment: &[(&str, &OsStr)]) -> Self {
        let config = config_file(toml);
        let mut process = Command::new(weir())
            .args(["run", "--config"])
            .arg(&config)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let log = follow(process.stderr.take().expect("stderr is piped"));
        let stdout = lines(process.stdout.take().expect("stdout is piped"));
        let mut broker = Self {
            process,
            listeners: Vec::new(),
            log,
        };
        broker.await_listeners(toml.matches("[[listener]]").count().max(1), &stdout);
        broker
    }

    /// Where the first listener accepts connections.
    ///
    /// # Panics
    /// When that is a unix socket.
    pub fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// Where each listener with an address accepts connections, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners.iter();
        listeners
            .filter_map(|(_, endpoint)| match endpoint {
                Endpoint::Tcp(address) => Some(*address),
                Endpoint::Unix(_) => None,
            })
            .collect()
    }

    /// What the first listener speaks, and where.
    pub fn listener(&self) -> &(Transport, Endpoint) {
        &self.listeners[0]
    }

    /// What each listener speaks, and where, in the order of the configuration.
    pub fn listeners(&self) -> &[(Transport, Endpoint)] {
        &self.listeners
    }

    /// The WebSocket address of the first listener, with the usual path.
    pub fn url(&self) -> String {
        format!("ws://{}/mqtt", self.address())
    }

    /// What the broker has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("a whole log").clone()
    }

    /// Waits for words in the log: a line may come a moment after what it tells of.
    pub fn logs(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "never logged: {words}");
            thread::sleep(PATIENCE / 1000);
        }
    }

    /// The memory that the broker's process holds.
    pub fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        kib.expect("a resident size") * 1024
    }

    /// Asks the broker to stop, as a service manager does. [`Broker::exit`] waits for it.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Asks the broker to read its files again, with SIGHUP.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let script = ["-c", "kill -\"$1\" \"$0\"", &pid, name];
        let sent = Command::new("sh").args(script).status();
        assert!(sent.expect("sh runs").success(), "SIG{name} to {pid}");
    }

    /// Waits for the broker's end.
    pub fn exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the broker still runs");
            thread::sleep(PATIENCE / 1000);
        }
    }

    fn await_listeners(&mut self, count: usize, stdout: &Receiver<String>) {
        while self.listeners.len() < count {
            let Ok(line) = stdout.recv_timeout(PATIENCE) else {
                panic!("the broker never said where it listens");
            };
            if let Some(listener) = line.strip_prefix(READY) {
                self.listeners.push(listener_of(listener));
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            println!(
                "--- the broker's log ---\n{}------------------------",
                self.log()
            );
        }
    }
}

/// The path of the binary, built from the sources as they are.
///
/// # Panics
/// When it does not build.
pub fn weir() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

/// Builds into the very directory that the running test lies in: `target/PROFILE/deps/test-hash`.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a running program");
    let folder = test.ancestors().nth(2).expect("target/PROFILE");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--package",
            "weir-broker",
            "--bin",
            "weir",
        ])
        .args(["--profile", profile, "--target-dir"])
        .arg(folder.parent().expect("target"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status();
    assert!(
        built.expect("cargo runs").success(),
        "the broker does not build"
    );
    folder.join("weir")
}

/// `ws://127.0.0.1:8083` or `mqtt://unix:/path`.
fn listener_of(url: &str) -> (Transport, Endpoint) {
    let (scheme, place) = url.split_once("://").expect("a scheme");
    let endpoint = match place.strip_prefix("unix:") {
        Some(path) => Endpoint::Unix(path.into()),
        None => Endpoint::Tcp(place.parse().expect("an address")),
    };
    (Transport::of(scheme), endpoint)
}

fn config_file(toml: &str) -> PathBuf {
    let path = folder().join("broker.toml");
    let listener = if toml.contains("[[listener]]") {
        String::new()
    } else {
        default_listener()
    };
    fs::write(&path, format!("{toml}\n{listener}")).expect("a temporary file");
    path
}

/// Collects what a pipe brings, from a thread of its own.
fn follow(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = shared.lock().expect("a whole log");
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}

/// The lines that a pipe brings, read to its end whether or not anybody still wants them.
pub(crate) fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}
