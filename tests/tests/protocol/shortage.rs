//! A process that lacks something: room or a reader for what it writes, file descriptors for its clients.
//!
//! Its clients have nothing to do with that, so it goes on as well as it can, and what it says of it is worth reading. A unix
//! socket is its listener, since it may be unable to say which port it got.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_tests::{PATIENCE, folder, weir};

/// A broker, killed when it is dropped.
struct Short {
    process: Child,
    socket: PathBuf,
}

impl Short {
    /// Starts one that may open as many files, and writes to these.
    fn start(folder: &Path, open_files: u32, out: impl Into<Stdio>, log: File) -> Self {
        let socket = folder.join("socket");
        let config = folder.join("broker.toml");
        let toml = format!(
            "shards = 1\n[[listener]]\nbind = \"unix:{}\"\n",
            socket.display()
        );
        fs::write(&config, toml).unwrap();
        let script = format!("ulimit -n {open_files} && exec \"$0\" --config \"$1\"");
        let process = Command::new("sh")
            .args(["-c", &script])
            .args([weir(), config])
            .stdout(out)
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, socket }
    }

    /// A connection, as soon as it listens.
    fn connect(&mut self) -> UnixStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(stream) = UnixStream::connect(&self.socket) {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            let ended = self.process.try_wait().unwrap();
            assert_eq!(ended, None, "it ended");
            assert!(Instant::now() < deadline, "it does not listen");
            sleep(Duration::from_millis(10));
        }
    }

    /// Asks whether it is well.
    fn health(&mut self) -> String {
        let mut stream = self.connect();
        let request = b"GET /healthz HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Ends it in order.
    fn end(mut self) -> ExitStatus {
        let pid = self.process.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill \"$0\"", &pid])
            .status();
        assert!(sent.unwrap().success());
        self.process.wait().unwrap()
    }
}

impl Drop for Short {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A full disk below the log took every client's connection: the line that can't be written was a panic.
#[test]
fn what_cannot_be_written_is_lost_and_nothing_else() {
    let full = || File::create("/dev/full").unwrap();
    let mut broker = Short::start(&folder(), 256, full(), full());
    assert!(broker.health().starts_with("HTTP/1.1 200"));
    assert_eq!(broker.end().code(), Some(0));
}

#[test]
fn too_many_open_files_are_told_once_and_pass() {
    let folder = folder();
    let log = folder.join("log");
    let mut broker = Short::start(&folder, 40, Stdio::null(), File::create(&log).unwrap());
    let crowd: Vec<_> = (0..60).map(|_| broker.connect()).collect();
    sleep(Duration::from_millis(500));
    drop(crowd);
    assert!(broker.health().starts_with("HTTP/1.1 200"));
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("can't accept a connection").count(), 1, "{log}");
}
