//! File descriptors: each connection takes one, and a process may have fewer than the configuration promises.
//!
//! The soft limit is what a login shell leaves for programs that could not stand more; up to the hard one it is anybody's to
//! raise. What is missing beyond that is said at the start, and not to the client that finds no room.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a broker opens beside its connections: listeners, certificates, the store's files, runtimes, providers.
const OTHERS: u64 = 256;

/// Makes room for so many connections, as far as the process may; says how many it can have if they are fewer.
pub(super) fn make_room(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(_) => limit,
    };
    // None: as many as it likes.
    if let Some(files) = limit.current
        && files.saturating_sub(OTHERS) < max_connections as u64
    {
        let connections = files.saturating_sub(OTHERS);
        tracing::warn!(
            "the process may open {files} files, so of limits.max_connections = {max_connections} it can have about \
             {connections}; raise LimitNOFILE= in the unit, or `ulimit -n`"
        );
    }
}
