//! The library that drops what was not synced, built from `unsynced.c` with the C compiler that Rust links with.
//!
//! It is loaded into the broker alone, and acts on the store's segments alone.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_tests::Folder;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kills/unsynced.c");

/// The library in a shared object of its own, gone with `folder`.
pub(crate) fn library(folder: &Folder) -> PathBuf {
    let library = folder.path().join("unsynced.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .args([SOURCE, "-ldl", "-lpthread"])
        .status();
    assert!(built.expect("cc runs").success(), "{SOURCE} does not build");
    library
}

/// What makes a broker lose what it has not synced when it is killed.
pub(crate) fn environment<'a>(library: &'a Path, folder: &'a Folder) -> [(&'a str, &'a OsStr); 2] {
    [
        ("LD_PRELOAD", library.as_os_str()),
        ("WEIR_UNSYNCED", folder.path().as_os_str()),
    ]
}
