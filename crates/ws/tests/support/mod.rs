//! A listener on the loopback with this crate behind it, and raw requests to put to it.
//!
//! Server and client run in one task, so that the server's outcome is at hand beside the answer that the client saw.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_ws::{
    Accepted, Connection, ConnectionError, Event, HandshakeConfig, HandshakeError, Outcome,
    handshake,
};

pub(crate) type ServerOutcome = Result<Outcome<TcpStream>, HandshakeError>;

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A complete, good request.
pub(crate) const GOOD: &[&str] = &[
    "GET /mqtt HTTP/1.1",
    "Host: localhost:8083",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: mqtt",
];

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("an answer in UTF-8");
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer in {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

pub(crate) fn config() -> HandshakeConfig {
    HandshakeConfig {
        paths: ["/".to_owned(), "/mqtt".to_owned()].into(),
        allow_missing_subprotocol: false,
        max_header_bytes: 33 * 1024,
        ..HandshakeConfig::default()
    }
}

/// The good request with lines replaced by name (the text up to the colon or blank), removed, or added.
pub(crate) fn request(changes: &[(&str, Option<&str>)]) -> Vec<u8> {
    let name = |line: &str| line.split([':', ' ']).next().unwrap_or_default().to_owned();
    let mut lines: Vec<String> = GOOD.iter().map(|line| (*line).to_owned()).collect();
    for (changed, line) in changes {
        let place = lines.iter().position(|line| name(line) == *changed);
        match (place, line) {
            (Some(place), Some(line)) => lines[place] = (*line).to_owned(),
            (Some(place), None) => drop(lines.remove(place)),
            (None, Some(line)) => lines.push((*line).to_owned()),
            (None, None) => panic!("{changed} is not there"),
        }
    }
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

fn respond(request: &Request<()>) -> Response<Bytes> {
    Response::new(Bytes::from(format!("page at {}", request.uri().path())))
}

pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (accepted, connected) = tokio::join!(listener.accept(), TcpStream::connect(address));
    (
        accepted.expect("a server side").0,
        connected.expect("a client side"),
    )
}

/// Puts bytes to a server and reads all that comes back: up to the end, or the head of a 101.
pub(crate) async fn exchange(
    config: &HandshakeConfig,
    request: &[u8],
) -> (Vec<u8>, ServerOutcome, TcpStream) {
    let (server, mut client) = pair().await;
    let client_side = async {
        client
            .write_all(request)
            .await
            .expect("the request is taken");
        let answer = read_answer(&mut client).await;
        if !answer.starts_with(b"HTTP/1.1 101") {
            // A client that stays would be waited for; that it may leave without an answer is of no interest here.
            let _ = client.shutdown().await;
        }
        (answer, client)
    };
    let (outcome, (answer, client)) = tokio::join!(handshake(server, config, respond), client_side);
    (answer, outcome, client)
}

async fn read_answer(client: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    while !(answer.starts_with(b"HTTP/1.1 101") && answer.ends_with(b"\r\n\r\n")) {
        let len = client
            .read_buf(&mut answer)
            .await
            .expect("an answer, not a reset");
        if len == 0 {
            break;
        }
    }
    answer
}

pub(crate) async fn answer_to(config: &HandshakeConfig, request: &[u8]) -> (Answer, ServerOutcome) {
    let (bytes, outcome, _) = exchange(config, request).await;
    (Answer::parse(&bytes), outcome)
}

pub(crate) fn accepted(outcome: ServerOutcome) -> Accepted<TcpStream> {
    match outcome {
        Ok(Outcome::Upgraded(accepted)) => accepted,
        other => panic!("not upgraded: {other:?}"),
    }
}

/// A server connection with the raw client behind an upgrade.
pub(crate) async fn upgraded() -> (Connection<TcpStream>, TcpStream) {
    let (_, outcome, client) = exchange(&config(), &request(&[])).await;
    (accepted(outcome).connection, client)
}

/// Serves any number of requests with an upgrade at the end.
pub(crate) async fn serve(server: TcpStream) -> ServerOutcome {
    handshake(server, &config(), respond).await
}

pub(crate) async fn next_event(
    connection: &mut Connection<TcpStream>,
    arena: &mut BytesMut,
) -> Result<Event, ConnectionError> {
    poll_fn(|cx| connection.poll_event(cx, arena)).await
}

/// A frame from a client, masked.
pub(crate) fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0xA1, 0x00, 0xFF, 0x5C];
    let mut bytes = vec![first_byte];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(len).expect("a short frame").to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}
