//! Who has something to transmit, and the buffers for it.
//!
//! A connection holds a buffer from the first byte that it has to transmit until that is handed out; then the buffer comes
//! back for the next. So an idle connection holds none, and a shard whose load is steady asks for no memory. What is kept
//! for later is bounded.
//!
//! What many are sent alike stands in the segment, which lasts for a turn: who was not handed out by its end has its share
//! copied. So a slow connection holds nothing but its own bytes.

use crate::connection::Connection;
use crate::id::ConnectionKey;
use crate::trail::Trail;
use alloc::vec::Vec;
use core::mem;
use slotmap::SlotMap;
use weir_codec::{Output, Segment};

/// Room in buffers that nobody uses at most.
const SPARE_BYTES: usize = 4 << 20;

/// The connections with something to transmit, each once.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// Marked since the last turn began to be flushed.
    keys: Vec<ConnectionKey>,
    /// Those of the turn that is being flushed, and how many of them have been named.
    turn: Vec<ConnectionKey>,
    named: usize,
    pub(crate) segment: Segment,
    pub(crate) trail: Trail,
    spares: Vec<Output>,
    spare_bytes: usize,
}

impl Dirty {
    /// Something is about to be added to the connection's output, or has been.
    #[inline]
    pub(crate) fn mark(&mut self, key: ConnectionKey, connection: &mut Connection) {
        if !connection.dirty {
            connection.dirty = true;
            self.keys.push(key);
            self.lend(connection);
        }
    }

    /// The next of this turn. Who is marked meanwhile belongs to the next one.
    pub(crate) fn next(&mut self) -> Option<ConnectionKey> {
        if self.turn.is_empty() {
            mem::swap(&mut self.turn, &mut self.keys);
        }
        let key = self.turn.get(self.named)?;
        self.named += 1;
        Some(*key)
    }

    /// Nobody refers to the segment any more.
    pub(crate) fn end_turn(&mut self, connections: &mut SlotMap<ConnectionKey, Connection>) {
        if !fault!(SegmentTornAway) && !self.segment.is_empty() {
            for key in self.turn.iter().chain(&self.keys) {
                if let Some(connection) = connections.get_mut(*key) {
                    connection.output.settle(&self.segment);
                }
            }
        }
        self.segment.clear();
        self.trail.clear();
        self.turn.clear();
        self.named = 0;
    }

    /// Whether nobody waits for the next turn.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Hands out what the connection has to transmit, for a buffer whose bytes are done with.
    pub(crate) fn exchange(&mut self, connection: &mut Connection, out: &mut Output) {
        let mut spare = mem::replace(out, mem::take(&mut connection.output));
        spare.clear();
        let room_bytes = spare.capacity_bytes();
        if room_bytes > 0 && self.spare_bytes + room_bytes <= SPARE_BYTES {
            self.spare_bytes += room_bytes;
            self.spares.push(spare);
        }
    }

    fn lend(&mut self, connection: &mut Connection) {
        if connection.output.capacity_bytes() == 0
            && connection.output.is_empty()
            && let Some(spare) = self.spares.pop()
        {
            self.spare_bytes -= spare.capacity_bytes();
            connection.output = spare;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use slotmap::SlotMap;

    #[test]
    fn a_buffer_comes_back_and_an_idle_connection_holds_none() {
        let (mut dirty, mut keys) = (Dirty::default(), SlotMap::with_key());
        let key: ConnectionKey = keys.insert(());
        let mut connection = Connection::new(Instant::default(), Instant::default());
        let mut out = Output::new();
        for _ in 0..3 {
            dirty.mark(key, &mut connection);
            connection.output.put(b"bytes");
            assert_eq!((dirty.next(), dirty.next()), (Some(key), None));
            connection.dirty = false;
            dirty.exchange(&mut connection, &mut out);
            dirty.end_turn(&mut SlotMap::with_key());
            assert_eq!((out.len(), connection.output.capacity_bytes()), (5, 0));
        }
        assert!(dirty.is_empty() && dirty.spares.len() == 1);
    }

    #[test]
    fn what_is_kept_for_later_is_bounded() {
        let mut dirty = Dirty::default();
        let mut connection = Connection::new(Instant::default(), Instant::default());
        for _ in 0..100 {
            connection.output.put(&[0; SPARE_BYTES / 10]);
            let mut out = Output::new();
            dirty.exchange(&mut connection, &mut out);
            dirty.exchange(&mut connection, &mut out);
        }
        assert!(dirty.spare_bytes <= SPARE_BYTES && dirty.spares.len() <= 10);
    }
}
