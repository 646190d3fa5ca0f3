//! The broker as systemd sees it: what it says over a real notify socket, and what systemd's own tools say about its unit.
//!
//! The commands of the unit file are the ones that run here, with the paths of this checkout: a flag that the binary doesn't
//! know can't hide in it. Needs Debian's `systemd` package for `systemd-analyze`; without it these tests fail.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use weir_tests::{PATIENCE, folder, weir};

const WATCHDOG: Duration = Duration::from_millis(1500);

/// The binary under a stand-in for systemd.
struct Service {
    child: Child,
    notify: UnixDatagram,
}

impl Service {
    /// Starts what the unit starts, on `listen`.
    fn start(listen: SocketAddr) -> Self {
        let folder = folder();
        let socket = folder.join("notify");
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(weir())
            .args(unit_arguments(&folder))
            .args(["--listen", &listen.to_string()])
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, notify }
    }

    /// The next thing that systemd is told.
    fn told(&self) -> String {
        let mut datagram = [0; 4096];
        let len = self
            .notify
            .recv(&mut datagram)
            .expect("systemd is told something in time");
        String::from_utf8_lossy(&datagram[..len])
            .trim_end()
            .to_owned()
    }

    /// The address that the broker prints.
    fn address(&mut self) -> SocketAddr {
        let stdout = self.child.stdout.take().unwrap();
        let line = BufReader::new(stdout)
            .lines()
            .next()
            .expect("a line on standard output")
            .unwrap();
        let (_, address) = line.split_once("ws://").expect("an address in it");
        address.split('/').next().unwrap().parse().unwrap()
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the broker does not end");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ready_is_said_first_and_when_the_listener_accepts() {
    let mut service = Service::start("127.0.0.1:0".parse().unwrap());
    assert_eq!(service.told(), "READY=1");
    TcpStream::connect(service.address()).unwrap();
}

#[test]
fn a_broker_that_cannot_listen_is_never_ready() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut service = Service::start(taken.local_addr().unwrap());
    assert_eq!(service.wait().code(), Some(1));
    service.notify.set_nonblocking(true).unwrap();
    let told = service.notify.recv(&mut [0; 4096]);
    assert!(told.is_err(), "{told:?} bytes were told to systemd");
}

#[test]
fn the_watchdog_is_fed_in_time_for_as_long_as_the_broker_runs() {
    let service = Service::start("127.0.0.1:0".parse().unwrap());
    assert_eq!(service.told(), "READY=1");
    for _ in 0..4 {
        let before = Instant::now();
        assert_eq!(service.told(), "WATCHDOG=1");
        assert!(
            before.elapsed() < WATCHDOG,
            "systemd would have killed it after {:?}",
            before.elapsed()
        );
    }
}

#[test]
fn sigterm_is_answered_with_stopping_and_a_clean_exit() {
    let mut service = Service::start("127.0.0.1:0".parse().unwrap());
    assert_eq!(service.told(), "READY=1");
    service.terminate();
    while service.told() != "STOPPING=1" {}
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn the_unit_is_valid_for_systemd() {
    let folder = folder();
    let unit = folder.join("weir.service");
    let here = unit_text().replace("/usr/bin/weir", weir().to_str().unwrap());
    fs::write(&unit, here).unwrap();
    let output = analyze(&[
        "verify",
        "--man=no",
        "--recursive-errors=no",
        unit.to_str().unwrap(),
    ]);
    assert!(
        output.status.success() && said(&output).is_empty(),
        "{}",
        said(&output)
    );
}

#[test]
fn the_unit_is_a_tight_sandbox() {
    let unit = root().join("dist/weir.service");
    // In tenths of systemd's points: 0 is the tightest, 100 no sandbox at all.
    let output = analyze(&[
        "security",
        "--offline=yes",
        "--threshold=15",
        unit.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_unit_runs_as_the_user_that_sysusers_makes() {
    let folder = folder();
    fs::create_dir(folder.join("etc")).unwrap();
    let users = fs::File::open(root().join("dist/weir.sysusers")).unwrap();
    let output = run(Command::new("systemd-sysusers")
        .arg("--root")
        .arg(&folder)
        .arg("-")
        .stdin(users));
    assert!(output.status.success(), "{}", said(&output));
    let passwd = fs::read_to_string(folder.join("etc/passwd")).unwrap();
    assert!(passwd.starts_with("weir:"), "{passwd}");
    assert!(unit_text().contains("\nUser=weir\nGroup=weir\n"));
}

/// What the unit passes to the binary, with this checkout's configuration file and this folder.
fn unit_arguments(folder: &Path) -> Vec<String> {
    let unit = unit_text();
    let command = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/weir "))
        .unwrap();
    let broker_toml = root().join("broker.toml").to_str().unwrap().to_owned();
    command
        .split(' ')
        .map(|word| {
            if word == "/etc/weir/broker.toml" {
                broker_toml.clone()
            } else if word == "/var/lib/weir" {
                folder.to_str().unwrap().into()
            } else {
                word.into()
            }
        })
        .collect()
}

fn unit_text() -> String {
    fs::read_to_string(root().join("dist/weir.service")).unwrap()
}

fn analyze(arguments: &[&str]) -> Output {
    run(Command::new("systemd-analyze").args(arguments))
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; Debian's package systemd has it"))
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
