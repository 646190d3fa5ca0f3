//! Which lines of the engine the simulation reaches, by itself.
//!
//! The simulation is built with Rust's own instrumentation and run on as many seeds as are asked for. LLVM's tools read what
//! it has counted; they have to be of the LLVM that rustc was built with, and Debian has them in packages named by version.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Failure, ask};

/// Less of the engine's lines must not be left unreached, in percent.
const WANTED_PERCENT: f64 = 95.0;

const SEEDS: &str = "3000";

/// One file's lines.
#[derive(Default)]
struct Lines {
    path: String,
    reached: usize,
    unreached: Vec<String>,
}

/// Runs so many seeds and prints which lines were not reached.
pub(crate) fn run(seeds: Option<&str>) -> Result<(), Failure> {
    let (profdata, cov) = (tool("llvm-profdata")?, tool("llvm-cov")?);
    let below = shell::root().join("target/coverage");
    let (raw, merged) = (below.join("sim.profraw"), below.join("sim.profdata"));
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--release", "--package", "weir-sim"]);
    build.env("RUSTFLAGS", "-C instrument-coverage");
    build.env("CARGO_PROFILE_RELEASE_LTO", "off");
    build.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    build.env("CARGO_TARGET_DIR", &below);
    shell::run(build.current_dir(shell::root()))?;
    let program = below.join("release/weir-sim");
    let mut sim = Command::new(&program);
    sim.args(["--seeds", &format!("0..{}", seeds.unwrap_or(SEEDS))]);
    shell::run(sim.env("LLVM_PROFILE_FILE", &raw))?;
    let mut merge = Command::new(profdata);
    merge.args(["merge", "-sparse", "-o"]);
    shell::run(merge.arg(&merged).arg(&raw))?;
    let mut export = Command::new(cov);
    export.args(["export", "-format=lcov", "-instr-profile"]);
    export.arg(&merged).arg(&program);
    let report = ask(export.arg(shell::root().join("crates/engine/src")));
    let report = report.ok_or_else(|| Failure::Missing("llvm-cov reports nothing".into()))?;
    print(&files(&report))
}

/// What LLVM calls a tool here: rustc's own, or Debian's of the same version.
fn tool(name: &str) -> Result<PathBuf, Failure> {
    let says = |args: &[&str]| ask(Command::new("rustc").args(args)).unwrap_or_default();
    let version = says(&["--version", "--verbose"]);
    let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name));
    let (host, llvm) = (field("host: "), field("LLVM version: "));
    let major = llvm.and_then(|llvm| llvm.split('.').next()).unwrap_or("");
    let sysroot = says(&["--print", "sysroot"]);
    let own = Path::new(&sysroot).join("lib/rustlib");
    let places = [
        own.join(host.unwrap_or_default()).join("bin").join(name),
        PathBuf::from(format!("/usr/lib/llvm-{major}/bin/{name}")),
    ];
    let found = places.into_iter().find(|place| place.exists());
    found.ok_or_else(|| {
        Failure::Missing(format!(
            "{name} of LLVM {major} is missing: it is in Debian's package llvm-{major}"
        ))
    })
}

/// The files of an lcov report, the largest gaps first.
fn files(report: &str) -> Vec<Lines> {
    let mut files = Vec::new();
    let mut file = Lines::default();
    for line in report.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            file.path = path.rsplit("engine/src/").next().unwrap_or(path).into();
        } else if let Some((number, count)) =
            line.strip_prefix("DA:").and_then(|it| it.split_once(','))
        {
            match count {
                "0" => file.unreached.push(number.into()),
                _ => file.reached += 1,
            }
        } else if line == "end_of_record" {
            files.push(std::mem::take(&mut file));
        }
    }
    files.sort_by_key(|file| std::cmp::Reverse(file.unreached.len()));
    files
}

fn print(files: &[Lines]) -> Result<(), Failure> {
    for file in files.iter().filter(|file| !file.unreached.is_empty()) {
        println!(
            "{:>4} of {:>4} not reached in {}: {}",
            file.unreached.len(),
            file.reached + file.unreached.len(),
            file.path,
            file.unreached.join(" ")
        );
    }
    let reached: usize = files.iter().map(|file| file.reached).sum();
    let unreached: usize = files.iter().map(|file| file.unreached.len()).sum();
    let percent = 100.0 * reached as f64 / (reached + unreached).max(1) as f64;
    let all = reached + unreached;
    println!("{percent:.1}% of the engine's {all} lines are reached by the simulation alone");
    match percent >= WANTED_PERCENT {
        true => Ok(()),
        false => Err(Failure::Missing(format!(
            "{WANTED_PERCENT}% of the engine's lines have to be reached"
        ))),
    }
}
