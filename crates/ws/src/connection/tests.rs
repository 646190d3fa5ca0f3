//! A connection over an in-memory stream: what it holds, what it answers, and that control traffic is bounded.

use super::*;
use proptest::prelude::*;
use std::future::poll_fn;
use std::task::Waker;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;

const MASK: [u8; 4] = [0; 4];

fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [
        &[first_byte, 0x80 | payload.len() as u8][..],
        &MASK,
        payload,
    ]
    .concat()
}

fn pair() -> (Connection<DuplexStream>, DuplexStream) {
    let (server, client) = duplex(64 * 1024);
    (Connection::new(server, &[]), client)
}

/// Polls once; `None` when pending.
fn event(connection: &mut Connection<DuplexStream>) -> Option<Result<Event, ConnectionError>> {
    let mut arena = BytesMut::with_capacity(64 * 1024);
    let polled = connection.poll_event(&mut Context::from_waker(Waker::noop()), &mut arena);
    assert!(arena.is_empty());
    match polled {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    }
}

fn holds_memory(connection: &Connection<DuplexStream>) -> bool {
    connection.outbox.holds_memory() || connection.input.capacity() > 0
}

async fn flush(connection: &mut Connection<DuplexStream>) {
    poll_fn(|cx| connection.poll_flush(cx)).await.unwrap();
    assert_eq!(connection.pending_bytes(), 0);
}

#[test]
fn an_idle_connection_is_small() {
    let size_bytes = size_of::<Connection<TcpStream>>();
    assert!(size_bytes < 400, "{size_bytes} bytes");
}

#[tokio::test]
async fn an_idle_connection_holds_no_heap() {
    let (mut connection, mut client) = pair();
    assert!(!holds_memory(&connection));
    client.write_all(&frame(0x82, b"data")).await.unwrap();
    client.write_all(&frame(0x89, b"ping")).await.unwrap();
    client.write_all(&frame(0x82, b"da")[..3]).await.unwrap();
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(data))) if data == "data"));
    connection.send_binary(
        [Bytes::from(vec![1; 5000]), Bytes::from_static(b"x")].into_iter(),
        5001,
    );
    flush(&mut connection).await;
    assert!(event(&mut connection).is_none());
    assert!(!holds_memory(&connection));
}

#[tokio::test]
async fn frames_of_one_read_leave_as_one_slice() {
    let (mut connection, mut client) = pair();
    let bytes = [
        frame(0x82, b"a"),
        frame(0x02, b"b"),
        frame(0x89, b""),
        frame(0x00, b""),
        frame(0x80, b"cd"),
    ]
    .concat();
    client.write_all(&bytes).await.unwrap();
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(data))) if data == "abcd"));
    assert!(event(&mut connection).is_none());
}

#[tokio::test]
async fn what_was_pipelined_behind_the_handshake_is_read_first() {
    let (server, mut client) = duplex(1024);
    let mut connection = Connection::new(server, &frame(0x82, b"early")[..8]);
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(data))) if data == "ea"));
    client.write_all(&frame(0x82, b"early")[8..]).await.unwrap();
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(data))) if data == "rly"));
}

#[tokio::test]
async fn data_before_a_violation_is_delivered_before_it() {
    let (mut connection, mut client) = pair();
    client
        .write_all(
            &[
                frame(0x82, b"good"),
                frame(0x81, b"text"),
                frame(0x82, b"late"),
            ]
            .concat(),
        )
        .await
        .unwrap();
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(data))) if data == "good"));
    let error = event(&mut connection).unwrap().unwrap_err();
    assert_eq!(error.close_code(), Some(CloseCode::Unsupported));
    assert!(matches!(
        error,
        ConnectionError::Protocol(Violation::TextFrame)
    ));
    assert!(
        event(&mut connection).is_none(),
        "reported once, then everything is discarded"
    );
    drop(client);
    assert!(matches!(event(&mut connection), Some(Ok(Event::Eof))));
    assert!(matches!(event(&mut connection), Some(Ok(Event::Eof))));
}

#[tokio::test]
async fn a_close_is_echoed_with_its_code_and_ends_all_sending() {
    let (mut connection, mut client) = pair();
    client
        .write_all(
            &[
                frame(0x82, b"last words"),
                frame(0x88, b"\x0F\xA0why"),
                frame(0x82, b"no"),
            ]
            .concat(),
        )
        .await
        .unwrap();
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(data))) if data == "last words"));
    let closed = event(&mut connection).unwrap().unwrap();
    assert_eq!(
        closed,
        Event::PeerClosed {
            code: Some(4000),
            reason: "why".to_owned()
        }
    );
    connection.send_binary([Bytes::from_static(b"x")].into_iter(), 1);
    connection.send_ping();
    connection.close(CloseCode::Normal, "");
    assert!(event(&mut connection).is_none());
    let mut sent = Vec::new();
    client.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, b"\x88\x02\x0F\xA0");
}

#[tokio::test]
async fn our_close_is_the_last_frame_and_data_is_discarded_until_the_peers() {
    let (mut connection, mut client) = pair();
    connection.send_binary([Bytes::from_static(b"bye")].into_iter(), 3);
    connection.close(CloseCode::Away, "stopping");
    client
        .write_all(
            &[
                frame(0x82, b"in flight"),
                frame(0x89, b"ping"),
                frame(0x88, b"\x03\xE9"),
            ]
            .concat(),
        )
        .await
        .unwrap();
    let closed = event(&mut connection).unwrap().unwrap();
    assert_eq!(
        closed,
        Event::PeerClosed {
            code: Some(1001),
            reason: String::new()
        }
    );
    assert!(event(&mut connection).is_none());
    let mut sent = Vec::new();
    client.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, b"\x82\x03bye\x88\x0A\x03\xE9stopping");
}

