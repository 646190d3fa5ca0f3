//! How much may come in a second: messages and bytes, of one client, of one user, from one address.
//!
//! None of it is limited unless the file says so: how much an honest client publishes is known only to whoever runs it.

use std::num::NonZeroU32;

use super::section::Section;

/// What may come in a second, of one client or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// PUBLISH packets; `None` for no limit.
    pub(crate) publishes_per_second: Option<NonZeroU32>,
    /// Bytes of all packets; `None` for no limit.
    pub(crate) bytes_per_second: Option<NonZeroU32>,
}

impl Rates {
    /// The rates under these two keys.
    pub(super) fn resolve(
        from: &Section<'_, '_>,
        publishes: &'static str,
        bytes: &'static str,
    ) -> Self {
        let messages = from.integer(publishes, 0, 0..=1_000_000, "messages");
        let bytes = from.integer(bytes, 0, 0..=1_073_741_824, "bytes");
        Self {
            publishes_per_second: NonZeroU32::new(messages),
            bytes_per_second: NonZeroU32::new(bytes),
        }
    }

    /// Whether anything is limited.
    pub(crate) fn are_limited(&self) -> bool {
        self.publishes_per_second.is_some() || self.bytes_per_second.is_some()
    }
}
