//! The room that TLS works in: one for each thread, which all its connections share.
//!
//! A connection is opened and sealed within one call, so nothing of it has to stay here between two; what does stay (the
//! beginning of a record, what a socket did not take) the connection keeps for itself, and for as long as it must. So a
//! connection that is idle holds no buffer, and a large message that passes leaves no holes in the heap.

use super::session::{PLAIN_BYTES_MAX, SEALED_BYTES_MAX};
use std::cell::RefCell;

/// What a connection may keep: the longest message of a handshake, cut into records.
pub(super) const INCOMPLETE_BYTES_MAX: usize = 64 << 10;
/// The most that is read at once.
const RECEIVED_BYTES_MAX: usize = 64 << 10;
/// How many records are sealed for one write.
const RECORDS_PER_WRITE: usize = 4;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// One thread's room.
pub(super) struct Scratch {
    /// What a connection kept, and what it received behind that.
    pub(super) incoming: Box<[u8]>,
    /// Where what goes into one record is put together.
    pub(super) plain: Box<[u8]>,
    pub(super) sealed: Sealed,
}

impl Scratch {
    fn new() -> Self {
        Self {
            incoming: room(INCOMPLETE_BYTES_MAX + RECEIVED_BYTES_MAX),
            plain: room(PLAIN_BYTES_MAX),
            sealed: Sealed {
                room: room(RECORDS_PER_WRITE * SEALED_BYTES_MAX),
                filled_bytes: 0,
            },
        }
    }

    /// Lends this thread's room, with nothing in it.
    pub(super) fn lend<T>(borrow: impl FnOnce(&mut Self) -> T) -> T {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.sealed.clear();
            borrow(scratch)
        })
    }
}

/// Records on their way to the peer.
pub(super) struct Sealed {
    room: Box<[u8]>,
    filled_bytes: usize,
}

impl Sealed {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.room[..self.filled_bytes]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled_bytes == 0
    }

    pub(super) fn clear(&mut self) {
        self.filled_bytes = 0;
    }

    /// Whether there is room for the longest record.
    pub(super) fn has_room(&self) -> bool {
        self.room.len() - self.filled_bytes >= SEALED_BYTES_MAX
    }

    pub(super) fn spare(&mut self) -> &mut [u8] {
        &mut self.room[self.filled_bytes..]
    }

    /// So many bytes were put into the spare room.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.filled_bytes += bytes;
    }

    /// Makes the spare room at least this large.
    pub(super) fn grow(&mut self, spare_bytes: usize) {
        let mut grown = room(self.filled_bytes + spare_bytes);
        grown[..self.filled_bytes].copy_from_slice(self.as_slice());
        self.room = grown;
    }
}

fn room(bytes: usize) -> Box<[u8]> {
    vec![0; bytes].into_boxed_slice()
}
