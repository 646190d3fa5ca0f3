//! One client's connection: WebSocket or plain TCP, as cheap as it can be, so that load costs less than what it
//! measures.
//!
//! What comes in is read into one buffer that all clients share and cut into packets where it lies; only the beginning of
//! a packet that is not whole yet is kept. The mask of what goes out is zero, as RFC 6455 leaves it to the client.

use crate::address::{Address, Stream};
use crate::packets::{self, Level, kind};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split};

/// Room for one read of any client.
const READ_BYTES: usize = 256 << 10;

thread_local! {
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// How a client says hello.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) level: Level,
    pub(crate) client_id: &'a str,
    pub(crate) clean: bool,
}

impl<'a> Hello<'a> {
    /// A client of 3.1.1 with a clean session.
    pub(crate) fn new(client_id: &'a str) -> Self {
        Self {
            level: Level::V3_1_1,
            client_id,
            clean: true,
        }
    }
}

/// The sending half.
pub(crate) struct Sender {
    stream: WriteHalf<Stream>,
    is_framed: bool,
    frame: Vec<u8>,
    /// What the broker allows; 0 in 3.1.1.
    pub(crate) topic_alias_maximum: u16,
}

/// The receiving half.
pub(crate) struct Receiver {
    stream: ReadHalf<Stream>,
    frames: Option<Frames>,
    /// The beginning of a packet.
    rest: Vec<u8>,
}

/// Opens a connection and an MQTT session on it.
pub(crate) async fn connect(address: &Address, hello: Hello<'_>) -> io::Result<(Sender, Receiver)> {
    resume(address, hello, |_, _| {}).await
}

/// The same for a session that may be there already: visits what comes in one piece with CONNACK.
pub(crate) async fn resume(
    address: &Address,
    hello: Hello<'_>,
    visit: impl FnMut(u8, &[u8]),
) -> io::Result<(Sender, Receiver)> {
    let mut stream = address.open().await?;
    if let Some(path) = &address.path {
        upgrade(&mut stream, &address.authority, path).await?;
    }
    let (read, write) = split(stream);
    let mut sender = Sender {
        stream: write,
        is_framed: address.path.is_some(),
        frame: Vec::new(),
        topic_alias_maximum: 0,
    };
    let mut receiver = Receiver {
        stream: read,
        frames: address.path.is_some().then(Frames::default),
        rest: Vec::new(),
    };
    let connect = packets::connect(hello.level, hello.client_id, hello.clean);
    sender.send(&connect).await?;
    let connack = receiver.expect_before(kind::CONNACK, visit).await?;
    match connack.get(1) {
        Some(0) => {
            sender.topic_alias_maximum = packets::topic_alias_maximum(hello.level, &connack);
            Ok((sender, receiver))
        }
        code => Err(io::Error::other(format!("CONNACK {code:?}"))),
    }
}

async fn upgrade(stream: &mut Stream, host: &str, path: &str) -> io::Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    if answer.starts_with(b"HTTP/1.1 101") {
        return Ok(());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&answer).into_owned(),
    ))
}

