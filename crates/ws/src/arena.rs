//! Reading into room that many connections share.
//!
//! What a connection reads is split off the arena, so an idle one holds no buffer. What must hold: the arena is empty
//! between two reads, and nobody has to zero the room.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// With less room than this the arena grows before a read.
const SPARE_BYTES_MIN: usize = 4 * 1024;
/// How much it grows by.
const GROWTH_BYTES: usize = 16 * 1024;

/// Reads once; nothing read is the end of the stream.
pub(crate) fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    arena: &mut BytesMut,
) -> Poll<io::Result<BytesMut>> {
    debug_assert!(arena.is_empty(), "the arena belongs to one read at a time");
    if arena.capacity() < SPARE_BYTES_MIN {
        arena.reserve(GROWTH_BYTES);
    }
    // A future that is dropped while pending has read nothing, so polling a fresh one each time is sound; it is the way
    // to read into room that nobody has zeroed, without unsafe code.
    ready!(pin!(stream.read_buf(arena)).poll(cx))?;
    Poll::Ready(Ok(arena.split()))
}
