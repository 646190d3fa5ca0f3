//! Who has something to transmit, and the buffers for it.
//!
//! A connection holds a buffer from the first byte that it has to transmit until that is handed out; then the buffer comes
//! back for the next. So an idle connection holds none, and a shard whose load is steady asks for no memory. What is kept
//! for later is bounded.

use crate::connection::Connection;
use crate::id::ConnectionKey;
use alloc::vec::Vec;
use core::mem;
use weir_codec::Output;

/// Room in buffers that nobody uses at most.
const SPARE_BYTES: usize = 4 << 20;

/// The connections with something to transmit, each once.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    keys: Vec<ConnectionKey>,
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

    pub(crate) fn pop(&mut self) -> Option<ConnectionKey> {
        self.keys.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Hands out what the connection has to transmit, for a buffer whose bytes are done with.
    pub(crate) fn exchange(&mut self, connection: &mut Connection, out: &mut Output) {
        let mut spare = mem::replace(out, mem::take(&mut connection.output));
        spare.clear();
        let room_bytes = spare.capacity();
        if room_bytes > 0 && self.spare_bytes + room_bytes <= SPARE_BYTES {
            self.spare_bytes += room_bytes;
            self.spares.push(spare);
        }
    }

    fn lend(&mut self, connection: &mut Connection) {
        if connection.output.capacity() == 0
            && connection.output.is_empty()
            && let Some(spare) = self.spares.pop()
        {
            self.spare_bytes -= spare.capacity();
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
            assert_eq!(dirty.pop(), Some(key));
            connection.dirty = false;
            dirty.exchange(&mut connection, &mut out);
            assert_eq!((out.len(), connection.output.capacity()), (5, 0));
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
