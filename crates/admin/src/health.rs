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
    /// When the first of the listeners' certificates ends, in seconds since 1970; `None` without TLS.
    pub certificate_not_after: Option<u64>,
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
            certificate_not_after,
        } = self;
        let status = if keeps_up { "ok" } else { "store full" };
        let certificate = certificate_not_after.map_or(String::new(), |seconds| {
            format!(",\"certificate_not_after\":{seconds}")
        });
        format!(
            "{{\"status\":\"{status}\",\"version\":\"{version}\",\"uptime_seconds\":{uptime_seconds},\
             \"connections\":{connections},\"sessions\":{sessions}{certificate}}}\n"
        )
    }
}
