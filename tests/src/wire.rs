//! A peer that speaks HTTP and WebSocket frames byte by byte, rightly or wrongly as the test asks.
//!
//! No library sends what a broken or hostile client sends, so this one has none below it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Broker, PATIENCE};

/// The opcodes of RFC 6455.
pub mod opcode {
    #![allow(missing_docs)]
    pub const CONTINUATION: u8 = 0x0;
    pub const TEXT: u8 = 0x1;
    pub const BINARY: u8 = 0x2;
    pub const CLOSE: u8 = 0x8;
    pub const PING: u8 = 0x9;
    pub const PONG: u8 = 0xa;
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A TCP connection to the broker.
pub struct Wire {
    stream: TcpStream,
}

/// An answer to an HTTP request.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, where Content-Length announced one.
    pub body: String,
}

/// A WebSocket frame from the broker.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Wire {
    /// Opens a TCP connection and says nothing.
    pub async fn open(broker: &Broker) -> Self {
        Self::open_at(broker.address()).await
    }

    /// Opens a TCP connection to an address.
    pub async fn open_at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an open socket");
        Self { stream }
    }

    /// Opens a connection and upgrades it to a WebSocket of subprotocol `mqtt`.
    pub async fn upgraded(broker: &Broker) -> Self {
        let mut wire = Self::open(broker).await;
        let reply = wire
            .upgrade("/mqtt", &["Sec-WebSocket-Protocol: mqtt"])
            .await;
        assert_eq!(reply.status, 101, "{reply:?}");
        wire
    }

    /// Asks for an upgrade with these further headers.
    pub async fn upgrade(&mut self, path: &str, headers: &[&str]) -> Reply {
        let usual = ["Sec-WebSocket-Version: 13"];
        let version = headers.iter().any(|header| header.contains("-Version:"));
        let usual = if version { &[][..] } else { &usual[..] };
        let key = format!("Sec-WebSocket-Key: {KEY}");
        let upgrade = ["Connection: Upgrade", "Upgrade: websocket", &key];
        self.request("GET", path, &[&upgrade, usual, headers].concat())
            .await
    }

    /// Sends a request and reads the answer.
    pub async fn request(&mut self, method: &str, path: &str, headers: &[&str]) -> Reply {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        self.write(text.as_bytes()).await;
        self.reply(method == "HEAD").await
    }

    /// Reads one answer to a request; that to a HEAD has no body.
    pub async fn reply(&mut self, head_only: bool) -> Reply {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(
                self.byte()
                    .await
                    .expect("the connection ended inside a reply"),
            );
        }
        let head = String::from_utf8(head).expect("a text head");
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let mut reply = Reply {
            status: status.expect("a status"),
            headers: headers.collect(),
            body: String::new(),
        };
        let length = reply
            .header("content-length")
            .and_then(|text| text.parse().ok());
        if let (Some(length), false) = (length, head_only) {
            reply.body = String::from_utf8(self.exactly(length).await).expect("a text body");
        }
        reply
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("the connection takes bytes");
    }

    /// Sends bytes and does not mind if the peer has gone.
    pub async fn write_anyway(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends a masked frame; `first` is FIN, the reserved bits and the opcode.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) {
        let bytes = masked(first, payload);
        self.write(&bytes).await;
    }

    /// Sends a whole binary message in one frame.
    pub async fn binary(&mut self, payload: &[u8]) {
        self.frame(0x80 | opcode::BINARY, payload).await;
    }

    /// Reads the next frame, which must not be masked.
    pub async fn next_frame(&mut self) -> Frame {
        let header = self.exactly(2).await;
        assert_eq!(header[1] & 0x80, 0, "a server's frame is masked");
        let length = match header[1] {
            126 => u64::from(u16::from_be_bytes(self.array().await)),
            127 => u64::from_be_bytes(self.array().await),
            length => u64::from(length),
        };
        let length = usize::try_from(length).expect("a frame that fits memory");
        Frame {
            first: header[0],
            payload: self.exactly(length).await,
        }
    }

    /// Reads frames until a close frame, and gives its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            let frame = self.next_frame().await;
            if frame.first == 0x80 | opcode::CLOSE {
                let (code, reason) = frame.payload.split_at(2);
                let code = u16::from_be_bytes([code[0], code[1]]);
                return (code, String::from_utf8_lossy(reason).into_owned());
            }
        }
    }

    /// Waits for the end of the connection, reading whatever still comes.
    pub async fn ended(&mut self) {
        while self.byte().await.is_some() {}
    }

    /// Whether nothing arrives for a while.
    pub async fn silent(&mut self, time: Duration) -> bool {
        let mut byte = [0];
        timeout(time, self.stream.peek(&mut byte)).await.is_err()
    }

    /// The next byte, or `None` at the end of the connection.
    async fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        let read = timeout(PATIENCE, self.stream.read(&mut byte)).await;
        matches!(read.expect("the broker sends in time"), Ok(1)).then_some(byte[0])
    }

    async fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let read = timeout(PATIENCE, self.stream.read_exact(&mut array)).await;
        read.expect("the broker sends in time")
            .expect("an open connection");
        array
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await;
        read.expect("the broker sends in time")
            .expect("an open connection");
        bytes
    }
}

impl Reply {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Frame {
    /// A final binary frame, as the broker sends packets.
    pub fn binary(payload: &[u8]) -> Self {
        Self {
            first: 0x80 | opcode::BINARY,
            payload: payload.to_vec(),
        }
    }
}

/// A masked frame as bytes, for tests that cut or corrupt it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}