#[tokio::test]
async fn after_a_violation_the_stream_ends_behind_our_close_frame() {
    let (mut connection, mut client) = pair();
    client.write_all(&frame(0x80, b"stray")).await.unwrap();
    let error = event(&mut connection).unwrap().unwrap_err();
    connection.close(CloseCode::Protocol, "");
    assert_eq!(error.close_code(), Some(CloseCode::Protocol));
    client.write_all(&frame(0x82, b"unwanted")).await.unwrap();
    assert!(event(&mut connection).is_none());
    let mut sent = Vec::new();
    client.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, b"\x88\x02\x03\xEA");
    drop(client);
    assert!(matches!(event(&mut connection), Some(Ok(Event::Eof))));
}

#[tokio::test]
async fn a_connection_keeps_its_place_when_its_stream_is_exchanged() {
    let (mut connection, mut client) = pair();
    client.write_all(&frame(0x82, b"half")[..8]).await.unwrap();
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(data))) if data == "ha"));
    connection.send_binary([Bytes::from_static(b"hi")].into_iter(), 2);
    let mut connection = connection.map_stream(Ok::<_, io::Error>).unwrap();
    client.write_all(&frame(0x82, b"half")[8..]).await.unwrap();
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(data))) if data == "lf"));
    flush(&mut connection).await;
    let mut sent = [0; 4];
    client.read_exact(&mut sent).await.unwrap();
    assert_eq!(&sent, b"\x82\x02hi");
}

#[tokio::test]
async fn a_long_close_reason_is_cut_between_characters() {
    let (mut connection, mut client) = pair();
    connection.close(CloseCode::Policy, &format!("{}ä and more", "x".repeat(122)));
    poll_fn(|cx| connection.poll_shutdown(cx)).await.unwrap();
    let mut sent = Vec::new();
    client.read_to_end(&mut sent).await.unwrap();
    assert_eq!(
        sent,
        [&b"\x88\x7C\x03\xF0"[..], "x".repeat(122).as_bytes()].concat()
    );
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_in_bounds_and_the_latest_always() {
    let (server, mut client) = duplex(1024 * 1024);
    let mut connection = Connection::new(server, &[]);
    // A large message in front holds the pongs back, as a reader that has stopped would.
    connection.send_binary([Bytes::from(vec![0; 2_000_000])].into_iter(), 2_000_000);
    for index in 0..1000_u32 {
        client
            .write_all(&frame(0x89, &index.to_be_bytes()))
            .await
            .unwrap();
        assert!(event(&mut connection).is_none());
    }
    assert!(connection.pending_bytes() < 2_000_100);
    let reader = async {
        let mut sent = Vec::new();
        client.read_to_end(&mut sent).await.unwrap();
        sent
    };
    let writer = async {
        flush(&mut connection).await;
        drop(connection);
    };
    let (sent, ()) = tokio::join!(reader, writer);
    let pongs: Vec<&[u8]> = sent[2_000_010..].chunks(6).collect();
    assert_eq!(pongs.len(), usize::from(PONGS_UNSENT_MAX) + 1);
    assert_eq!(pongs[0], [0x8A, 4, 0, 0, 0, 0]);
    assert_eq!(pongs.last(), Some(&&[0x8A, 4, 0, 0, 3, 0xE7][..]));
}

#[tokio::test]
async fn whole_messages_keep_their_borders_and_kinds() {
    let (mut connection, mut client) = pair();
    connection.keep_messages();
    let bytes = [
        frame(0x81, b"text"),
        frame(0x82, b""),
        frame(0x02, b"bi"),
        frame(0x80, b"nary"),
    ]
    .concat();
    client.write_all(&bytes).await.unwrap();
    let mut seen = Vec::new();
    while let Some(Ok(Event::Data(data))) = event(&mut connection) {
        seen.push((data, connection.completed_message()));
    }
    let expected = [
        (Bytes::from("text"), Some(MessageKind::Text)),
        (Bytes::new(), Some(MessageKind::Binary)),
        (Bytes::from("binary"), Some(MessageKind::Binary)),
    ];
    assert_eq!(seen, expected);
    assert!(!holds_memory(&connection));
}

#[tokio::test]
async fn pongs_are_reported_behind_the_data_they_came_with() {
    let (mut connection, mut client) = pair();
    client
        .write_all(&[frame(0x8A, b""), frame(0x82, b"x"), frame(0x8A, b"")].concat())
        .await
        .unwrap();
    assert!(matches!(event(&mut connection), Some(Ok(Event::Data(_)))));
    assert!(matches!(event(&mut connection), Some(Ok(Event::Pong))));
    assert!(event(&mut connection).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_stream_of_data_does_not_depend_on_reads(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..30),
        lens in prop::collection::vec(1usize..500, 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let received = runtime.block_on(async {
            let (mut connection, mut client) = pair();
            let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(0x82, payload)).collect();
            let (mut received, mut rest) = (Vec::new(), &bytes[..]);
            for len in lens.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, behind) = rest.split_at((*len).min(rest.len()));
                rest = behind;
                client.write_all(piece).await.unwrap();
                while let Some(Ok(Event::Data(data))) = event(&mut connection) {
                    received.extend_from_slice(&data);
                }
            }
            received
        });
        prop_assert_eq!(received, payloads.concat());
    }
}
