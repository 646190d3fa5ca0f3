//! What waits to be written: bytes on their way to one socket, in order.
//!
//! Small pieces are copied together, large ones are linked, and one vectored write takes as many as the system call
//! allows. What must always hold: bytes leave in the order in which they came; when nothing waits, nothing is allocated,
//! so that an idle connection costs no buffer and a burst leaves none behind.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::io::AsyncWrite;

/// A piece of at least this size is linked: below, copying is cheaper than another entry of the vector.
const LINK_BYTES: usize = 2048;
/// The copied-together tail is closed at this size, so that it never grows by copying a long backlog.
const TAIL_BYTES: usize = 64 * 1024;
/// Pieces in one write.
const SLICES_PER_WRITE: usize = 64;
/// What is no more than this in all is copied together and written plainly, which costs less than a vectored write.
const PLAIN_BYTES: usize = 512;

/// A part of a message that is to be sent.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Bytes of the caller's: what the stream does not take of them is copied.
    Copied(&'a [u8]),
    /// Bytes that are shared: what the stream does not take of them is linked, unless it is little.
    Linked(&'a Bytes),
}

impl Piece<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Linked(bytes) => bytes,
        }
    }
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Older than the tail.
    sealed: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
    /// The stream has taken all, and still holds some of it itself: TLS does.
    is_in_stream: bool,
}

