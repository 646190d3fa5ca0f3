//! A file that is read at the start and again when it changes.
//!
//! What it holds is swapped as a whole; whoever reads it keeps what it has. A file that is broken, or gone, changes
//! nothing: the last good one stays, and the fault is reported once for each change.

use crate::error::{AuthError, FileFault};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A file's content as a value.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    path: PathBuf,
    read: fn(&Path, &str) -> Result<T, AuthError>,
    current: RwLock<Arc<T>>,
    seen: Mutex<Option<Stamp>>,
}

/// What came of looking at a file again.
#[derive(Debug)]
pub struct Reload {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it now; its earlier content still counts then.
    pub result: Result<(), AuthError>,
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_at: (i64, i64),
}

impl<T> Watched<T> {
    /// Reads the file; `read` makes a value of its text, and names the path where that can't be.
    ///
    /// # Errors
    /// The file can't be read, or says something that can't be.
    pub(crate) fn open(
        path: &Path,
        read: fn(&Path, &str) -> Result<T, AuthError>,
    ) -> Result<Self, AuthError> {
        let (seen, text) = content(path)?;
        Ok(Self {
            current: RwLock::new(Arc::new(read(path, &text)?)),
            seen: Mutex::new(Some(seen)),
            path: path.to_path_buf(),
            read,
        })
    }

    /// What the file held when it was last good.
    #[must_use]
    pub(crate) fn current(&self) -> Arc<T> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Reads the file again if it has changed, or in any case if `force`; `None`: it has not.
    pub(crate) fn reload(&self, force: bool) -> Option<Reload> {
        let stamp = Stamp::of_path(&self.path);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == stamp && !force {
                return None;
            }
            *seen = stamp;
        }
        let read = content(&self.path).and_then(|(_, text)| (self.read)(&self.path, &text));
        let result = read.map(|value| {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(value);
        });
        Some(Reload {
            path: self.path.clone(),
            result,
        })
    }
}

impl Stamp {
    fn of_path(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed_at: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The text of a file, with the stamp it had when it was opened.
fn content(path: &Path) -> Result<(Stamp, String), AuthError> {
    let unreadable = |error| AuthError::Unreadable(path.to_path_buf(), error);
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| AuthError::File(path.to_path_buf(), FileFault::NotText))?;
    Ok((stamp, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LineFault;
    use crate::scratch::Scratch;

    fn number(path: &Path, text: &str) -> Result<u32, AuthError> {
        let number = text.trim().parse();
        number.map_err(|_| AuthError::Line(path.to_path_buf(), 1, LineFault::NoColon))
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let scratch = Scratch::new();
        let path = scratch.file("number", "1");
        let watched = Watched::open(&path, number).unwrap();
        assert!(watched.reload(false).is_none());
        scratch.file("number", "22");
        assert!(watched.reload(false).unwrap().result.is_ok());
        assert_eq!(*watched.current(), 22);
        scratch.file("number", "broken");
        let error = watched.reload(false).unwrap().result.unwrap_err();
        assert!(error.to_string().contains("number:1: "), "{error}");
        assert!(watched.reload(false).is_none(), "reported once");
        fs::remove_file(&path).unwrap();
        assert!(watched.reload(false).unwrap().result.is_err());
        assert_eq!(*watched.current(), 22);
        scratch.file("number", "3");
        assert!(watched.reload(false).unwrap().result.is_ok());
        assert_eq!(*watched.current(), 3);
        assert!(watched.reload(true).unwrap().result.is_ok());
    }

    #[test]
    fn what_is_not_there_at_the_start_is_an_error() {
        let error = Watched::open(Path::new("/nowhere/at/all"), number).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("/nowhere/at/all: cannot be read"),
            "{error}"
        );
    }
}
