//! One WebSocket after the upgrade: it owns the stream, the place inside the frames, and what could not be written yet.
//!
//! Reading goes through an arena that many connections share, so an idle connection holds no buffer: payload is unmasked
//! and pushed together where it was read, and leaves as one slice per read. Writing never copies a large payload and
//! never masks (servers do not), so the same bytes can be linked into many connections; tungstenite's own sink copies
//! every message into a buffer per connection, which is why it is not used here.
//!
//! What must hold: after a close frame is queued nothing else is; replies to the peer's control frames are bounded; at
//! most one read's worth of bytes is held between two calls.

use std::io;
use std::iter;
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::arena;
use crate::error::ConnectionError;
use crate::frame::{FrameReader, Item, MessageKind, PeerClose, TextFrames, Violation};
use crate::outbox::{Outbox, Piece};

/// Pongs that may wait unsent; of further pings only the latest is answered (RFC 6455, 5.5.3).
const PONGS_UNSENT_MAX: u8 = 16;
/// The longest reason that fits a close frame beside its code.
const CLOSE_REASON_BYTES_MAX: usize = 123;
/// The longest header of a frame from a server.
const HEADER_BYTES_MAX: usize = 10;

/// A WebSocket connection on the side of the server.
///
/// The caller polls [`poll_event`](Self::poll_event) until it is pending, and calls [`poll_flush`](Self::poll_flush)
/// once it has queued all that is ready, and as long as it [is blocked](Self::is_blocked) whenever the stream may take
/// more.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    reader: FrameReader,
    /// Read, but not looked at yet: what came with the handshake, or stands behind the end of a whole message.
    input: BytesMut,
    outbox: Outbox,
    reading: Reading,
    /// Our close frame is queued or sent.
    closing: bool,
    pong_due: bool,
    reply_queued: bool,
    pongs_unsent: u8,
    late_pong: Option<Box<[u8]>>,
    whole_messages: bool,
    completed_message: Option<MessageKind>,
}

/// What a peer did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The next bytes of the stream that the peer's binary frames carry. Borders mean nothing.
    Data(Bytes),
    /// The peer answered a ping; several answers may be reported as one.
    Pong,
    /// The peer closed; its close frame was echoed, if it was not an echo itself.
    PeerClosed {
        /// The code, unless the frame was empty.
        code: Option<u16>,
        /// The text for people.
        reason: String,
    },
    /// The stream ended. It is reported again at every further call.
    Eof,
}

/// ```text
///  Open --violation--> Failed ----reported---> Draining --our close frame--> Shut --end of stream--> Ended
///    \---close frame-> PeerClosed -reported---^           has left
/// ```
/// Every state but Ended goes to Ended at the end of the stream.
#[derive(Debug)]
enum Reading {
    Open,
    Failed(Violation),
    PeerClosed(Box<PeerClose>),
    /// Whatever arrives is discarded. The server is the first to end the stream (RFC 6455, 7.1.1), so its own direction
    /// ends as soon as the close frame has left.
    Draining,
    /// Draining, and our direction has ended.
    Shut,
    Ended,
}

impl<S> Connection<S> {
    /// Takes over a stream on which the upgrade is done; `leftover` arrived behind the handshake's last byte.
    pub fn new(stream: S, leftover: &[u8]) -> Self {
        Self {
            stream,
            reader: FrameReader::new(TextFrames::Refused),
            input: BytesMut::from(leftover),
            outbox: Outbox::default(),
            reading: Reading::Open,
            closing: false,
            pong_due: false,
            reply_queued: false,
            pongs_unsent: 0,
            late_pong: None,
            whole_messages: false,
            completed_message: None,
        }
    }

    /// Accepts text, and keeps the borders of messages: see [`completed_message`](Self::completed_message). MQTT wants
    /// neither. To be called before the first event.
    pub fn keep_messages(&mut self) {
        self.reader = FrameReader::new(TextFrames::Accepted);
        self.whole_messages = true;
    }

    /// After [`Event::Data`] on a connection that keeps messages: the kind of the message that ended with it, if any.
    pub fn completed_message(&self) -> Option<MessageKind> {
        self.completed_message
    }

    /// The stream below, to ask it for addresses and options.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Queues one binary message of `len` bytes, made of all the segments. Ignored once the connection is closing.
    pub fn send_binary(&mut self, segments: impl Iterator<Item = Bytes>, len: usize) {
        self.send_message(MessageKind::Binary, segments, len);
    }

    /// Queues one message of `len` bytes, made of all the segments. Ignored once the connection is closing.
    pub fn send_message(
        &mut self,
        kind: MessageKind,
        segments: impl Iterator<Item = Bytes>,
        len: usize,
    ) {
        if self.closing {
            return;
        }
        let opcode = match kind {
            MessageKind::Binary => Data::Binary,
            MessageKind::Text => Data::Text,
        };
        self.queue_header(OpCode::Data(opcode), len);
        let before = self.outbox.len_bytes();
        segments.for_each(|segment| self.outbox.push(segment));
        debug_assert_eq!(
            self.outbox.len_bytes() - before,
            len,
            "the header promised another length"
        );
    }