impl Outbox {
    /// How much waits.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something has not left the process yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.bytes > 0 || self.is_in_stream
    }

    /// Makes room for a header and a message; a long one will be linked, so there is no use in room for it.
    pub(crate) fn reserve_message(&mut self, header_bytes: usize, len: usize) {
        if self.tail.len() > TAIL_BYTES {
            self.seal();
        }
        self.tail
            .reserve(header_bytes + if len < LINK_BYTES { len } else { 0 });
    }

    /// Appends by copying.
    pub(crate) fn put(&mut self, piece: &[u8]) {
        self.tail.put_slice(piece);
        self.bytes += piece.len();
    }

    /// Appends by copying or linking, whichever is cheaper.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if piece.len() < LINK_BYTES {
            return self.put(&piece);
        }
        self.seal();
        self.bytes += piece.len();
        self.sealed.push_back(piece);
    }

    /// Writes the pieces, `len` bytes, at once if nothing waits before them; what the stream does not take is queued, an error left for
    /// the next flush to find. So what the stream takes is neither copied nor allocated for.
    pub(crate) fn write_or_push<'a, W>(
        &mut self,
        stream: Pin<&mut W>,
        cx: &mut Context<'_>,
        pieces: impl Iterator<Item = Piece<'a>> + Clone,
        len: usize,
    ) where
        W: AsyncWrite + ?Sized,
    {
        let mut written = 0;
        if !self.is_waiting()
            && let Poll::Ready(Ok(bytes)) = write(stream, cx, pieces.clone(), len)
        {
            if bytes == len {
                return;
            }
            written = bytes;
        }
        for piece in pieces {
            let skipped = written.min(piece.bytes().len());
            written -= skipped;
            match piece {
                _ if skipped == piece.bytes().len() => {}
                Piece::Copied(bytes) => self.put(&bytes[skipped..]),
                Piece::Linked(bytes) => self.push(bytes.slice(skipped..)),
            }
        }
    }

    /// Writes, then flushes the stream; ready when everything has left the process.
    pub(crate) fn poll_flush<W>(
        &mut self,
        mut stream: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + ?Sized,
    {
        ready!(self.poll_write(stream.as_mut(), cx))?;
        let flushed = stream.poll_flush(cx);
        self.is_in_stream = flushed.is_pending();
        flushed
    }

    /// Writes until nothing waits or the stream takes no more.
    pub(crate) fn poll_write<W>(
        &mut self,
        mut stream: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + ?Sized,
    {
        while self.bytes > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let count = self.fill(&mut slices);
            let written = ready!(stream.as_mut().poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether anything is allocated.
    #[cfg(test)]
    pub(crate) fn holds_memory(&self) -> bool {
        self.sealed.capacity() > 0 || self.tail.capacity() > 0
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.sealed
                .push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let pieces = self.sealed.iter().map(|piece| &piece[..]).chain(tail);
        slices
            .iter_mut()
            .zip(pieces)
            .map(|(slice, piece)| *slice = IoSlice::new(piece))
            .count()
    }

    fn advance(&mut self, written: usize) {
        self.bytes -= written;
        if self.bytes == 0 {
            *self = Self::default();
            return;
        }
        let mut left = written;
        while let Some(first) = self.sealed.front_mut() {
            if left < first.len() {
                first.advance(left);
                return;
            }
            left -= first.len();
            self.sealed.pop_front();
        }
        self.tail.advance(left);
    }
}

/// Writes the pieces, `len` bytes, in one system call, as far as the stream takes them and there are not too many.
fn write<'a, W>(
    stream: Pin<&mut W>,
    cx: &mut Context<'_>,
    pieces: impl Iterator<Item = Piece<'a>>,
    len: usize,
) -> Poll<io::Result<usize>>
where
    W: AsyncWrite + ?Sized,
{
    let pieces = pieces.map(|piece| match piece {
        Piece::Copied(bytes) => bytes,
        Piece::Linked(bytes) => &bytes[..],
    });
    if len <= PLAIN_BYTES {
        let mut room = [0; PLAIN_BYTES];
        let mut rest = &mut room[..];
        pieces.for_each(|piece| rest.put_slice(piece));
        return stream.poll_write(cx, &room[..len]);
    }
    let mut slices = SmallVec::<[_; SLICES_PER_WRITE]>::new();
    slices.extend(pieces.take(SLICES_PER_WRITE).map(IoSlice::new));
    stream.poll_write_vectored(cx, &slices)
}

impl io::Write for Outbox {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.put(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::task::Waker;

    /// Takes at most so many bytes a call, then says that it is full once.
    struct Narrow {
        taken: Vec<u8>,
        bytes_per_call: usize,
        full: bool,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.full = !self.full;
            if self.full {
                return Poll::Pending;
            }
            let len = buf.len().min(self.bytes_per_call);
            self.taken.extend_from_slice(&buf[..len]);
            Poll::Ready(Ok(len))
        }
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.full = !self.full;
            if self.full {
                return Poll::Pending;
            }
            let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            let len = all.len().min(self.bytes_per_call);
            self.taken.extend_from_slice(&all[..len]);
            Poll::Ready(Ok(len))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_not_taken_at_once_follows_in_order(
            lengths in prop_oneof![proptest::collection::vec(1_usize..3000, 0..100), proptest::collection::vec(1_usize..100, 0..10)],
            bytes_per_call in 1_usize..5000,
        ) {
            let owned: Vec<Bytes> = lengths.iter().map(|len| vec![*len as u8; *len].into()).collect();
            let pieces = owned.iter().enumerate().map(|(index, bytes)| match index % 2 {
                0 => Piece::Copied(bytes),
                _ => Piece::Linked(bytes),
            });
            let mut narrow = Narrow { taken: Vec::new(), bytes_per_call, full: true };
            let (mut outbox, cx) = (Outbox::default(), &mut Context::from_waker(Waker::noop()));
            let len = owned.iter().map(Bytes::len).sum();
            outbox.write_or_push(Pin::new(&mut narrow), cx, pieces.clone(), len);
            outbox.write_or_push(Pin::new(&mut narrow), cx, pieces, len);
            while outbox.poll_flush(Pin::new(&mut narrow), cx).is_pending() {}
            prop_assert_eq!(narrow.taken, [owned.concat(), owned.concat()].concat());
            prop_assert!(!outbox.holds_memory());
        }

        #[test]
        fn bytes_leave_in_order_and_leave_no_memory_behind(
            lens in prop::collection::vec(prop_oneof![0usize..40, 2000usize..2100, 60_000usize..70_000], 1..80),
            bytes_per_call in 1000usize..200_000,
        ) {
            let mut outbox = Outbox::default();
            let mut narrow = Narrow { taken: Vec::new(), bytes_per_call, full: false };
            let mut cx = Context::from_waker(Waker::noop());
            let mut expected = Vec::new();
            for (index, len) in lens.iter().enumerate() {
                let piece = vec![index as u8; *len];
                expected.extend_from_slice(&piece);
                outbox.reserve_message(0, *len);
                outbox.push(piece.into());
                prop_assert_eq!(outbox.len_bytes() + narrow.taken.len(), expected.len());
                let _ = outbox.poll_write(Pin::new(&mut narrow), &mut cx);
            }
            while outbox.poll_write(Pin::new(&mut narrow), &mut cx).is_pending() {}
            prop_assert_eq!(narrow.taken, expected);
            prop_assert!(!outbox.holds_memory());
        }
    }
}
