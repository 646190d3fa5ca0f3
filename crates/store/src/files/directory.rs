//! The directory: its lock, its file names, and the calls that make what happens in it last.
//!
//! A file that was created, renamed or removed lasts once the directory is synced. Payloads are nobody else's business,
//! so nobody else may read the files.

use crate::{Doing, Position, StoreError};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const SPARE: &str = "spare";
const LOCK: &str = "lock";
const SUFFIX: &str = ".log";

/// A directory with segments in it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Held as long as it is open.
    _lock: Option<File>,
}

impl Directory {
    /// Creates the directory if there is none, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        create(path)?;
        let lock = take_lock(path)?;
        Ok(Self {
            path: path.into(),
            _lock: Some(lock),
        })
    }

    /// Only to be read.
    pub(super) fn unlocked(path: &Path) -> Self {
        Self {
            path: path.into(),
            _lock: None,
        }
    }

    /// The segments there are, oldest first.
    pub(super) fn segments(&self) -> Result<Vec<(Position, PathBuf)>, StoreError> {
        let mut segments = vec![];
        for path in self.list()? {
            let name = path.file_name().and_then(|name| name.to_str());
            let base = name.and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
            if let Some(base) = base {
                segments.push((Position(base), path));
            }
        }
        segments.sort();
        Ok(segments)
    }

    /// The file that will be the next segment, at least this large.
    pub(super) fn spare(&self, bytes: u64) -> Result<(File, PathBuf), StoreError> {
        let path = self.path.join(SPARE);
        let file = open(&path, true)?;
        if let Err(error) = allocate(&path, &file, bytes) {
            // What was allocated of it is needed elsewhere.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok((file, path))
    }

    /// Makes the spare file the segment that begins at `base`.
    pub(super) fn begin(&self, base: Position) -> Result<PathBuf, StoreError> {
        let path = self.path.join(format!("{:020}{SUFFIX}", base.0));
        std::fs::rename(self.path.join(SPARE), &path)
            .map_err(|error| fault(Doing::Rename, &path, &error))?;
        self.sync()?;
        Ok(path)
    }

    /// Removes a segment.
    pub(super) fn remove(&self, path: &Path) -> Result<(), StoreError> {
        std::fs::remove_file(path).map_err(|error| StoreError::io(Doing::Remove, path, &error))?;
        self.sync()
    }

    /// What may still be written here; 0 if nobody says.
    pub(super) fn free_bytes(&self) -> u64 {
        statvfs(&self.path).map_or(0, |it| it.f_bavail.saturating_mul(it.f_frsize))
    }

    /// What the files take.
    pub(super) fn disk_bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for path in self.list()? {
            // A file may have gone since it was listed.
            bytes += path.metadata().map_or(0, |it| it.blocks() * 512);
        }
        Ok(bytes)
    }

    fn list(&self) -> Result<Vec<PathBuf>, StoreError> {
        let failed = |error| StoreError::io(Doing::List, &self.path, &error);
        let entries = std::fs::read_dir(&self.path).map_err(failed)?;
        entries
            .map(|entry| Ok(entry.map_err(failed)?.path()))
            .collect()
    }

    /// Makes names last.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        sync_names(&self.path)
    }
}

/// Creates a directory and those that it is in, as far as they are not there. Each lasts before the next is begun.
fn create(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_names(parent),
        // Somebody else was faster.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(StoreError::io(Doing::Create, path, &error)),
    }
}

/// Makes the names in a directory last.
fn sync_names(path: &Path) -> Result<(), StoreError> {
    let directory = File::open(path).map_err(|error| StoreError::io(Doing::Open, path, &error))?;
    sync_all(path, &directory)
}

/// Opens a file to read it, or to write it too and to create it if need be.
pub(super) fn open(path: &Path, is_written: bool) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(is_written)
        .create(is_written)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| fault(Doing::Open, path, &error))
}

/// Makes a file at least this large, with room on the disk for all of it.
pub(super) fn allocate(path: &Path, file: &File, bytes: u64) -> Result<(), StoreError> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // Some file systems can't. They tell that they are full later.
        Err(rustix::io::Errno::OPNOTSUPP) => file
            .set_len(bytes)
            .map_err(|error| fault(Doing::Write, path, &error)),
        Err(error) => Err(fault(Doing::Write, path, &error.into())),
    }
}

/// Makes a file or directory last.
pub(super) fn sync_all(path: &Path, file: &File) -> Result<(), StoreError> {
    file.sync_all()
        .map_err(|error| StoreError::io(Doing::Sync, path, &error))
}

/// [`StoreError::Full`] if that is what the system said.
pub(super) fn fault(doing: Doing, path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StoreError::Full
        }
        _ => StoreError::io(doing, path, error),
    }
}

/// A number that no client can guess.
pub(super) fn salt() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn take_lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let mut file = open(&path, true)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(StoreError::Locked(
                directory.into(),
                owner.trim().parse().ok(),
            ));
        }
        Err(TryLockError::Error(error)) => {
            return Err(StoreError::io(Doing::Lock, &path, &error));
        }
    }
    // For whoever finds it locked; the lock holds without.
    let _ = file.set_len(0);
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}
