//! Where a record is: the serial of its batch, and what finds it there: its slot in the group while that is not written
//! yet; for a message that is, its offset.
//!
//! Packed into one word, since there is one for every queued message: 40 bits of serial (a thousand batches a second for
//! 34 years) and 24 bits of slot or offset. Whatever lies beyond shares the last number and has to be looked for.

const SLOT_BITS: u32 = 24;

/// The most slots that can be told apart in one batch.
pub(crate) const MAX_SLOTS: usize = 1 << SLOT_BITS;

/// Where a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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

    /// So many bytes into a written batch.
    pub(crate) fn at(serial: u64, offset: usize) -> Self {
        Self::pending(serial, offset)
    }

    /// Whether it may be one of several: the last number stands for all that have none of their own.
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

    /// The slot of what is pending, the offset of a message that is written.
    pub(crate) fn slot(self) -> usize {
        (self.0 & (MAX_SLOTS as u64 - 1)) as usize
    }
}
