//! The section `[store]`: what outlasts the broker, where, and when it is acknowledged.
//!
//! Without a directory, or with durability "memory", nothing does: whoever asks gets one answer for both.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;

/// What outlasts the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Store {
    /// The directory; `None`: nothing is kept.
    pub(crate) path: Option<PathBuf>,
    /// When an acknowledgement of what is kept leaves.
    pub(crate) durability: Durability,
    /// How often is synced with [`Durability::Interval`].
    pub(crate) sync_interval: Duration,
}

/// When an acknowledgement of what is kept leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When it is on disk.
    Sync,
    /// When it is handed to the operating system.
    Interval,
    /// At once: nothing is kept.
    Memory,
}

impl Store {
    pub(super) fn resolve(section: &Section<'_, '_>) -> Self {
        let path = section.text("path", "a directory, for example \"/var/lib/weir\"");
        let words = [
            ("sync", Durability::Sync),
            ("interval", Durability::Interval),
            ("memory", Durability::Memory),
        ];
        Self {
            path: path.filter(|path| !path.is_empty()).map(PathBuf::from),
            durability: section.word("durability", Durability::Sync, &words),
            sync_interval: Duration::from_millis(section.integer(
                "sync_interval_milliseconds",
                1000,
                10..=60_000,
                "milliseconds",
            )),
        }
    }

    /// The directory in which something is kept, if anything is.
    pub(crate) fn directory(&self) -> Option<&PathBuf> {
        self.path
            .as_ref()
            .filter(|_| self.durability != Durability::Memory)
    }

    /// What there is to say of it in a word or two.
    pub(crate) fn summary(&self) -> String {
        let when = match self.durability {
            Durability::Sync => "acknowledged when on disk",
            Durability::Interval => "acknowledged before it is on disk",
            Durability::Memory => "",
        };
        self.directory().map_or("in memory".into(), |path| {
            format!("{}, {when}", path.display())
        })
    }
}
