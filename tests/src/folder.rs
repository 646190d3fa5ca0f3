//! Folders of a test's own, gone with the test.
//!
//! A test has a thread for itself, and whatever it started has ended when that thread does: so what it was given needs no
//! guard to be held, and is removed when the test has failed, too.

use std::cell::RefCell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::{Builder, TempDir};

thread_local! {
    static FOLDERS: RefCell<Vec<TempDir>> = const { RefCell::new(Vec::new()) };
}

/// An empty folder that nobody else uses, removed when the thread ends that asks for it.
///
/// # Panics
/// When there can be none.
pub fn folder() -> PathBuf {
    // Open to all: workers of nginx are another user.
    let open = Permissions::from_mode(0o755);
    let folder = Builder::new()
        .prefix("weir-test-")
        .permissions(open)
        .tempdir()
        .expect("a temporary folder");
    let path = folder.path().to_owned();
    FOLDERS.with_borrow_mut(|folders| folders.push(folder));
    path
}
