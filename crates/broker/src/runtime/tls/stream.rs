//! A byte stream in TLS over another.
//!
//! Reading opens all that one read brought; writing seals some records at a time, each as long as it may be, and gives them to
//! the socket in one write. Both happen in [room that all connections of a thread share](super::scratch). What must
//! hold: what was sealed leaves in order, before anything else is sealed; at most one write's worth of it, and one read's
//! worth of what was opened, is kept.

use super::scratch::{INCOMPLETE_BYTES_MAX, Scratch};
use super::session::{PLAIN_BYTES_MAX, Session};
use bytes::{Buf, BytesMut};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The least that is read at once, whatever room there is for it.
const READ_BYTES_MIN: usize = 4096;

/// TLS over `S`, on the side of the server.
pub(crate) struct TlsStream<S> {
    socket: S,
    session: Session,
    /// Sealed, but not taken by the socket.
    unsent: BytesMut,
    /// Opened, but there was no room for it.
    unread: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Does the handshake. The peer of one that fails is told so by an alert.
    ///
    /// # Errors
    /// Those of the socket; what rustls says of the peer.
    pub(crate) async fn accept(config: Arc<ServerConfig>, socket: S) -> io::Result<Self> {
        let mut stream = Self {
            socket,
            session: Session::new(config).map_err(io::Error::other)?,
            unsent: BytesMut::new(),
            unread: BytesMut::new(),
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let drained = self.poll_drain(cx)?;
            if !self.session.is_handshaking() {
                ready!(drained);
                return Pin::new(&mut self.socket).poll_flush(cx);
            }
            // Whether all has left or not: the client may have to be heard before it takes more.
            // What the client says behind its handshake waits to be read.
            ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Reads once, and opens what came.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = ready!(self.poll_open(cx, buf));
        if outcome.is_err() {
            // The alert, if the socket takes it; what went wrong first is what counts.
            let _ = self.poll_drain(cx);
        }
        Poll::Ready(outcome)
    }

    fn poll_open(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self {
            socket,
            session,
            unsent,
            unread,
        } = self;
        Scratch::lend(|scratch| {
            let kept_bytes = session.incomplete_bytes();
            if kept_bytes > INCOMPLETE_BYTES_MAX {
                return Poll::Ready(Err(invalid("a TLS message too long")));
            }
            let room_bytes = buf.remaining().max(READ_BYTES_MIN);
            let end = scratch.incoming.len().min(kept_bytes + room_bytes);
            let mut received = ReadBuf::new(&mut scratch.incoming[kept_bytes..end]);
            ready!(Pin::new(socket).poll_read(cx, &mut received))?;
            let received_bytes = received.filled().len();
            if received_bytes == 0 {
                return Poll::Ready(Err(cut_off(session)));
            }
            let incoming = &mut scratch.incoming[..kept_bytes + received_bytes];
            let outcome = session.receive(incoming, &mut scratch.sealed, |plain| {
                let (now, later) = plain.split_at(plain.len().min(buf.remaining()));
                buf.put_slice(now);
                unread.extend_from_slice(later);
            });
            unsent.extend_from_slice(scratch.sealed.as_slice());
            Poll::Ready(outcome.map_err(invalid))
        })
    }

    /// Gives the socket what it has not taken; ready when it has all.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unsent.is_empty() {
            ready!(poll_put(&mut self.socket, cx, &mut self.unsent))?;
            self.unsent = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the socket what was just sealed, and keeps what it does not take.
    fn put(&mut self, cx: &mut Context<'_>, mut sealed: &[u8]) -> io::Result<()> {
        if let Poll::Ready(result) = poll_put(&mut self.socket, cx, &mut sealed) {
            return result;
        }
        self.unsent.extend_from_slice(sealed);
        Ok(())
    }

    fn take_unread(&mut self, buf: &mut ReadBuf<'_>) {
        let bytes = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..bytes]);
        self.unread.advance(bytes);
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
    }
}

