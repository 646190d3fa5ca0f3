//! What is staged and not written yet.
//!
//! A [`Group`] becomes one batch of the log, so it lasts as a whole or not at all. Changes are encoded as they are staged.
//! What comes and goes within a group is never written; but a record that took the place of one that is already written
//! *shadows* that, and must leave a deletion behind when it goes.

use crate::WallClock;
use crate::encoding::{self, KeyRef};
use crate::index::{Place, place::MAX_SLOTS};
use std::sync::Arc;
use weir_engine::{Message, Record};

/// Changes that will be one batch.
#[derive(Debug)]
pub(crate) struct Group {
    serial: u64,
    buffer: Vec<u8>,
    slots: Vec<Slot>,
    cancelled_bytes: usize,
}

/// One change in the buffer.
#[derive(Clone, Copy, Debug)]
struct Slot {
    start: usize,
    is_cancelled: bool,
    shadows: bool,
}

/// A change that was just added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added {
    pub(crate) place: Place,
    pub(crate) len: usize,
}

impl Group {
    pub(crate) fn new(serial: u64) -> Self {
        Self {
            serial,
            buffer: vec![],
            slots: vec![],
            cancelled_bytes: 0,
        }
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The message with this number, at `place` in this group.
    pub(crate) fn message(
        &self,
        number: u64,
        place: Place,
        clock: WallClock,
    ) -> Option<Arc<Message>> {
        let slots = self.slots.get(place.slot()..)?;
        // A slot that is shared may be that of another one.
        let mut encoded = slots
            .iter()
            .filter_map(|slot| self.buffer.get(slot.start..));
        encoded.find_map(|it| encoding::message_in(it, number, clock))
    }

    /// How much of it will be written.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() - self.cancelled_bytes
    }

    /// Whether no more should be added.
    pub(crate) fn is_large(&self, batch_bytes: usize) -> bool {
        self.buffer.len() >= batch_bytes || self.slots.len() >= MAX_SLOTS / 2
    }

    pub(crate) fn put(
        &mut self,
        record: &Record,
        scratch: &mut Vec<u8>,
        clock: WallClock,
    ) -> Added {
        let start = self.buffer.len();
        encoding::put(&mut self.buffer, scratch, record, clock);
        self.added(start)
    }

    pub(crate) fn delete(&mut self, key: KeyRef<'_>, scratch: &mut Vec<u8>) {
        let start = self.buffer.len();
        encoding::delete(&mut self.buffer, scratch, key);
        self.added(start);
    }

    /// Forgets the changes at `places` that are in this group. Whether copies that are already written, there or elsewhere,
    /// have still to be deleted is the answer.
    pub(crate) fn cancel_all(&mut self, places: &[Place]) -> bool {
        let mut is_written = false;
        for &place in places {
            is_written |= self.cancel(place);
        }
        is_written
    }

    fn cancel(&mut self, place: Place) -> bool {
        let is_elsewhere = place.serial() != self.serial && !fault!(JoiningDropsNeeded);
        if is_elsewhere || place.is_shared() {
            return true;
        }
        let end = match self.slots.get(place.slot() + 1) {
            Some(next) => next.start,
            None => self.buffer.len(),
        };
        let Some(slot) = self.slots.get_mut(place.slot()) else {
            return true;
        };
        if !slot.is_cancelled {
            slot.is_cancelled = true;
            self.cancelled_bytes += end - slot.start;
        }
        slot.shadows
    }

    /// The change at `place` took the place of one that is written.
    pub(crate) fn shadows(&mut self, place: Place) {
        if let Some(slot) = self.slots.get_mut(place.slot()) {
            slot.shadows = !fault!(ShadowForgotten);
        }
    }

    /// The batch.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, highest_number: u64) {
        out.clear();
        encoding::header(out, self.serial, highest_number);
        if self.cancelled_bytes == 0 {
            out.extend_from_slice(&self.buffer);
            return;
        }
        let ends = self.slots.iter().skip(1).map(|slot| slot.start);
        for (slot, end) in self.slots.iter().zip(ends.chain([self.buffer.len()])) {
            if !slot.is_cancelled {
                out.extend_from_slice(self.buffer.get(slot.start..end).unwrap_or_default());
            }
        }
    }

    fn added(&mut self, start: usize) -> Added {
        let place = Place::pending(self.serial, self.slots.len());
        self.slots.push(Slot {
            start,
            is_cancelled: false,
            shadows: false,
        });
        Added {
            place,
            len: self.buffer.len() - start,
        }
    }
}
