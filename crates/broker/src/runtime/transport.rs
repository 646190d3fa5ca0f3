//! How packets travel with a client: in WebSocket frames, or as bare bytes over TCP and TLS.
//!
//! A link drives both alike. They differ in what can be said beside the packets: a WebSocket has pings, and closes with a
//! code and a text; a bare stream has neither, there the last packet is all that is said.

use super::stream::{Socket, Stream};
use bytes::BytesMut;
use std::io;
use std::task::{Context, Poll};
use weir_codec::{Output, Segment};
use weir_ws::{CloseCode, Connection, ConnectionError, Event, RawConnection};

/// A client's transport.
pub(crate) enum Transport {
    WebSocket(Connection<Stream>),
    Raw(RawConnection<Stream>),
}

impl Transport {
    /// Writes packets as far as the stream takes them, and queues the rest.
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, output: &Output, segment: &Segment) {
        let pieces = output.pieces(segment).map(|piece| match piece {
            weir_codec::Piece::Copied(bytes) => weir_ws::Piece::Copied(bytes),
            weir_codec::Piece::Linked(bytes) => weir_ws::Piece::Linked(bytes),
        });
        match self {
            Self::WebSocket(connection) => connection.write_binary(cx, pieces, output.len()),
            Self::Raw(connection) => connection.send(cx, pieces, output.len()),
        }
    }

    /// Whether a peer that lives answers [`Transport::ping`].
    pub(crate) fn has_pings(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }

    /// Queues a ping, where there are any.
    pub(crate) fn ping(&mut self) {
        if let Self::WebSocket(connection) = self {
            connection.send_ping();
        }
    }

    /// The socket below, where there is nothing above it that could ask after the peer.
    pub(crate) fn bare_socket(&self) -> Option<&Socket> {
        match self {
            Self::WebSocket(_) => None,
            Self::Raw(connection) => Some(connection.stream().socket()),
        }
    }

    /// Queues the end, with its reason where one can be given; nothing is sent behind it.
    pub(crate) fn close(&mut self, code: CloseCode, text: &str) {
        match self {
            Self::WebSocket(connection) => connection.close(code, text),
            Self::Raw(connection) => connection.close(),
        }
    }

    /// Whether something that was queued has not left yet.
    pub(crate) fn is_blocked(&self) -> bool {
        match self {
            Self::WebSocket(connection) => connection.is_blocked(),
            Self::Raw(connection) => connection.is_blocked(),
        }
    }

    /// The next thing that the peer did.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        arena: &mut BytesMut,
    ) -> Poll<Result<Event, ConnectionError>> {
        match self {
            Self::WebSocket(connection) => connection.poll_event(cx, arena),
            Self::Raw(connection) => connection.poll_event(cx, arena).map_err(Into::into),
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::WebSocket(connection) => connection.poll_flush(cx),
            Self::Raw(connection) => connection.poll_flush(cx),
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::WebSocket(connection) => connection.poll_shutdown(cx),
            Self::Raw(connection) => connection.poll_shutdown(cx),
        }
    }

    /// Leaves this thread's runtime.
    pub(crate) fn park(self) -> io::Result<Self> {
        self.map_stream(Stream::park)
    }

    /// Enters this thread's runtime.
    pub(crate) fn settle(self) -> io::Result<Self> {
        self.map_stream(Stream::settle)
    }

    fn map_stream(self, convert: impl FnOnce(Stream) -> io::Result<Stream>) -> io::Result<Self> {
        Ok(match self {
            Self::WebSocket(connection) => Self::WebSocket(connection.map_stream(convert)?),
            Self::Raw(connection) => Self::Raw(connection.map_stream(convert)?),
        })
    }
}
