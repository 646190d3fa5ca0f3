//! What has arrived of one publisher's messages: how many, in which order, how often.
//!
//! Every message carries its publisher, its number and the moment at which it was to be sent, so that the receiver needs
//! neither topic nor alias to account for it.

use std::time::{Duration, Instant};

/// Bytes of a payload that [`Stamp`] takes.
pub(crate) const STAMP_BYTES: usize = 14;

/// The start of every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u16,
    pub(crate) number: u32,
    /// Since the start of the measurement.
    pub(crate) due_nanos: u64,
}

impl Stamp {
    pub(crate) fn encode(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..2].copy_from_slice(&self.publisher.to_be_bytes());
        bytes[2..6].copy_from_slice(&self.number.to_be_bytes());
        bytes[6..].copy_from_slice(&self.due_nanos.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; STAMP_BYTES] = payload.first_chunk()?;
        let [a, b, c, d, e, f, due @ ..] = *bytes;
        Some(Self {
            publisher: u16::from_be_bytes([a, b]),
            number: u32::from_be_bytes([c, d, e, f]),
            due_nanos: u64::from_be_bytes(due),
        })
    }
}

/// One publisher's messages at one subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// The number after the highest seen.
    pub(crate) next: u32,
    pub(crate) received: u64,
    /// Came behind a later one; of a message that comes twice, the second.
    pub(crate) late: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, number: u32) {
        self.received += 1;
        if number >= self.next {
            self.next = number + 1;
        } else {
            self.late += 1;
        }
    }
}

/// Nanoseconds between two moments.
pub(crate) fn nanos_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The moment `nanos` after another.
pub(crate) fn after(start: Instant, nanos: u64) -> Instant {
    start + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp {
            publisher: 3,
            number: 70_000,
            due_nanos: u64::MAX - 5,
        };
        assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
        assert_eq!(Stamp::decode(&[0; 13]), None);
    }

    #[test]
    fn what_comes_late_or_twice_is_noted() {
        let mut ledger = Ledger::default();
        for number in [0, 2, 1, 2, 3] {
            ledger.note(number);
        }
        assert_eq!(
            ledger,
            Ledger {
                next: 4,
                received: 5,
                late: 2
            }
        );
    }
}
