//! One connection of the floor: the upgrade, frames that are taken as they come, and what its socket did not take.

use super::HEADER_BYTES;
use mio::net::TcpStream;
use std::io::Write;

/// The answer to the generator's key, which is always the same.
const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Where its messages go, once it has published.
    pub(super) channel: Option<usize>,
    is_upgraded: bool,
    /// What is not a whole frame yet.
    input: Vec<u8>,
    unsent: Vec<u8>,
    /// How much of it is written.
    written_bytes: usize,
}

/// What a frame held.
pub(super) enum Heard<'a> {
    Subscribe(&'a [u8]),
    Publishes(&'a [u8]),
    Retained(&'a [u8]),
    Disconnect,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            channel: None,
            is_upgraded: false,
            input: Vec::new(),
            unsent: Vec::new(),
            written_bytes: 0,
        }
    }

    /// Takes what was read: answers CONNECT and SUBSCRIBE, hands on the rest, all frames that belong together at once.
    pub(super) fn hear(&mut self, read: &[u8], mut heard: impl FnMut(Option<usize>, Heard<'_>)) {
        let mut input = std::mem::take(&mut self.input);
        let whole = if input.is_empty() {
            read
        } else {
            input.extend_from_slice(read);
            &input
        };
        let mut rest = whole;
        if !self.is_upgraded {
            if !rest.ends_with(b"\r\n\r\n") {
                self.input = rest.to_vec();
                return;
            }
            self.is_upgraded = true;
            rest = &[];
            self.write(UPGRADED);
        }
        while let Some((payload, after)) = split(rest) {
            rest = after;
            match payload.first().map(|first| first & 0xf0) {
                Some(0x10) => self.write(&[0x82, 4, 0x20, 2, 0, 0]),
                Some(0x80) => {
                    self.write(&[0x82, 5, 0x90, 3, payload[2], payload[3], 0]);
                    heard(None, Heard::Subscribe(&payload[6..payload.len() - 1]));
                }
                Some(0x30) if payload[0] & 1 != 0 => heard(None, Heard::Retained(payload)),
                Some(0xe0) => heard(None, Heard::Disconnect),
                _ => heard(self.channel, Heard::Publishes(payload)),
            }
        }
        self.input = rest.to_vec();
    }

    /// Writes, or keeps what the socket does not take.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(_) => break,
            }
        }
        self.unsent.extend_from_slice(rest);
    }

    /// The socket takes more.
    pub(super) fn write_on(&mut self) {
        while let Some(rest) = self.unsent.get(self.written_bytes..)
            && !rest.is_empty()
        {
            match self.stream.write(rest) {
                Ok(written_bytes) => self.written_bytes += written_bytes,
                Err(_) => return,
            }
        }
        self.unsent.clear();
        self.written_bytes = 0;
    }
}

/// Puts the header of a frame into the room in front of its payload.
pub(super) fn frame(bytes: &mut [u8]) -> &[u8] {
    let payload_bytes = bytes.len() - HEADER_BYTES;
    let mut header = vec![0x82];
    match payload_bytes {
        0..=125 => header.push(payload_bytes as u8),
        126..=0xffff => {
            header.push(126);
            header.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
    let start = HEADER_BYTES - header.len();
    bytes[start..HEADER_BYTES].copy_from_slice(&header);
    &bytes[start..]
}

/// The payload of the first whole frame, whose mask is zero, and what is behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length_bytes, short) = match bytes.get(1)? & 0x7f {
        126 => (2, 0),
        127 => (8, 0),
        short => (0, usize::from(short)),
    };
    let long = bytes.get(2..2 + length_bytes)?;
    let payload_bytes = long
        .iter()
        .fold(short, |sum, byte| sum << 8 | usize::from(*byte));
    bytes
        .get(2 + length_bytes + 4..)?
        .split_at_checked(payload_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_where_its_header_says() {
        let mut bytes = vec![7; HEADER_BYTES + 300];
        assert_eq!(frame(&mut bytes)[..4], [0x82, 126, 1, 44]);
        let masked = b"\x82\x82\0\0\0\0ab\x82";
        assert_eq!(split(masked), Some((&b"ab"[..], &b"\x82"[..])));
        assert_eq!(split(&masked[..7]), None);
    }
}
