//! Files that are read again while the broker runs.
//!
//! A file with a fault changes nothing; the log says what is wrong with it, once for each change. When one was read well,
//! every shard looks again at what its clients may do.

use super::Shared;
use super::mailbox::{Mail, Mailboxes};
use std::time::Duration;

/// How often files are looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);

/// Reads again what has changed, everything if `force`.
pub(crate) fn look(shared: &Shared, mailboxes: &Mailboxes, force: bool) {
    let mut has_changed = false;
    for reload in shared.providers.reload(force) {
        let file = reload.path.display();
        match reload.result {
            Ok(()) => {
                tracing::info!(%file, "read again");
                has_changed = true;
            }
            Err(error) => {
                tracing::error!("not read again, what it said before still counts: {error}");
            }
        }
    }
    if has_changed {
        mailboxes.to_all(|| Mail::PermissionsChanged);
    }
}
