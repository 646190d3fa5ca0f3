//! As little of an MQTT 3.1.1 client over WebSocket as load needs, so that the load costs less than what it measures.
//!
//! Packets are ready-made bytes; what comes in is cut into packets without being copied.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The sending half.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: OwnedWriteHalf,
    frame: Vec<u8>,
}

/// The receiving half.
#[derive(Debug)]
pub(crate) struct Receiver {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    /// What is left of the frame that is arriving, and the header of the next one as far as it is here.
    frame_left: usize,
    header: Vec<u8>,
    /// Bytes of WebSocket payload that are not packets yet.
    packets: Vec<u8>,
}

/// Opens a WebSocket and connects with a clean session.
pub(crate) async fn connect(
    address: &str,
    path: &str,
    client_id: &str,
) -> io::Result<(Sender, Receiver)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    if !answer.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other(
            String::from_utf8_lossy(&answer).into_owned(),
        ));
    }
    let (read, write) = stream.into_split();
    let mut sender = Sender {
        stream: write,
        frame: Vec::new(),
    };
    let mut receiver = Receiver {
        stream: read,
        buffer: vec![0; 64 << 10],
        frame_left: 0,
        header: Vec::new(),
        packets: Vec::new(),
    };
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    field(&mut body, client_id.as_bytes());
    sender.send(&packet(0x10, &body)).await?;
    receiver.expect(0x20).await?;
    Ok((sender, receiver))
}

impl Sender {
    /// Sends packets as one WebSocket message. The mask is zero, as RFC 6455 allows a test client to choose it.
    pub(crate) async fn send(&mut self, packets: &[u8]) -> io::Result<()> {
        self.frame.clear();
        self.frame.push(0x82);
        match packets.len() {
            short @ 0..=125 => self.frame.push(0x80 | short as u8),
            medium @ 126..=0xffff => {
                self.frame.push(0x80 | 126);
                self.frame.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                self.frame.push(0x80 | 127);
                self.frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        self.frame.extend_from_slice(&[0; 4]);
        self.frame.extend_from_slice(packets);
        self.stream.write_all(&self.frame).await
    }
}

impl Receiver {
    /// Waits for more, then hands over every whole packet: its first byte and its body.
    pub(crate) async fn receive(&mut self, mut visit: impl FnMut(u8, &[u8])) -> io::Result<()> {
        let read = self.stream.read(&mut self.buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unframe(read);
        let mut rest = self.packets.as_slice();
        while let Some((first, body, after)) = split_packet(rest) {
            visit(first, body);
            rest = after;
        }
        let used = self.packets.len() - rest.len();
        self.packets.drain(..used);
        Ok(())
    }

    /// Waits for a packet of this type.
    pub(crate) async fn expect(&mut self, first: u8) -> io::Result<()> {
        let mut found = false;
        while !found {
            self.receive(|got, _| found |= got & 0xf0 == first & 0xf0)
                .await?;
        }
        Ok(())
    }

    /// Takes the payload of binary frames out of what was read.
    fn unframe(&mut self, read: usize) {
        let mut at = 0;
        while at < read {
            if self.frame_left == 0 {
                self.header.push(self.buffer[at]);
                at += 1;
                if let Some(length) = frame_length(&self.header) {
                    self.frame_left = length;
                    self.header.clear();
                }
                continue;
            }
            let now = self.frame_left.min(read - at);
            self.packets.extend_from_slice(&self.buffer[at..at + now]);
            self.frame_left -= now;
            at += now;
        }
    }
}

/// The payload length of a frame from a server, once its header is whole. Pings have no payload here, so they vanish.
fn frame_length(header: &[u8]) -> Option<usize> {
    let short = usize::from(header.get(1)? & 0x7f);
    let long = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    match short {
        126 => header.get(2..4).map(long),
        127 => header.get(2..10).map(long),
        _ => Some(short),
    }
}

/// A packet: first byte, remaining length, body.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let more = if left > 127 { 0x80 } else { 0 };
        packet.push((left & 0x7f) as u8 | more);
        left >>= 7;
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// A field with a 16-bit length.
pub(crate) fn field(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    body.extend_from_slice(bytes);
}

/// The first whole packet: first byte, body, and what is behind it.
fn split_packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let mut length = 0;
    for index in 0..4 {
        let byte = *rest.get(index)?;
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let body = rest.get(index + 1..)?;
            return (body.len() >= length).then(|| {
                let (body, after) = body.split_at(length);
                (*first, body, after)
            });
        }
    }
    None
}
