//! How a refused client is told so once HTTP is no longer the language: a CONNACK for its MQTT library, a close code and
//! text for the page around it.
//!
//! Nothing that it sends is looked at but a CONNECT, for its version. What must hold: it takes a bounded time, and the
//! peer gets the answer before the end of the stream.

use super::stream::Socket;
use super::transport::Transport;
use crate::config::Config;
use bytes::BytesMut;
use std::future::poll_fn;
use std::task::{Context, Waker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant as Deadline, timeout, timeout_at};
use weir_codec::{
    ConnAck, Connect, Decoder, Output, Packet, Properties, Property, ReasonCode, Segment,
};
use weir_ws::{CloseCode, Event, Refusal};

/// The room for what such a client sends before it is cut off.
const ARENA_BYTES: usize = 4096;

/// Answers a CONNECT, if one comes soon, and closes with the reason.
pub(super) async fn turn_away(
    config: &Config,
    transport: &mut Transport,
    refusal: &Refusal,
    deadline: Deadline,
) {
    let mut arena = BytesMut::with_capacity(ARENA_BYTES);
    let patience = deadline.min(Deadline::now() + config.timing.close);
    let max_bytes = config.limits.max_unauthenticated_packet_bytes;
    let first = read_connect(transport, &mut arena, max_bytes);
    if let Ok(Some(connect)) = timeout_at(patience, first).await {
        answer(transport, &connect, refusal);
    }
    let code = refusal.close_code().unwrap_or(CloseCode::Policy);
    transport.close(code, &refusal.to_string());
    let _ = timeout(config.timing.close, see_off(transport, &mut arena)).await;
}

/// Answers HTTP where nothing but its first byte was looked at.
pub(super) async fn answer_in_clear(socket: &mut Socket, refusal: &Refusal) {
    let answer = async {
        socket.write_all(refusal.raw_response().as_bytes()).await?;
        socket.shutdown().await?;
        let mut rest = socket.take(ARENA_BYTES as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    let _ = timeout(std::time::Duration::from_secs(1), answer).await;
}

/// `None` if something else came, or the end.
async fn read_connect(
    transport: &mut Transport,
    arena: &mut BytesMut,
    max_bytes: u32,
) -> Option<Box<Connect>> {
    let mut decoder = Decoder::server(max_bytes);
    loop {
        match poll_fn(|cx| transport.poll_event(cx, arena)).await {
            Ok(Event::Data(bytes)) => decoder.push(bytes),
            Ok(Event::Pong) => {}
            _ => return None,
        }
        match decoder.next_packet() {
            Ok(None) => {}
            Ok(Some(Packet::Connect(connect))) => return Some(connect),
            _ => return None,
        }
    }
}

fn answer(transport: &mut Transport, connect: &Connect, refusal: &Refusal) {
    let mut properties = Properties::default();
    if connect.version.is_v5() {
        properties.push(Property::ReasonString(&refusal.to_string()));
    }
    let connack = Packet::ConnAck(ConnAck {
        session_present: false,
        reason: reason_code(refusal),
        properties,
    });
    let mut output = Output::new();
    if output.encode(&connack, connect.version).is_ok() {
        // What does not leave now is waited for by whoever sees it off.
        transport.send(
            &mut Context::from_waker(Waker::noop()),
            &output,
            &Segment::new(),
        );
    }
}

/// What MQTT says to it.
pub(super) fn reason_code(refusal: &Refusal) -> ReasonCode {
    match refusal {
        Refusal::Origin { .. } => ReasonCode::NotAuthorized,
        Refusal::SubprotocolMissing => ReasonCode::ProtocolError,
        Refusal::TooManyConnections => ReasonCode::ServerBusy,
        Refusal::TooManyFromAddress => ReasonCode::QuotaExceeded,
        Refusal::TooFast => ReasonCode::ConnectionRateExceeded,
        _ => ReasonCode::UnspecifiedError,
    }
}

/// Until the peer has closed, too: to close with unread data would reset the connection, and the reason be lost.
async fn see_off(transport: &mut Transport, arena: &mut BytesMut) {
    if poll_fn(|cx| transport.poll_flush(cx)).await.is_err() {
        return;
    }
    while let Ok(event) = poll_fn(|cx| transport.poll_event(cx, arena)).await {
        if matches!(event, Event::Eof) {
            return;
        }
    }
}
