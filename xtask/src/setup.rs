//! Installs what the tests need, and nothing twice.
//!
//! Four sources: Debian's packages (a browser, Node, Python's venv, systemd's verifier, nginx, HAProxy,
//! OpenSSL), the Node
//! packages pinned in tests/node, the Python packages pinned in tests/python, and rustup for a target of Rust's. A Debian package is asked
//! for only when the program it brings is absent. The pinned sets leave a stamp holding the very list
//! they were installed from, beside what they installed: change the list or delete the folder, and the
//! next run installs again; otherwise a run costs a few file reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Failure, ask};

/// playwright-core's own requirement, the highest among the Node packages.
const NODE_MAJOR: u32 = 20;

/// A machine without an operating system: nothing that needs the standard library compiles for it.
pub(crate) const BARE_TARGET: &str = "thumbv7em-none-eabi";

/// Makes this machine able to run every test.
pub(crate) fn run() -> Result<(), Failure> {
    debian_packages(&wanted_packages())?;
    node_packages(&shell::root().join("tests/node"))?;
    let tests = shell::root().join("tests");
    python_packages(&tests.join("python/requirements.txt"), &tests.join(".env"))
}

/// Where cargo puts what it builds.
pub(crate) fn built() -> PathBuf {
    let elsewhere = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    elsewhere.unwrap_or_else(|| shell::root().join("target"))
}

/// Installs those of the packages whose programs are absent.
pub(crate) fn debian_packages(wanted: &[(&str, bool)]) -> Result<(), Failure> {
    let absent = wanted.iter().filter(|(_, present)| !present);
    let missing: Vec<&str> = absent.map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !on_path("apt-get") {
        let list = missing.join(", ");
        return Err(Failure::Missing(format!(
            "the tests need these, and this machine has no apt-get to install them: {list}"
        )));
    }
    shell::run(&mut apt_get(&["update", "--quiet"]))?;
    let mut install = apt_get(&["install", "--yes", "--quiet", "--no-install-recommends"]);
    shell::run(install.args(&missing))
}

/// The Debian packages of the tests, and whether this machine has their programs.
fn wanted_packages() -> [(&'static str, bool); 9] {
    [
        ("chromium", on_path("chromium")),
        ("nodejs", on_path("node")),
        ("npm", on_path("npm")),
        ("python3-venv", python().is_some()),
        ("systemd", on_path("systemd-analyze")),
        ("valgrind", on_path("valgrind")),
        (
            "nginx",
            on_path("nginx") || Path::new("/usr/sbin/nginx").exists(),
        ),
        (
            "haproxy",
            on_path("haproxy") || Path::new("/usr/sbin/haproxy").exists(),
        ),
        ("openssl", on_path("openssl")),
    ]
}

/// Whether Rust's libraries for [`BARE_TARGET`] are here. They come from no package registry, so they are not installed.
pub(crate) fn has_bare_target() -> bool {
    let here = ["--print", "target-libdir", "--target", BARE_TARGET];
    let folder = ask(Command::new("rustc").args(here).current_dir(shell::root()));
    folder.is_some_and(|folder| Path::new(&folder).exists())
}

fn apt_get(arguments: &[&str]) -> Command {
    let root = ask(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    let mut command = Command::new(if root { "env" } else { "sudo" });
    command.arg("DEBIAN_FRONTEND=noninteractive").arg("apt-get");
    command.args(arguments);
    command
}

/// Installs what a folder's package-lock.json names.
pub(crate) fn node_packages(folder: &Path) -> Result<(), Failure> {
    let version = ask(Command::new("node").arg("--version")).unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next();
    if major.and_then(|number| number.parse().ok()) < Some(NODE_MAJOR) {
        return Err(Failure::Missing(format!(
            "the tests need Node {NODE_MAJOR} or later; this machine has {version:?}"
        )));
    }
    let stamp = Stamp::new(
        &folder.join("node_modules"),
        &folder.join("package-lock.json"),
    )?;
    if stamp.holds() {
        return Ok(());
    }
    shell::run(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder),
    )?;
    stamp.leave()
}

/// Makes a Python environment that holds the pinned packages.
pub(crate) fn python_packages(requirements: &Path, environment: &Path) -> Result<(), Failure> {
    let stamp = Stamp::new(environment, requirements)?;
    if stamp.holds() {
        return Ok(());
    }
    let python = python().ok_or_else(|| Failure::Missing("no Python with venv found".into()))?;
    shell::run(
        Command::new(python)
            .args(["-m", "venv", "--clear"])
            .arg(environment),
    )?;
    shell::run(
        Command::new(environment.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(requirements),
    )?;
    stamp.leave()
}

/// The first Python that can make virtual environments.
fn python() -> Option<&'static str> {
    let mut candidates = ["python3", "/usr/bin/python3"].into_iter();
    candidates
        .find(|python| ask(Command::new(python).args(["-c", "import ensurepip, venv"])).is_some())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A file beside what was installed that holds the list it was installed from.
struct Stamp {
    file: PathBuf,
    list: String,
}

impl Stamp {
    fn new(folder: &Path, list: &Path) -> Result<Self, Failure> {
        let file = folder.join(".weir-stamp");
        let read = fs::read_to_string(list);
        let list = read.map_err(|error| Failure::File(list.to_owned(), error))?;
        Ok(Self { file, list })
    }

    fn holds(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|found| found == self.list)
    }

    fn leave(&self) -> Result<(), Failure> {
        fs::write(&self.file, &self.list).map_err(|error| Failure::File(self.file.clone(), error))
    }
}
