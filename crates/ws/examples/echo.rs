//! A WebSocket server that sends every message back as it came, for conformance suites such as Autobahn.
//!
//! It is the transport of the broker with one difference: text is accepted, and the borders of messages are kept. The
//! whole message is gathered here, in the example, because the echo is one message too.
//!
//! ```text
//! cargo run --release -p weir-ws --example echo -- 127.0.0.1:9001
//! ```

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use weir_ws::{CloseCode, Connection, ConnectionError, Event, HandshakeConfig, Outcome, handshake};

/// Above this much unsent, no more is read: a client that never reads is not to fill the memory.
const PENDING_BYTES_MAX: usize = 1024 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("echo on ws://{}/", listener.local_addr()?);
    LocalSet::new().run_until(accept(listener)).await?;
    Ok(())
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("{error}");
            }
        });
    }
}

async fn serve(stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let config = HandshakeConfig {
        paths: ["/".to_owned()].into(),
        allow_missing_subprotocol: true,
        max_header_bytes: 32 * 1024,
        ..HandshakeConfig::default()
    };
    let page =
        |_: &http::Request<()>| http::Response::new(Bytes::from_static(b"a WebSocket echo\n"));
    match handshake(stream, &config, page).await? {
        Outcome::Upgraded(accepted) => Ok(echo(accepted.connection).await?),
        Outcome::Deferred { refusal, .. } => Err(refusal.into()),
        Outcome::Answered { refusal } => Ok(refusal.map_or(Ok(()), Err)?),
    }
}

async fn echo(mut connection: Connection<TcpStream>) -> io::Result<()> {
    let mut arena = BytesMut::with_capacity(64 * 1024);
    let mut message = Vec::new();
    connection.keep_messages();
    loop {
        match next_event(&mut connection, &mut arena).await {
            Ok(Event::Data(piece)) => {
                message.push(piece);
                if let Some(kind) = connection.completed_message() {
                    let len = message.iter().map(Bytes::len).sum();
                    connection.send_message(kind, message.drain(..), len);
                }
            }
            Ok(Event::Pong | Event::PeerClosed { .. }) => {}
            Ok(Event::Eof) => return Ok(()),
            Err(ConnectionError::Io(error)) => return Err(error),
            Err(error) => {
                connection.close(
                    error.close_code().unwrap_or(CloseCode::Protocol),
                    &error.to_string(),
                );
            }
        }
    }
}

/// The next event, writing what is queued on the side. Nothing is read while too much waits.
async fn next_event(
    connection: &mut Connection<TcpStream>,
    arena: &mut BytesMut,
) -> Result<Event, ConnectionError> {
    poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = connection.poll_flush(cx) {
            return Poll::Ready(Err(error.into()));
        }
        if connection.pending_bytes() > PENDING_BYTES_MAX {
            return Poll::Pending;
        }
        connection.poll_event(cx, arena)
    })
    .await
}
