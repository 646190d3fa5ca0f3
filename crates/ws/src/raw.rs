//! A byte stream without WebSocket around it: what MQTT over TCP and TLS is.
//!
//! It behaves as a [`Connection`](crate::Connection) does (the shared arena, one ordered outbox, an end that the caller
//! sees as [`Event::Eof`]), so whoever drives one drives the other. There is nothing to say at the end but the end
//! itself: the last packet carries the reason.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::arena;
use crate::connection::Event;
use crate::outbox::{Outbox, Piece};

/// A connection that carries bytes as they are.
#[derive(Debug)]
pub struct RawConnection<S> {
    stream: S,
    outbox: Outbox,
    state: State,
}

/// ```text
///  Open --close--> Closing --all has left--> Shut --end of stream--> Ended
/// ```
/// Open goes to Ended at the end of the stream, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Shut,
    Ended,
}

impl<S> RawConnection<S> {
    /// Takes over a stream from its first byte on.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            outbox: Outbox::default(),
            state: State::Open,
        }
    }

    /// Ends the sending direction behind everything that is queued. What still comes is discarded;
    /// [`poll_event`](Self::poll_event) tells when the peer has ended its own direction.
    pub fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    /// Whether some of what was queued is still in this process: [`poll_flush`](Self::poll_flush) has to be called again.
    pub fn is_blocked(&self) -> bool {
        self.outbox.is_waiting()
    }

    /// The stream below, to ask it for addresses and options.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The same connection on another kind of stream.
    ///
    /// # Errors
    /// Those of `convert`; the connection is then gone.
    pub fn map_stream<T>(
        self,
        convert: impl FnOnce(S) -> io::Result<T>,
    ) -> io::Result<RawConnection<T>> {
        Ok(RawConnection {
            stream: convert(self.stream)?,
            outbox: self.outbox,
            state: self.state,
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawConnection<S> {
    /// Writes the pieces, `len` bytes, as far as the stream takes them, and queues the rest. Ignored once the connection is
    /// closing.
    pub fn send<'a>(
        &mut self,
        cx: &mut Context<'_>,
        pieces: impl Iterator<Item = Piece<'a>> + Clone,
        len: usize,
    ) {
        if self.state == State::Open {
            self.outbox
                .write_or_push(Pin::new(&mut self.stream), cx, pieces, len);
        }
    }

    /// Waits for the next bytes or the end, reading into the spare room of `arena`, which must be empty and is left
    /// empty.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        arena: &mut BytesMut,
    ) -> Poll<io::Result<Event>> {
        while self.state != State::Ended {
            // An error here is found again by the read that follows.
            if self.state == State::Closing && self.poll_shutdown(cx).is_ready() {
                self.state = State::Shut;
            }
            let read = ready!(arena::poll_read(&mut self.stream, cx, arena))?;
            if read.is_empty() {
                self.state = State::Ended;
            } else if self.state == State::Open {
                return Poll::Ready(Ok(Event::Data(read.freeze())));
            }
        }
        Poll::Ready(Ok(Event::Eof))
    }

    /// Writes what is queued; ready when all of it has left.
    ///
    /// # Errors
    /// The stream's, after which the connection is of no use.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_flush(Pin::new(&mut self.stream), cx)
    }

    /// Flushes, then ends the sending direction of the stream.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::future::poll_fn;
    use std::task::Waker;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn bytes_pass_both_ways_and_a_close_leaves_behind_them() {
        let (server, mut client) = duplex(16);
        let mut connection = RawConnection::new(server);
        let mut arena = BytesMut::new();
        client.write_all(b"hello").await.unwrap();
        let event = poll_fn(|cx| connection.poll_event(cx, &mut arena)).await;
        assert_eq!(event.unwrap(), Event::Data(Bytes::from_static(b"hello")));

        let large = Bytes::from(vec![b'x'; 5000]);
        let pieces = [Piece::Copied(b"a longer answer "), Piece::Linked(&large)];
        let cx = &mut Context::from_waker(Waker::noop());
        let len = pieces.iter().map(|piece| piece.bytes().len()).sum();
        connection.send(cx, pieces.into_iter(), len);
        connection.close();
        connection.send(cx, std::iter::once(Piece::Copied(b"too late")), 8);
        let peer = async {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            client.write_all(b"not heard any more").await.unwrap();
            drop(client);
            answer
        };
        let end = poll_fn(|cx| connection.poll_event(cx, &mut arena));
        let (answer, end) = tokio::join!(peer, end);
        assert_eq!(answer.len(), 5016);
        assert_eq!(end.unwrap(), Event::Eof);
    }
}
