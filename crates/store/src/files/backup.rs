//! A copy of a log that is being written to.
//!
//! Segments are immutable but for the newest, and go oldest first, after what was alive in them was written again. So the
//! segments of one listing are the log as it was at some moment, if all of them are still there when they are copied; if
//! one has gone meanwhile, another listing is taken. Of the newest, what is intact is copied.

use super::directory::{self, Directory};
use super::scan::{self, Found};
use crate::{Damage, Doing, Position, StoreError};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Copies the log in `from` to `to`, where there must not be one yet. It may be in use.
///
/// # Errors
/// [`StoreError::Occupied`] if there is a log in `to`; what the operating system refuses.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let (source, target) = (Directory::unlocked(from), Directory::lock(to)?);
    if !target.segments()?.is_empty() {
        return Err(StoreError::Occupied(to.into()));
    }
    let mut copied = BTreeSet::new();
    loop {
        let segments = source.segments()?;
        match copy(&segments, to, &mut copied) {
            Ok(()) => return finish(&target, segments.first().map(|it| it.0)),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a file is not there any more.
pub(super) fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::Io(fault) if fault.kind == std::io::ErrorKind::NotFound)
}

/// Copies the segments of one listing, but for those that were copied when they were finished.
fn copy(
    segments: &[(Position, PathBuf)],
    to: &Path,
    copied: &mut BTreeSet<Position>,
) -> Result<(), StoreError> {
    let Some(((base, path), finished)) = segments.split_last() else {
        return Ok(());
    };
    for (base, path) in finished {
        if !copied.contains(base) {
            write(to, path, &scan::read(path)?)?;
            copied.insert(*base);
        }
    }
    let (found, bytes) = scan::newest(path, *base, &Found::default())?;
    let is_damaged = |damage: &Damage| matches!(damage, Damage::Corrupt { .. });
    let end = match found.segments.back() {
        Some(newest) if !found.damage.iter().any(is_damaged) => newest.end,
        // Damage is copied as it is, to be told by whoever opens the copy.
        _ => bytes.len() as u64,
    };
    let intact = usize::try_from(end).ok().and_then(|end| bytes.get(..end));
    write(to, path, intact.unwrap_or(&bytes))
}

/// Removes what was copied of earlier listings, and makes the rest last.
fn finish(target: &Directory, first: Option<Position>) -> Result<(), StoreError> {
    for (base, path) in target.segments()? {
        if first.is_none_or(|first| base < first) {
            target.remove(&path)?;
        }
    }
    target.sync()
}

fn write(to: &Path, source: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let path = to.join(source.file_name().unwrap_or_default());
    let mut file = directory::open(&path, true)?;
    file.set_len(0)
        .and_then(|()| file.write_all(bytes))
        .map_err(|error| directory::fault(Doing::Write, &path, &error))?;
    directory::sync_all(&path, &file)
}