impl<S> TlsStream<S> {
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    pub(crate) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// The chain that the client has shown, its own certificate first.
    pub(crate) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.peer_certificates()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        while buf.filled().len() == before && buf.remaining() > 0 {
            if !this.unread.is_empty() {
                this.take_unread(buf);
            } else if let Some(fault) = this.session.fault() {
                return Poll::Ready(Err(invalid(fault.clone())));
            } else if this.session.is_closed_by_peer() {
                return Poll::Ready(Ok(()));
            } else {
                // An error here is found again by the read that follows.
                let _ = this.poll_drain(cx);
                let outcome = ready!(this.poll_receive(cx, buf));
                // What came before a fault is read before it.
                if buf.filled().len() == before {
                    outcome?;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Scratch::lend(|scratch| {
            let mut portions = Portions::of(bufs);
            loop {
                scratch.sealed.clear();
                while scratch.sealed.has_room()
                    && let Some(portion) = portions.next(&mut scratch.plain)
                {
                    this.session.seal(portion, &mut scratch.sealed)?;
                }
                this.put(cx, scratch.sealed.as_slice())?;
                if scratch.sealed.is_empty() || !this.unsent.is_empty() {
                    return Poll::Ready(Ok(portions.taken_bytes));
                }
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        Scratch::lend(|scratch| {
            this.session.close(&mut scratch.sealed)?;
            this.unsent.extend_from_slice(scratch.sealed.as_slice());
            Ok::<_, io::Error>(())
        })?;
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// Slices of bytes as they go into records: each is filled, and what fills one alone is not copied for it.
struct Portions<'a> {
    rest: std::slice::Iter<'a, IoSlice<'a>>,
    slice: &'a [u8],
    taken_bytes: usize,
}

impl<'a> Portions<'a> {
    fn of(slices: &'a [IoSlice<'a>]) -> Self {
        Self {
            rest: slices.iter(),
            slice: &[],
            taken_bytes: 0,
        }
    }

    /// What the next record carries, put together in `room` if need be.
    fn next<'r>(&mut self, room: &'r mut [u8]) -> Option<&'r [u8]>
    where
        'a: 'r,
    {
        let mut filled_bytes = 0;
        while self.refill() && filled_bytes < PLAIN_BYTES_MAX {
            let fills_a_record = self.slice.len() >= PLAIN_BYTES_MAX || self.rest.len() == 0;
            if filled_bytes == 0 && fills_a_record {
                return Some(self.take(PLAIN_BYTES_MAX));
            }
            let piece = self.take(PLAIN_BYTES_MAX - filled_bytes);
            room[filled_bytes..][..piece.len()].copy_from_slice(piece);
            filled_bytes += piece.len();
        }
        (filled_bytes > 0).then_some(&room[..filled_bytes])
    }

    /// Whether there is anything left to take.
    fn refill(&mut self) -> bool {
        while self.slice.is_empty() {
            match self.rest.next() {
                Some(slice) => self.slice = slice,
                None => return false,
            }
        }
        true
    }

    fn take(&mut self, bytes_max: usize) -> &'a [u8] {
        let (piece, rest) = self.slice.split_at(self.slice.len().min(bytes_max));
        self.slice = rest;
        self.taken_bytes += piece.len();
        piece
    }
}

/// Writes until nothing is left or the socket takes no more.
fn poll_put<S: AsyncWrite + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    bytes: &mut impl Buf,
) -> Poll<io::Result<()>> {
    while bytes.has_remaining() {
        let written = ready!(Pin::new(&mut *socket).poll_write(cx, bytes.chunk()))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        bytes.advance(written);
    }
    Poll::Ready(Ok(()))
}

/// The socket ended before TLS did.
fn cut_off(session: &Session) -> io::Error {
    let text = match session.is_handshaking() {
        true => "tls handshake eof",
        false => "the peer ended without a close_notify",
    };
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