    /// Queues a ping, so that proxies see traffic and a dead peer is found out.
    pub fn send_ping(&mut self) {
        self.queue_control(Control::Ping, &[]);
    }

    /// Queues a close frame behind everything that is queued; nothing is sent after it. The reason is cut to the 123
    /// bytes that fit. Data is discarded from here on; [`poll_event`](Self::poll_event) tells when the peer has closed
    /// too.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        let reason = cut(reason, CLOSE_REASON_BYTES_MAX);
        let mut payload = Vec::with_capacity(2 + reason.len());
        payload.extend_from_slice(&u16::from(code).to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
        self.queue_close(&payload);
    }

    /// The same connection on another kind of stream: to hand it from one runtime to another, say.
    ///
    /// # Errors
    /// Those of `convert`; the connection is then gone.
    pub fn map_stream<T>(
        self,
        convert: impl FnOnce(S) -> io::Result<T>,
    ) -> io::Result<Connection<T>> {
        Ok(Connection {
            stream: convert(self.stream)?,
            reader: self.reader,
            input: self.input,
            outbox: self.outbox,
            reading: self.reading,
            closing: self.closing,
            pong_due: self.pong_due,
            reply_queued: self.reply_queued,
            pongs_unsent: self.pongs_unsent,
            late_pong: self.late_pong,
            whole_messages: self.whole_messages,
            completed_message: self.completed_message,
        })
    }

    /// How many queued bytes have not left yet, headers and replies included.
    pub fn pending_bytes(&self) -> usize {
        self.outbox.len_bytes()
            + self
                .late_pong
                .as_ref()
                .map_or(0, |payload| payload.len() + 2)
    }

    /// Whether some of what was queued is still in this process: [`poll_flush`](Self::poll_flush) has to be called again.
    pub fn is_blocked(&self) -> bool {
        self.outbox.is_waiting() || self.late_pong.is_some()
    }

    /// What an earlier read found behind its data.
    fn take_due(&mut self) -> Option<Result<Event, ConnectionError>> {
        if mem::take(&mut self.pong_due) {
            return Some(Ok(Event::Pong));
        }
        match mem::replace(&mut self.reading, Reading::Draining) {
            Reading::Failed(violation) => Some(Err(violation.into())),
            Reading::PeerClosed(close) => Some(Ok(Event::PeerClosed {
                code: close.code,
                reason: close.reason,
            })),
            Reading::Ended => {
                self.reading = Reading::Ended;
                Some(Ok(Event::Eof))
            }
            unchanged => {
                self.reading = unchanged;
                None
            }
        }
    }

    /// Goes through the input: answers control frames, and moves the payload together into one slice.
    fn digest(&mut self) -> Option<Bytes> {
        let mut input = mem::take(&mut self.input);
        let is_wanted = !self.closing;
        let mut data = 0..0;
        let mut used_bytes = 0;
        self.completed_message = None;
        while used_bytes < input.len() && self.reads_on() {
            let start = used_bytes;
            match self.next_item(&mut input[start..], &mut used_bytes) {
                Some(Item::Data {
                    range,
                    kind,
                    ends_message,
                }) => {
                    append(
                        &mut input,
                        &mut data,
                        start + range.start..start + range.end,
                    );
                    self.completed_message = (ends_message && self.whole_messages).then_some(kind);
                }
                Some(control) => self.answer(control),
                None => {}
            }
        }
        if used_bytes < input.len() && self.completed_message.is_some() {
            self.input = input.split_off(used_bytes);
        }
        let is_something = !data.is_empty() || self.completed_message.is_some();
        (is_wanted && is_something).then(|| {
            input.truncate(data.end);
            input.advance(data.start);
            input.freeze()
        })
    }

    fn reads_on(&self) -> bool {
        matches!(self.reading, Reading::Open) && self.completed_message.is_none()
    }

    /// One step of the reader. A violation ends the input.
    fn next_item(&mut self, input: &mut [u8], used_bytes: &mut usize) -> Option<Item> {
        match self.reader.read(input) {
            Ok(step) => {
                *used_bytes += step.used_bytes;
                step.item
            }
            Err(_) if self.closing => {
                self.reading = Reading::Draining;
                None
            }
            Err(violation) => {
                self.reading = Reading::Failed(violation);
                None
            }
        }
    }

    fn answer(&mut self, item: Item) {
        match item {
            Item::Ping(payload) if self.pongs_unsent < PONGS_UNSENT_MAX => {
                self.queue_pong(&payload);
            }
            Item::Ping(payload) => self.late_pong = Some(payload.into_boxed_slice()),
            Item::Pong => self.pong_due = true,
            Item::Close(close) => {
                let echo = close.code.map(u16::to_be_bytes);
                self.queue_close(echo.as_ref().map_or(&[], |code| &code[..]));
                self.reply_queued = true;
                self.reading = Reading::PeerClosed(Box::new(close));
            }
            Item::Data { .. } => {}
        }
    }

