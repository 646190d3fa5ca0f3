//! How much resident memory an idle connection costs, on this crate's `Connection` or tokio-tungstenite's stream.
//!
//! Server and clients are two processes, so that only the server is measured: the example starts itself again as the
//! client. Each connection receives one message and then waits for another. The figure is the growth of the resident set
//! over the last nine tenths of the connections, divided by their number.
//!
//! ```text
//! cargo run --release -p weir-ws --example idle -- weir|tungstenite|tungstenite-4k CONNECTIONS MESSAGE_BYTES
//! ```

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::poll_fn;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use weir_ws::{Connection, Event, HandshakeConfig, Outcome, handshake};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match &arguments[1..] {
        [role, address, count, len] if role == "client" => {
            runtime.block_on(client(address.parse()?, count.parse()?, len.parse()?))
        }
        [kind, count, len] => {
            LocalSet::new().block_on(&runtime, server(kind, count.parse()?, len.parse()?))
        }
        _ => Err("usage: idle weir|tungstenite|tungstenite-4k CONNECTIONS MESSAGE_BYTES".into()),
    }
}

/// What the tasks of the server share.
struct Shard {
    kind: String,
    message_bytes: usize,
    arena: RefCell<BytesMut>,
    /// Connections that have read their first message and wait for another.
    idle: Cell<usize>,
}

async fn server(kind: &str, count: usize, message_bytes: usize) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let mut client = Command::new(std::env::current_exe()?)
        .args([
            "client",
            &address,
            &count.to_string(),
            &message_bytes.to_string(),
        ])
        .stdin(Stdio::piped())
        .spawn()?;
    let arena = RefCell::new(BytesMut::with_capacity(64 * 1024));
    let shard = Rc::new(Shard {
        kind: kind.to_owned(),
        message_bytes,
        arena,
        idle: Cell::new(0),
    });
    // The first tenth warms up the allocator and everything that is lazy.
    accept(&listener, &shard, count / 10).await?;
    let before = resident_bytes()?;
    accept(&listener, &shard, count).await?;
    let measured = count - count / 10;
    let bytes = (resident_bytes()? - before) / measured;
    println!(
        "{kind}: {bytes} resident bytes per idle connection, after one message of {message_bytes}"
    );
    drop(client.stdin.take());
    client.wait()?;
    Ok(())
}

/// Accepts until so many connections are idle.
async fn accept(
    listener: &TcpListener,
    shard: &Rc<Shard>,
    count: usize,
) -> Result<(), Box<dyn Error>> {
    while shard.idle.get() < count {
        tokio::select! {
            accepted = listener.accept() => {
                let shard = shard.clone();
                let stream = accepted?.0;
                spawn_local(async move { open(stream, shard).await });
            }
            () = tokio::task::yield_now() => {}
        }
    }
    Ok(())
}

/// The handshake, in a task of its own: what it needs is freed before the connection's task begins.
async fn open(stream: TcpStream, shard: Rc<Shard>) {
    let config = HandshakeConfig {
        paths: ["/".to_owned()].into(),
        allow_missing_subprotocol: false,
        max_header_bytes: 32 * 1024,
        ..HandshakeConfig::default()
    };
    let answer = |_: &http::Request<()>| http::Response::new(Bytes::new());
    if shard.kind == "weir" {
        if let Ok(Outcome::Upgraded(accepted)) = handshake(stream, &config, answer).await {
            spawn_local(weir(accepted.connection, shard));
        }
        return;
    }
    let buffer = WebSocketConfig::default();
    let buffer = if shard.kind == "tungstenite-4k" {
        buffer.read_buffer_size(4096)
    } else {
        buffer
    };
    // Nothing in front of it, so that no cost but its own is counted.
    if let Ok(stream) = upgrade_by_hand(stream).await {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(buffer)).await;
        spawn_local(tungstenite(socket, shard));
    }
}

async fn upgrade_by_hand(mut stream: TcpStream) -> std::io::Result<TcpStream> {
    let mut request = vec![0; REQUEST.len()];
    stream.read_exact(&mut request).await?;
    stream
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        .await?;
    Ok(stream)
}

async fn weir(mut connection: Connection<TcpStream>, shard: Rc<Shard>) {
    let mut missing_bytes = shard.message_bytes;
    while let Ok(Event::Data(data)) =
        poll_fn(|cx| connection.poll_event(cx, &mut shard.arena.borrow_mut())).await
    {
        missing_bytes -= data.len();
        if missing_bytes == 0 {
            shard.idle.set(shard.idle.get() + 1);
        }
    }
}

async fn tungstenite(mut socket: WebSocketStream<TcpStream>, shard: Rc<Shard>) {
    while let Some(Ok(_)) = socket.next().await {
        shard.idle.set(shard.idle.get() + 1);
    }
}

/// Opens the connections one after another, sends one message on each, and keeps them until its input ends.
async fn client(
    address: SocketAddr,
    count: usize,
    message_bytes: usize,
) -> Result<(), Box<dyn Error>> {
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Binary),
        mask: Some([0; 4]),
        ..FrameHeader::default()
    };
    let mut frame = Vec::new();
    header.format(message_bytes as u64, &mut frame)?;
    frame.resize(frame.len() + message_bytes, 0);
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(REQUEST).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut answer).await?;
        }
        stream.write_all(&frame).await?;
        streams.push(stream);
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}