impl Sender {
    /// Sends packets, over WebSocket as one message.
    pub(crate) async fn send(&mut self, packets: &[u8]) -> io::Result<()> {
        if !self.is_framed {
            return self.flush(packets).await;
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        frame.push(0x82);
        match packets.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            medium @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(packets);
        let sent = self.flush(&frame).await;
        self.frame = frame;
        sent
    }

    /// Gives back what a large message has left behind.
    pub(crate) fn shrink(&mut self) {
        self.frame = Vec::new();
    }

    async fn flush(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

impl Receiver {
    /// Waits for more, then hands over every whole packet: its first byte and its body.
    ///
    /// # Errors
    /// Those of the stream, and [`io::ErrorKind::UnexpectedEof`] when the broker has closed.
    pub(crate) async fn receive(&mut self, mut visit: impl FnMut(u8, &[u8])) -> io::Result<()> {
        poll_fn(|cx| {
            ROOM.with_borrow_mut(|room| {
                let mut room = ReadBuf::new(room);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
                let read = room.filled_mut();
                let is_open = !read.is_empty() && self.take(read, &mut visit);
                let end = || io::Error::from(io::ErrorKind::UnexpectedEof);
                is_open.then_some(()).ok_or_else(end).into()
            })
        })
        .await
    }

    /// Waits for a packet of this kind and returns its body.
    pub(crate) async fn expect(&mut self, first: u8) -> io::Result<Vec<u8>> {
        self.expect_before(first, |_, _| {}).await
    }

    /// The same; visits the others that come with it.
    async fn expect_before(
        &mut self,
        first: u8,
        mut visit: impl FnMut(u8, &[u8]),
    ) -> io::Result<Vec<u8>> {
        let mut found = None;
        loop {
            self.receive(|got, body| {
                if got & 0xf0 == first & 0xf0 && found.is_none() {
                    found = Some(body.to_vec());
                } else {
                    visit(got, body);
                }
            })
            .await?;
            if let Some(body) = found {
                return Ok(body);
            }
        }
    }

    /// Gives back what a large packet has left behind.
    pub(crate) fn shrink(&mut self) {
        self.rest.shrink_to_fit();
    }

    /// Reads until the broker closes; what comes is not looked at.
    pub(crate) async fn ignore(mut self) {
        while self.receive(|_, _| {}).await.is_ok() {}
    }

    /// Returns whether the connection goes on.
    fn take(&mut self, read: &mut [u8], visit: &mut impl FnMut(u8, &[u8])) -> bool {
        let Some(frames) = &mut self.frames else {
            cut(&mut self.rest, read, visit);
            return true;
        };
        let data_bytes = frames.unframe(read);
        cut(&mut self.rest, &read[..data_bytes], visit);
        !frames.is_closed
    }
}

/// Visits the whole packets of what was kept and what has come; keeps the rest.
fn cut(rest: &mut Vec<u8>, data: &[u8], visit: &mut impl FnMut(u8, &[u8])) {
    if rest.is_empty() {
        let after = visit_all(data, visit);
        rest.extend_from_slice(after);
        return;
    }
    rest.extend_from_slice(data);
    let after_bytes = visit_all(rest, visit).len();
    rest.drain(..rest.len() - after_bytes);
    if rest.is_empty() {
        *rest = Vec::new();
    }
}

fn visit_all<'a>(mut data: &'a [u8], visit: &mut impl FnMut(u8, &[u8])) -> &'a [u8] {
    while let Some((first, body, after)) = packets::split(data) {
        visit(first, body);
        data = after;
    }
    data
}

/// The place inside the frames of a server, which are not masked.
#[derive(Debug, Default)]
struct Frames {
    header: Vec<u8>,
    left_bytes: usize,
    is_data: bool,
    is_closed: bool,
}

impl Frames {
    /// Moves the payload of data frames together at the front and returns how much it is.
    fn unframe(&mut self, read: &mut [u8]) -> usize {
        let (mut at, mut end) = (0, 0);
        while at < read.len() {
            if self.left_bytes == 0 {
                self.header.push(read[at]);
                at += 1;
                if let Some(payload_bytes) = payload_bytes(&self.header) {
                    self.left_bytes = payload_bytes;
                    let opcode = self.header[0] & 0x0f;
                    self.is_data = opcode <= 2;
                    self.is_closed |= opcode == 8;
                    self.header.clear();
                }
                continue;
            }
            let now = self.left_bytes.min(read.len() - at);
            if self.is_data {
                read.copy_within(at..at + now, end);
                end += now;
            }
            self.left_bytes -= now;
            at += now;
        }
        end
    }
}

/// The payload length of a frame, once its header is whole.
fn payload_bytes(header: &[u8]) -> Option<usize> {
    let long = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    match header.get(1)? & 0x7f {
        126 => header.get(2..4).map(long),
        127 => header.get(2..10).map(long),
        short => Some(usize::from(short)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_wherever_frames_and_reads_are_cut() {
        // A PUBACK over two frames, a ping between them, and a second PUBACK.
        let bytes = b"\x82\x02\x40\x02\x89\x00\x82\x06\x00\x07\x40\x02\x00\x08".to_vec();
        for cut_at in 0..=bytes.len() {
            let (mut frames, mut rest, mut seen) = (Frames::default(), Vec::new(), Vec::new());
            for part in [&bytes[..cut_at], &bytes[cut_at..]] {
                let mut part = part.to_vec();
                let data_bytes = frames.unframe(&mut part);
                cut(&mut rest, &part[..data_bytes], &mut |first, body| {
                    seen.push((first, body.to_vec()));
                });
            }
            assert_eq!(seen, [(0x40, vec![0, 7]), (0x40, vec![0, 8])]);
        }
    }
}
