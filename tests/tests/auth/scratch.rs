//! A folder for the files of one test, removed at its end.

use std::fs;
use std::path::PathBuf;

pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(weir_tests::folder())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file as a whole and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let (path, beside) = (self.path(name), self.path("beside"));
        fs::write(&beside, text).expect("a temporary file");
        fs::rename(&beside, &path).expect("a temporary file");
        path
    }
}
