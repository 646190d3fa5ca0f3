//! `weir passwd FILE USER`: sets, replaces or deletes passwords in a password file.
//!
//! A password is never an argument: arguments can be read by everybody on the machine. It is asked for on the terminal, or
//! read from standard input, where a line is a password, or with `--batch` a `user:password` each.

use std::fmt;
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use super::say::say;
use clap::Args;
use weir_auth::{AuthError, PasswordFile};

/// What to do with which password file.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passwd {
    /// The password file; it is made if there is none
    file: PathBuf,

    /// Whose password
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    user: Option<String>,

    /// Delete the user
    #[arg(long, conflicts_with_all = ["batch", "scram"])]
    delete: bool,

    /// Read user:password lines from standard input
    #[arg(long)]
    batch: bool,

    /// Store the keys of SCRAM-SHA-256 instead of an Argon2id hash: the password can then be proven without being sent
    #[arg(long)]
    scram: bool,
}

/// Why no password was set.
#[derive(Debug)]
enum PasswdError {
    File(AuthError),
    Input(io::Error),
    Empty,
    Differ,
    NoUser(String),
    NoColon(usize),
}

impl Passwd {
    /// Does it, and says what was done or what is wrong.
    pub(crate) fn run(&self) -> ExitCode {
        match self.change() {
            Ok(done) => {
                say(format_args!("{}: {done}", self.file.display()));
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn change(&self) -> Result<String, PasswdError> {
        let mut file = PasswordFile::open(&self.file)?;
        let done = match self.user.as_deref() {
            None => self.set_all(&mut file)?,
            Some(user) if self.delete && !file.delete(user) => {
                return Err(PasswdError::NoUser(user.into()));
            }
            Some(user) if self.delete => format!("{user:?} deleted"),
            Some(user) => {
                let is_new = file.set(user, ask()?.as_bytes(), self.scram)?;
                let done = if is_new { "added" } else { "replaced" };
                format!("{user:?} {done}")
            }
        };
        file.save()?;
        Ok(done)
    }

    fn set_all(&self, file: &mut PasswordFile) -> Result<String, PasswdError> {
        let mut users = 0;
        for (index, line) in io::stdin().lock().lines().enumerate() {
            let line = line?;
            if line.is_empty() {
                continue;
            }
            let pair = line
                .split_once(':')
                .filter(|(_, password)| !password.is_empty());
            let (user, password) = pair.ok_or(PasswdError::NoColon(index + 1))?;
            file.set(user, password.as_bytes(), self.scram)?;
            users += 1;
        }
        Ok(format!("{users} passwords set"))
    }
}

/// The new password: typed twice without being shown, or the first line of what is not a terminal.
fn ask() -> Result<String, PasswdError> {
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ")?;
        if rpassword::prompt_password("Once more: ")? != password {
            return Err(PasswdError::Differ);
        }
        password
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\n', '\r']).to_owned()
    };
    if password.is_empty() {
        return Err(PasswdError::Empty);
    }
    Ok(password)
}

impl fmt::Display for PasswdError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(out),
            Self::Input(error) => write!(out, "no password: {error}"),
            Self::Empty => out.write_str("no password: the line is empty"),
            Self::Differ => out.write_str("the two passwords differ; nothing was changed"),
            Self::NoUser(user) => write!(out, "no user {user:?} in the file"),
            Self::NoColon(line) => write!(
                out,
                "standard input, line {line}: not user:password; nothing was changed"
            ),
        }
    }
}

impl From<AuthError> for PasswdError {
    fn from(error: AuthError) -> Self {
        Self::File(error)
    }
}

impl From<io::Error> for PasswdError {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}
