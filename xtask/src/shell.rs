//! Running other programs: every command is printed before it runs, and a failure names it.
//!
//! Nothing here goes through a shell, so no argument is ever quoted, split or expanded.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

/// Why a step could not be done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The program could not be started.
    Start(String, io::Error),
    /// The program ran and reported failure.
    Exit(String, ExitStatus),
    /// A file of the project could not be read or written.
    File(PathBuf, io::Error),
    /// The machine lacks something that no package here provides.
    Missing(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Start(line, error) => write!(f, "cannot start `{line}`: {error}"),
            Failure::Exit(line, status) => write!(f, "`{line}` failed ({status})"),
            Failure::File(path, error) => write!(f, "{}: {error}", path.display()),
            Failure::Missing(what) => f.write_str(what),
        }
    }
}

/// Runs the command in the foreground, after printing it.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = line_of(command);
    println!("xtask: {line}");
    let started = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::Start(line.clone(), error))?;
    if !status.success() {
        return Err(Failure::Exit(line, status));
    }
    println!("xtask: done in {:.1} s", started.elapsed().as_secs_f32());
    Ok(())
}

/// What the command prints on its standard output, trimmed; `None` if it is absent or fails.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The folder that holds the workspace manifest.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut line = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
