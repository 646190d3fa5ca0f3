//! Health: the few numbers that say the broker is alive and about how busy it is.
//!
//! Nothing here names a client or a topic, since nobody has to prove who they are to read it.

/// The state of the broker at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The version of the running binary.
    pub version: &'static str,
    /// Time since the listeners opened.
    pub uptime_seconds: u64,
    /// Clients connected now.
    pub connections: u64,
    /// Sessions held now, those of absent clients included.
    pub sessions: u64,
    /// Whether the store has room for what is to be kept.
    pub keeps_up: bool,
}

impl Health {
    /// One JSON object on a line of its own. No value in it ever needs escaping.
    pub(crate) fn to_json(self) -> String {
        let Health {
            version,
            uptime_seconds,
            connections,
            sessions,
            keeps_up,
        } = self;
        let status = if keeps_up { "ok" } else { "store full" };
        format!(
            "{{\"status\":\"{status}\",\"version\":\"{version}\",\"uptime_seconds\":{uptime_seconds},\
             \"connections\":{connections},\"sessions\":{sessions}}}\n"
        )
    }
}
