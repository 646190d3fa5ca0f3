//! Connections over real sockets: an independent client for the good cases, raw bytes for the bad ones.

mod support;

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use support::{accepted, frame, next_event, pair, serve, upgraded};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};
use weir_ws::{CloseCode, Connection, ConnectionError, Event};

/// A connection with tokio-tungstenite at the other end.
async fn with_client() -> (Connection<TcpStream>, WebSocketStream<TcpStream>) {
    let (server, client) = pair().await;
    let mut request = "ws://localhost/mqtt?x=y".into_client_request().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "mqttv3.1, mqtt".parse().unwrap());
    let (outcome, client) = tokio::join!(serve(server), client_async(request, client));
    let (client, response) = client.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
    (accepted(outcome).connection, client)
}

async fn flush(connection: &mut Connection<TcpStream>) {
    poll_fn(|cx| connection.poll_flush(cx)).await.unwrap();
}

async fn receive(connection: &mut Connection<TcpStream>, len: usize) -> Vec<u8> {
    let (mut arena, mut received) = (BytesMut::with_capacity(64 * 1024), Vec::new());
    while received.len() < len {
        match next_event(connection, &mut arena).await {
            Ok(Event::Data(data)) => received.extend_from_slice(&data),
            other => panic!("{other:?}"),
        }
    }
    received
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

/// [MQTT-4.2-1]
#[tokio::test]
async fn large_messages_pass_both_ways() {
    let (mut connection, mut client) = with_client().await;
    let large = pattern(300 * 1024);
    let (received, sent) = tokio::join!(
        receive(&mut connection, large.len()),
        client.send(Message::binary(large.clone())),
    );
    sent.unwrap();
    assert!(received == large);
    let segments = [
        large[..10].to_vec(),
        large[10..100_000].to_vec(),
        large[100_000..].to_vec(),
    ];
    connection.send_binary(segments.into_iter().map(Bytes::from), large.len());
    let ((), message) = tokio::join!(flush(&mut connection), client.next());
    assert!(message.unwrap().unwrap() == Message::binary(large));
}

#[tokio::test]
async fn each_send_is_one_message() {
    let (mut connection, mut client) = with_client().await;
    for len in [0, 1, 125, 126, 2047, 2048, 65_535, 65_536] {
        connection.send_binary([Bytes::from(pattern(len))].into_iter(), len);
    }
    connection.send_ping();
    connection.send_binary(
        [Bytes::from_static(b"a"), Bytes::from_static(b"b")].into_iter(),
        2,
    );
    let (_, ()) = tokio::join!(
        async {
            for len in [0, 1, 125, 126, 2047, 2048, 65_535, 65_536] {
                assert!(
                    client.next().await.unwrap().unwrap() == Message::binary(pattern(len)),
                    "{len}"
                );
            }
            assert_eq!(
                client.next().await.unwrap().unwrap(),
                Message::Ping(Bytes::new())
            );
            assert_eq!(
                client.next().await.unwrap().unwrap(),
                Message::binary(&b"ab"[..])
            );
        },
        flush(&mut connection),
    );
    client.flush().await.unwrap();
    let mut arena = BytesMut::new();
    assert_eq!(
        next_event(&mut connection, &mut arena).await.unwrap(),
        Event::Pong
    );
}

#[tokio::test]
async fn pings_between_fragments_are_answered() {
    let (mut connection, mut client) = upgraded().await;
    let bytes = [
        frame(0x02, b"one "),
        frame(0x89, b"payload"),
        frame(0x00, b""),
        frame(0x80, b"two"),
    ]
    .concat();
    client.write_all(&bytes).await.unwrap();
    assert_eq!(receive(&mut connection, 7).await, b"one two");
    let mut arena = BytesMut::new();
    let mut pong = [0; 9];
    tokio::select! {
        event = next_event(&mut connection, &mut arena) => panic!("{event:?}"),
        read = client.read_exact(&mut pong) => read.unwrap(),
    };
    assert_eq!(&pong, b"\x8A\x07payload");
}

#[tokio::test]
async fn the_clients_close_is_echoed() {
    let (mut connection, mut client) = with_client().await;
    let close = CloseFrame {
        code: CloseCode::Library(4001),
        reason: Utf8Bytes::from_static("done"),
    };
    client.send(Message::Close(Some(close))).await.unwrap();
    let mut arena = BytesMut::new();
    let event = next_event(&mut connection, &mut arena).await.unwrap();
    assert_eq!(
        event,
        Event::PeerClosed {
            code: Some(4001),
            reason: "done".to_owned()
        }
    );
    assert_eq!(connection.pending_bytes(), 0, "the echo has left");
    let echo = client.next().await.unwrap().unwrap();
    assert_eq!(
        echo,
        Message::Close(Some(CloseFrame {
            code: CloseCode::Library(4001),
            reason: Utf8Bytes::default()
        }))
    );
    let client_side = async {
        assert!(
            client.next().await.is_none(),
            "the server is the first to end the stream"
        );
        drop(client);
    };
    let (event, ()) = tokio::join!(next_event(&mut connection, &mut arena), client_side);
    assert_eq!(event.unwrap(), Event::Eof);
}

#[tokio::test]
async fn our_close_reaches_the_client_with_code_and_reason() {
    let (mut connection, mut client) = with_client().await;
    connection.close(CloseCode::Away, "Server shutting down");
    flush(&mut connection).await;
    let close = CloseFrame {
        code: CloseCode::Away,
        reason: Utf8Bytes::from_static("Server shutting down"),
    };
    assert_eq!(
        client.next().await.unwrap().unwrap(),
        Message::Close(Some(close))
    );
    client.flush().await.unwrap();
    let event = next_event(&mut connection, &mut BytesMut::new())
        .await
        .unwrap();
    assert_eq!(
        event,
        Event::PeerClosed {
            code: Some(1001),
            reason: "Server shutting down".to_owned()
        }
    );
    drop(connection);
    assert!(matches!(
        client.next().await,
        None | Some(Err(Error::ConnectionClosed))
    ));
}

#[tokio::test]
async fn violations_name_their_close_code() {
    let cases: [(Vec<u8>, CloseCode); 5] = [
        (frame(0x81, b"text"), CloseCode::Unsupported),
        (vec![0x82, 1, b'x'], CloseCode::Protocol),
        (frame(0xC2, b"rsv"), CloseCode::Protocol),
        (frame(0x80, b"stray"), CloseCode::Protocol),
        (frame(0x88, b"\x03\xE8\xFF"), CloseCode::Invalid),
    ];
    for (bytes, code) in cases {
        let (mut connection, mut client) = upgraded().await;
        client.write_all(&bytes).await.unwrap();
        let mut arena = BytesMut::new();
        let error = next_event(&mut connection, &mut arena).await.unwrap_err();
        assert_eq!(error.close_code(), Some(code), "{bytes:02x?}");
        connection.close(code, &error.to_string());
        flush(&mut connection).await;
        let mut head = [0; 4];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(
            (head[0], u16::from_be_bytes([head[2], head[3]])),
            (0x88, u16::from(code))
        );
        // The client answers late, behind data that nobody wants any more.
        client
            .write_all(&frame(0x82, &pattern(5000)))
            .await
            .unwrap();
        drop(client);
        let end = next_event(&mut connection, &mut arena).await;
        assert!(
            matches!(end, Ok(Event::Eof) | Err(ConnectionError::Io(_))),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_goes_silently_in_the_middle_of_a_frame_is_the_end() {
    let (mut connection, mut client) = upgraded().await;
    client
        .write_all(&frame(0x82, b"incomplete")[..9])
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(receive(&mut connection, 3).await, b"inc");
    let mut arena = BytesMut::new();
    assert_eq!(
        next_event(&mut connection, &mut arena).await.unwrap(),
        Event::Eof
    );
    // Its other direction still works.
    connection.send_binary([Bytes::from_static(b"hi")].into_iter(), 2);
    flush(&mut connection).await;
    let mut sent = [0; 4];
    client.read_exact(&mut sent).await.unwrap();
    assert_eq!(&sent, b"\x82\x02hi");
}

#[tokio::test]
async fn a_slow_reader_leaves_bytes_pending_and_gets_them_all_in_order() {
    let (mut connection, mut client) = with_client().await;
    let mut sent = 0_u32;
    while connection.pending_bytes() < 1_000_000 {
        for len in [20, 5000] {
            let payload = [&sent.to_be_bytes()[..], &pattern(len)].concat();
            connection.send_binary([Bytes::from(payload)].into_iter(), len + 4);
            sent += 1;
        }
        let polled = poll_fn(|cx| std::task::Poll::Ready(connection.poll_flush(cx))).await;
        assert!(!matches!(polled, std::task::Poll::Ready(Err(_))));
    }
    let reader = async {
        for index in 0..sent {
            let message = client.next().await.unwrap().unwrap().into_data();
            assert_eq!(message[..4], index.to_be_bytes());
            assert_eq!(
                message[4..],
                pattern(if index % 2 == 0 { 20 } else { 5000 })
            );
        }
    };
    tokio::join!(reader, flush(&mut connection));
    assert_eq!(connection.pending_bytes(), 0);
}