    fn queue_pong(&mut self, payload: &[u8]) {
        self.queue_control(Control::Pong, payload);
        self.pongs_unsent += 1;
        self.reply_queued = true;
    }

    fn queue_close(&mut self, payload: &[u8]) {
        self.queue_control(Control::Close, payload);
        self.late_pong = None;
        self.closing = true;
    }

    fn queue_control(&mut self, opcode: Control, payload: &[u8]) {
        if !self.closing {
            self.queue_header(OpCode::Control(opcode), payload.len());
            self.outbox.put(payload);
        }
    }

    fn queue_header(&mut self, opcode: OpCode, len: usize) {
        self.outbox.reserve_message(HEADER_BYTES_MAX, len);
        let header = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        // Writing to memory can not fail.
        let _ = header.format(len as u64, &mut self.outbox);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Waits for the next event, reading into the spare room of `arena`, which must be empty and is left empty.
    ///
    /// An arena made with 64 KiB keeps growing by that much, and serves all connections of a thread. Pings are
    /// answered and a close is echoed on the way, and flushed as far as the stream takes it.
    ///
    /// # Errors
    /// [`ConnectionError::Protocol`] once, after all data before the violation. The caller then calls
    /// [`close`](Self::close) and polls on: as after [`Event::PeerClosed`], everything is discarded, the sending
    /// direction ends behind the close frame, and [`Event::Eof`] follows when the peer ends its own.
    pub fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        arena: &mut BytesMut,
    ) -> Poll<Result<Event, ConnectionError>> {
        let event = self.poll_next(cx, arena);
        let data_first = matches!(event, Poll::Ready(Ok(Event::Data(_))));
        if self.reply_queued && !data_first {
            self.reply_queued = false;
            if let (Poll::Ready(Err(error)), Poll::Pending) = (self.poll_flush(cx), &event) {
                return Poll::Ready(Err(error.into()));
            }
        }
        event
    }

    /// Sends one binary message of `len` bytes, made of all the pieces: writes it as far as the stream takes it, and
    /// queues the rest. Ignored once the connection is closing.
    pub fn write_binary<'a>(
        &mut self,
        cx: &mut Context<'_>,
        pieces: impl Iterator<Item = Piece<'a>> + Clone,
        len: usize,
    ) {
        if self.closing {
            return;
        }
        let mut room = [0; HEADER_BYTES_MAX];
        let mut rest = &mut room[..];
        let header = FrameHeader {
            opcode: OpCode::Data(Data::Binary),
            ..FrameHeader::default()
        };
        // The room is enough for any header.
        let _ = header.format(len as u64, &mut rest);
        let header_bytes = HEADER_BYTES_MAX - rest.len();
        let header = iter::once(Piece::Copied(&room[..header_bytes]));
        // The pieces live longer than the header does; a chain wants them alike.
        let pieces = header.chain(pieces.map(|piece: Piece<'a>| -> Piece<'_> { piece }));
        self.outbox
            .write_or_push(Pin::new(&mut self.stream), cx, pieces, header_bytes + len);
    }

    /// Writes what is queued; ready when all of it has left.
    ///
    /// # Errors
    /// The stream's, after which the connection is of no use.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.outbox.poll_write(Pin::new(&mut self.stream), cx))?;
            self.pongs_unsent = 0;
            match self.late_pong.take() {
                Some(payload) => self.queue_pong(&payload),
                None => return self.outbox.poll_flush(Pin::new(&mut self.stream), cx),
            }
        }
    }

    /// Flushes, then ends the sending direction of the stream; for a caller that will not poll for events any more.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        arena: &mut BytesMut,
    ) -> Poll<Result<Event, ConnectionError>> {
        loop {
            if let Some(due) = self.take_due() {
                return Poll::Ready(due);
            }
            self.poll_end_sending(cx);
            if self.input.is_empty() && ready!(self.poll_read(cx, arena))? == 0 {
                self.reading = Reading::Ended;
            } else if let Some(data) = self.digest() {
                return Poll::Ready(Ok(Event::Data(data)));
            }
        }
    }

    fn poll_end_sending(&mut self, cx: &mut Context<'_>) {
        // An error here is found again by the read that follows.
        if self.closing
            && matches!(self.reading, Reading::Draining)
            && self.poll_shutdown(cx).is_ready()
        {
            self.reading = Reading::Shut;
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, arena: &mut BytesMut) -> Poll<io::Result<usize>> {
        let read = ready!(arena::poll_read(&mut self.stream, cx, arena))?;
        let read_bytes = read.len();
        if read_bytes > 0 {
            self.input = read;
        }
        Poll::Ready(Ok(read_bytes))
    }
}

/// The longest beginning of at most so many bytes that cuts no character.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Moves a piece down to the end of the data before it. The first piece stays where it is.
fn append(input: &mut [u8], data: &mut Range<usize>, piece: Range<usize>) {
    if data.start == data.end {
        *data = piece;
    } else if !piece.is_empty() {
        let end = data.end + piece.len();
        input.copy_within(piece, data.end);
        data.end = end;
    }
}

#[cfg(test)]
mod tests;
