//! What can go wrong, and what was found to be lost.
//!
//! [`StoreError::Full`] is the only error after which a log goes on. After any other the process must end: what it
//! believes to be on disk and what is there may differ.

use crate::Position;
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// Why a log or a store could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No room is left: nothing was appended, what was appended before stands.
    Full,
    /// The position was trimmed away; what is left begins at this one.
    Trimmed(Position),
    /// Another process has the directory open; its id, if it could be read.
    Locked(PathBuf, Option<u32>),
    /// The log was opened only to look at it.
    ReadOnly,
    /// There is a log in this directory already.
    Occupied(PathBuf),
    /// There is no log in this directory.
    Missing(PathBuf),
    /// This file was written in a format that this version does not know.
    FileVersion(PathBuf, u32),
    /// The batch before this position was written in a format that this version does not know.
    BatchVersion(Position, u8),
    /// The batch before this position is as it was written, but makes no sense.
    Malformed(Position),
    /// The batch at this position of this file is no longer as it was written.
    Corrupt(PathBuf, Position),
    /// A batch of this many bytes is more than the format can hold.
    TooLarge(usize),
    /// The operating system refused.
    Io(IoFault),
    /// A sync failed: what was written since the last one may be lost.
    Sync(IoFault),
}

/// A call to the operating system that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoFault {
    /// What was tried.
    pub doing: Doing,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub kind: io::ErrorKind,
    /// Its number for that.
    pub code: Option<i32>,
}

/// What was tried when the operating system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Creating a file or directory.
    Create,
    /// Opening a file.
    Open,
    /// Listing a directory.
    List,
    /// Locking the directory.
    Lock,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Cutting off the end of a file.
    Cut,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Syncing.
    Sync,
}

/// What was found damaged when a log was opened. The intact batches around it are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The end of the log was being written when the process ended; nobody was told that it lasts. It was cut off.
    Torn {
        /// The file.
        path: PathBuf,
        /// The position it was cut at.
        position: Position,
        /// How much was cut off.
        bytes: u64,
    },
    /// Batches that were durable are no longer as they were written.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The first position lost.
        from: Position,
        /// The position behind the last one lost.
        to: Position,
        /// How many bytes of the file are skipped.
        bytes: u64,
    },
}

impl StoreError {
    /// Whether the process must end: true for all but [`Self::Full`] and [`Self::Trimmed`].
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Full | Self::Trimmed(_))
    }

    pub(crate) fn io(doing: Doing, path: &Path, error: &io::Error) -> Self {
        let fault = IoFault {
            doing,
            path: path.into(),
            kind: error.kind(),
            code: error.raw_os_error(),
        };
        match doing {
            Doing::Sync => Self::Sync(fault),
            _ => Self::Io(fault),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the disk is full"),
            Self::Trimmed(first) => write!(f, "trimmed away: the log begins at {}", first.0),
            Self::Locked(path, Some(owner)) => {
                write!(f, "{} is in use by process {owner}", path.display())
            }
            Self::Locked(path, None) => write!(f, "{} is in use by a process", path.display()),
            Self::Occupied(path) => write!(f, "there is a store in {} already", path.display()),
            Self::Missing(path) => write!(f, "there is no store in {}", path.display()),
            Self::ReadOnly => f.write_str("the log was opened only to look at it"),
            Self::FileVersion(path, version) => write!(
                f,
                "{} has format {version}, which this version of Weir does not know",
                path.display()
            ),
            Self::BatchVersion(position, version) => write!(
                f,
                "the batch before {} has format {version}, which this version of Weir does not know",
                position.0
            ),
            Self::Malformed(position) => {
                write!(f, "the batch before {} makes no sense", position.0)
            }
            Self::Corrupt(path, position) => write!(
                f,
                "{}: the batch at {} is damaged",
                path.display(),
                position.0
            ),
            Self::TooLarge(bytes) => write!(f, "a batch of {bytes} bytes is too large"),
            Self::Io(fault) | Self::Sync(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl fmt::Display for IoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.doing {
            Doing::Create => "create",
            Doing::Open => "open",
            Doing::List => "list",
            Doing::Lock => "lock",
            Doing::Read => "read",
            Doing::Write => "write",
            Doing::Cut => "cut",
            Doing::Rename => "rename",
            Doing::Remove => "remove",
            Doing::Sync => "sync",
        };
        write!(f, "cannot {doing} {}: ", self.path.display())?;
        match self.code {
            Some(code) => io::Error::from_raw_os_error(code).fmt(f),
            None => self.kind.fmt(f),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn {
                path,
                position,
                bytes,
            } => write!(
                f,
                "{}: an unfinished write of {bytes} bytes was cut off at {}; nothing of it was acknowledged",
                path.display(),
                position.0
            ),
            Self::Corrupt {
                path,
                from,
                to,
                bytes,
            } => write!(
                f,
                "{}: {} batches from {} on ({bytes} bytes) are damaged and LOST",
                path.display(),
                to.0 - from.0,
                from.0
            ),
        }
    }
}
