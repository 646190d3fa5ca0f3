//! Libraries that play a disk, built with the C compiler that Rust links with.
//!
//! They are loaded into the broker alone, and act on the store's segments alone. The one of `unsynced.c` drops what was not
//! synced.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kills");

/// The library that drops what was not synced.
pub(crate) fn library(folder: &Path) -> PathBuf {
    build("unsynced.c", folder)
}

/// A library in a shared object of its own, gone with `folder`.
pub(crate) fn build(source: &str, folder: &Path) -> PathBuf {
    let library = folder.join(source).with_extension("so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(Path::new(SOURCES).join(source))
        .args(["-ldl", "-lpthread"])
        .status();
    assert!(built.expect("cc runs").success(), "{source} does not build");
    library
}

/// What makes a broker lose what it has not synced when it is killed.
pub(crate) fn environment<'a>(library: &'a Path, folder: &'a Path) -> [(&'a str, &'a OsStr); 2] {
    [
        ("LD_PRELOAD", library.as_os_str()),
        ("WEIR_UNSYNCED", folder.as_os_str()),
    ]
}
