//! The HTTP part of a connection: any bytes on a fresh stream.
//!
//! No panic and no hang once the peer has ended its side; whoever sent anything that looks like a request is answered,
//! and what is answered is HTTP with a status that this server uses.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use weir_ws::{HandshakeConfig, Outcome};

use crate::choices::Choices;

const STATUSES: [u16; 11] = [101, 200, 400, 403, 404, 405, 408, 413, 414, 426, 431];

/// Serves `data`; its first byte says whether it is completed to an upgrade.
pub fn handshake(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut request = match choices.below(3) {
        0 => Vec::new(),
        1 => b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\n".to_vec(),
        _ => UPGRADE.to_vec(),
    };
    request.extend_from_slice(choices.rest());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let (answer, upgraded) = runtime.block_on(served(&request));
    check(&answer, upgraded);
}

const UPGRADE: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What the peer was sent, and whether the stream is a WebSocket.
async fn served(request: &[u8]) -> (Vec<u8>, bool) {
    let (mut peer, stream) = duplex(1 << 20);
    let config = HandshakeConfig {
        paths: ["/".to_owned(), "/mqtt".to_owned()].into(),
        allow_missing_subprotocol: request.len().is_multiple_of(2),
        max_header_bytes: 16 << 10,
        ..HandshakeConfig::default()
    };
    let page = |_: &http::Request<()>| http::Response::new(Bytes::from_static(b"a page"));
    peer.write_all(&request[..request.len().min(1 << 19)])
        .await
        .expect("an open pipe");
    peer.shutdown().await.expect("an open pipe");
    let outcome = weir_ws::handshake(stream, &config, page).await;
    let upgraded = matches!(outcome, Ok(Outcome::Upgraded(_)));
    drop(outcome);
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).await.expect("an open pipe");
    (answer, upgraded)
}

fn check(answer: &[u8], upgraded: bool) {
    if answer.is_empty() {
        return assert!(!upgraded, "upgraded without an answer");
    }
    let text = String::from_utf8_lossy(answer);
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .or(text.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|text| text.get(..3)?.parse::<u16>().ok());
    let status = status.unwrap_or_else(|| panic!("not HTTP: {text:?}"));
    assert!(STATUSES.contains(&status), "status {status}");
    if upgraded {
        assert!(text.contains("HTTP/1.1 101 "), "upgraded with {text:?}");
    }
}
