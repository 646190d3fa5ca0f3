//! Where a record is: the serial of its batch, and while that is not written yet, its slot in the group.
//!
//! Packed into one word, since there is one for every queued message: 40 bits of serial (a thousand batches a second for
//! 34 years) and 24 bits of slot.

const SLOT_BITS: u32 = 24;

/// The most slots that can be told apart in one batch.
pub(crate) const MAX_SLOTS: usize = 1 << SLOT_BITS;

/// Where a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(u64);

/// Where a record is and what it counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) place: Place,
    pub(crate) bytes: u32,
}

impl Place {
    /// Nowhere. Serials begin at 1.
    pub(crate) const NONE: Self = Self(0);

    /// A slot of a group that is not written yet.
    pub(crate) fn pending(serial: u64, slot: usize) -> Self {
        Self(serial << SLOT_BITS | slot.min(MAX_SLOTS - 1) as u64)
    }

    /// Whether it may be one of several slots: the last number stands for all that have none of their own.
    pub(crate) fn is_shared(self) -> bool {
        self.slot() == MAX_SLOTS - 1
    }

    /// In the batch with this serial.
    pub(crate) fn written(serial: u64) -> Self {
        Self::pending(serial, 0)
    }

    pub(crate) fn serial(self) -> u64 {
        self.0 >> SLOT_BITS
    }

    pub(crate) fn slot(self) -> usize {
        (self.0 & (MAX_SLOTS as u64 - 1)) as usize
    }
}
