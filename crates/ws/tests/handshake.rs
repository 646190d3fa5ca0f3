//! Every rule of the handshake over a real socket with raw bytes: the status, the headers and the body that come back,
//! and what the server knows of it for its log.

mod support;

use support::{
    ACCEPT, Answer, accepted, answer_to, config, exchange, frame, next_event, pair, request, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_ws::{
    AllowedOrigin, CloseCode, Event, HandshakeConfig, HandshakeError, Host, Outcome, Refusal,
    RefuseAfterUpgrade, Subprotocol,
};

/// The request is refused with this status, and the body and the log say `text`.
async fn refused(request: &[u8], status: u16, text: &str) -> Answer {
    refused_by(&config(), request, status, text).await
}

async fn refused_by(config: &HandshakeConfig, request: &[u8], status: u16, text: &str) -> Answer {
    let (answer, outcome) = answer_to(config, request).await;
    let shown = String::from_utf8_lossy(request);
    assert_eq!(answer.status, status, "{shown}");
    assert!(
        answer.body.contains(text),
        "{text:?} is not in {:?}",
        answer.body
    );
    assert!(answer.body.ends_with('\n'));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    match outcome {
        Ok(Outcome::Answered {
            refusal: Some(refusal),
        }) => {
            assert_eq!(format!("{refusal}\n"), answer.body);
            assert_eq!(refusal.status().as_u16(), status);
        }
        other => panic!("no refusal: {other:?}"),
    }
    answer
}

/// The request is upgraded, and this is answered as `Sec-WebSocket-Protocol`.
async fn upgraded_with(request: &[u8], subprotocol: &str) {
    let (answer, outcome) = answer_to(&config(), request).await;
    assert_eq!(answer.status, 101, "{}", String::from_utf8_lossy(request));
    assert_eq!(answer.header("sec-websocket-protocol"), Some(subprotocol));
    assert_eq!(
        accepted(outcome).subprotocol.map(Subprotocol::as_str),
        Some(subprotocol)
    );
}

fn protocols(line: &str) -> Vec<u8> {
    request(&[("Sec-WebSocket-Protocol", Some(line))])
}

#[tokio::test]
async fn a_good_request_is_upgraded() {
    let (answer, outcome) = answer_to(&config(), &request(&[])).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection"), Some("Upgrade"));
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("mqtt"));
    let accepted = accepted(outcome);
    assert_eq!(accepted.subprotocol, Some(Subprotocol::Mqtt));
    assert_eq!(accepted.request.uri().path(), "/mqtt");
}

#[tokio::test]
async fn the_query_string_plays_no_part_in_the_path_and_is_handed_on() {
    for target in [
        "/mqtt?token=a%20b&x=/none",
        "/?x",
        "http://localhost:8083/mqtt?token",
    ] {
        let line = format!("GET {target} HTTP/1.1");
        let (answer, outcome) = answer_to(&config(), &request(&[("GET", Some(&line))])).await;
        assert_eq!(answer.status, 101, "{target}");
        let query = target.split_once('?').map(|(_, query)| query);
        assert_eq!(accepted(outcome).request.uri().query(), query);
    }
}

#[tokio::test]
async fn connection_and_upgrade_are_lists_without_case() {
    for (connection, upgrade) in [
        ("keep-alive, Upgrade", "websocket"),
        ("UPGRADE", "WebSocket"),
        ("keep-alive,upgrade ,foo", "h2c, WEBSOCKET"),
    ] {
        let bytes = request(&[
            ("Connection", Some(&format!("cONNECTION: {connection}"))),
            ("Upgrade", Some(&format!("UPGRADE:{upgrade}"))),
        ]);
        upgraded_with(&bytes, "mqtt").await;
    }
}

#[tokio::test]
async fn connection_may_stand_on_several_lines() {
    let bytes = request(&[(
        "Connection",
        Some("Connection: keep-alive\r\nConnection: Upgrade"),
    )]);
    upgraded_with(&bytes, "mqtt").await;
}

/// [MQTT-6.0.0-4]
#[tokio::test]
async fn exactly_one_offered_subprotocol_is_answered() {
    for (line, expected) in [
        ("Sec-WebSocket-Protocol: mqttv3.1", "mqttv3.1"),
        ("Sec-WebSocket-Protocol: mqtt, mqttv3.1", "mqtt"),
        ("Sec-WebSocket-Protocol: mqttv3.1,mqtt", "mqtt"),
        ("Sec-WebSocket-Protocol: chat ,\tmqtt ,", "mqtt"),
        (
            "sec-websocket-protocol: chat\r\nSec-WebSocket-Protocol: soap, mqttv3.1",
            "mqttv3.1",
        ),
        (
            "Sec-WebSocket-Protocol: mqttv3.1\r\nSec-WebSocket-Protocol: mqtt",
            "mqtt",
        ),
    ] {
        upgraded_with(&protocols(line), expected).await;
    }
}

/// [MQTT-6.0.0-3]
#[tokio::test]
async fn other_subprotocols_are_refused_by_name() {
    for offered in [
        "soap, wamp",
        "m",
        "MQTT",
        "mqttv3",
        "mqtt5",
        "mqttv5.0",
        "mqtt2, xmpp",
    ] {
        let bytes = protocols(&format!("Sec-WebSocket-Protocol: {offered}"));
        let answer = refused(&bytes, 400, "mqtt or mqttv3.1").await;
        assert!(
            answer.body.contains(&format!("it offered {offered}\n")),
            "{}",
            answer.body
        );
        assert_eq!(answer.header("sec-websocket-protocol"), None);
    }
}

#[tokio::test]
async fn a_long_or_strange_offer_is_quoted_in_bounds() {
    let line = format!(
        "Sec-WebSocket-Protocol: \u{e9}\u{1F600}{}",
        "x".repeat(9000)
    );
    let answer = refused(&protocols(&line), 400, "it offered ??").await;
    assert!(answer.body.len() < 400);
}

/// [MQTT-6.0.0-3]
#[tokio::test]
async fn no_subprotocol_is_refused_unless_it_is_allowed() {
    let none = request(&[("Sec-WebSocket-Protocol", None)]);
    let empty = protocols("Sec-WebSocket-Protocol: ,");
    let lenient = HandshakeConfig {
        allow_missing_subprotocol: true,
        ..config()
    };
    for bytes in [none, empty] {
        refused(&bytes, 400, "no subprotocol was offered").await;
        let (answer, outcome) = answer_to(&lenient, &bytes).await;
        assert_eq!(
            (answer.status, answer.header("sec-websocket-protocol")),
            (101, None)
        );
        assert_eq!(accepted(outcome).subprotocol, None);
    }
    refused_by(
        &lenient,
        &protocols("Sec-WebSocket-Protocol: chat"),
        400,
        "it offered chat",
    )
    .await;
}

#[tokio::test]
async fn an_unknown_path_is_told_the_known_ones() {
    for path in ["/ws", "/mqtt/", "/MQTT", "/mqtt%20"] {
        let bytes = request(&[("GET", Some(&format!("GET {path}?q HTTP/1.1")))]);
        refused(
            &bytes,
            404,
            &format!("no WebSocket at {path}: connect to / or /mqtt"),
        )
        .await;
    }
}

#[tokio::test]
async fn another_version_is_told_the_supported_one() {
    for version in [
        Some("Sec-WebSocket-Version: 8"),
        Some("Sec-WebSocket-Version: 13, 8"),
        None,
    ] {
        let answer = refused(
            &request(&[("Sec-WebSocket-Version", version)]),
            426,
            "version 13 is spoken here",
        )
        .await;
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        assert_eq!(answer.header("upgrade"), Some("websocket"));
    }
}

#[tokio::test]
async fn a_key_that_is_not_sixteen_bytes_is_refused() {
    let line = |key: &str| format!("Sec-WebSocket-Key: {key}");
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub2_jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        refused(
            &request(&[("Sec-WebSocket-Key", Some(&line(key)))]),
            400,
            "16 bytes in base64",
        )
        .await;
    }
    refused(
        &request(&[("Sec-WebSocket-Key", None)]),
        400,
        "16 bytes in base64",
    )
    .await;
}

#[tokio::test]
async fn other_methods_are_refused() {
    for method in ["POST", "HEADS", "OPTIONS"] {
        let bytes = request(&[("GET", Some(&format!("{method} /mqtt HTTP/1.1")))]);
        let answer = refused(&bytes, 405, &format!("opened with GET, not {method}")).await;
        assert_eq!(answer.header("allow"), Some("GET"));
    }
}

#[tokio::test]
async fn http_1_0_is_told_about_the_proxy() {
    refused(
        &request(&[("GET", Some("GET /mqtt HTTP/1.0"))]),
        400,
        "proxy_http_version 1.1",
    )
    .await;
}

#[tokio::test]
async fn a_handshake_whose_upgrade_was_lost_on_the_way_is_told_so() {
    refused(
        &request(&[("Connection", Some("Connection: close"))]),
        400,
        "Connection: Upgrade",
    )
    .await;
    refused(&request(&[("Connection", None)]), 400, "a proxy in between").await;
    refused(&request(&[("Upgrade", None)]), 400, "Upgrade: websocket").await;
}

#[tokio::test]
async fn host_must_be_there_once() {
    refused(&request(&[("Host", None)]), 400, "one `Host` header").await;
    refused(
        &request(&[("Host", Some("Host: a\r\nHost: b"))]),
        400,
        "one `Host` header",
    )
    .await;
}

#[tokio::test]
async fn a_handshake_with_a_body_is_refused() {
    let bytes = [
        request(&[("Content-Length", Some("Content-Length: 5"))]),
        b"hello".to_vec(),
    ]
    .concat();
    refused(&bytes, 400, "no body").await;
    upgraded_with(
        &request(&[("Content-Length", Some("Content-Length: 0"))]),
        "mqtt",
    )
    .await;
}

#[tokio::test]
async fn compression_is_declined_silently() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let (answer, _) = answer_to(
        &config(),
        &request(&[("Sec-WebSocket-Extensions", Some(offer))]),
    )
    .await;
    assert_eq!(
        (answer.status, answer.header("sec-websocket-extensions")),
        (101, None)
    );
}

#[tokio::test]
async fn large_headers_pass_up_to_the_limit() {
    let cookie = |len: usize| format!("Cookie: a={}", "c".repeat(len));
    for len in [0, 6_000, 16_000, 32 * 1024] {
        upgraded_with(&request(&[("Cookie", Some(&cookie(len)))]), "mqtt").await;
    }
    refused(
        &request(&[("Cookie", Some(&cookie(36_000)))]),
        431,
        "larger than 33792 bytes",
    )
    .await;
}

#[tokio::test]
async fn headers_far_over_the_limit_get_431_even_while_they_are_being_sent() {
    for len in [42_000, 300_000] {
        let bytes = request(&[("Cookie", Some(&format!("Cookie: {}", "c".repeat(len))))]);
        let (answer, outcome) = answer_to(&config(), &bytes).await;
        assert_eq!(answer.status, 431, "{len}");
        assert!(matches!(
            outcome,
            Ok(Outcome::Answered {
                refusal: Some(Refusal::HeaderTooLarge { .. })
            })
        ));
    }
}

#[tokio::test]
async fn many_headers_pass_and_too_many_get_431() {
    let lines = |count: usize| {
        (0..count)
            .map(|index| format!("X-{index}: y"))
            .collect::<Vec<_>>()
            .join("\r\n")
    };
    upgraded_with(&request(&[("X", Some(&lines(240)))]), "mqtt").await;
    assert_eq!(
        answer_to(&config(), &request(&[("X", Some(&lines(300)))]))
            .await
            .0
            .status,
        431
    );
}

#[tokio::test]
async fn what_is_not_http_is_answered_and_named() {
    let mqtt = b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3C\x00\x00\r\n\r\n";
    let (answer, outcome) = answer_to(&config(), mqtt).await;
    assert_eq!(answer.status, 400);
    assert!(matches!(outcome, Err(HandshakeError::Mqtt)), "{outcome:?}");

    let broken = b"GET / HTTP/1.1\r\nbroken\r\n\r\n";
    let (answer, outcome) = answer_to(&config(), broken).await;
    assert_eq!(answer.status, 400);
    assert!(
        matches!(outcome, Err(HandshakeError::Malformed(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn plain_http_is_served_with_keep_alive_and_may_upgrade_afterwards() {
    let (server, mut client) = pair().await;
    let client_side = async {
        for (method, body) in [("GET", "page at /healthz"), ("HEAD", "")] {
            let line = format!("{method} /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
            client.write_all(line.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with([b"\r\n\r\n", body.as_bytes()].concat().as_slice()) {
                assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
            }
            let answer = Answer::parse(&answer);
            assert_eq!(
                (answer.status, answer.header("content-length")),
                (200, Some("16")),
                "{method}"
            );
            assert_eq!(answer.body, body);
        }
        client.write_all(&request(&[])).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
    };
    let (outcome, ()) = tokio::join!(serve(server), client_side);
    accepted(outcome);
}

#[tokio::test]
async fn plain_http_that_ends_is_no_refusal() {
    let (answer, outcome) = answer_to(&config(), b"GET /page HTTP/1.0\r\n\r\n").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "page at /page")
    );
    assert!(matches!(outcome, Ok(Outcome::Answered { refusal: None })));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_an_error() {
    let (server, mut client) = pair().await;
    client
        .write_all(b"GET /mqtt HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    drop(client);
    assert!(matches!(
        serve(server).await,
        Err(HandshakeError::Disconnected(_))
    ));
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte_is_upgraded() {
    let (server, mut client) = pair().await;
    let client_side = async {
        client.set_nodelay(true).unwrap();
        for byte in request(&[]) {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (outcome, ()) = tokio::join!(serve(server), client_side);
    accepted(outcome);
}

#[tokio::test]
async fn frames_pipelined_behind_the_handshake_arrive() {
    let frames = [frame(0x02, b"early "), frame(0x80, &[b'x'; 20_000])].concat();
    let (_, outcome, mut client) = exchange(&config(), &[request(&[]), frames].concat()).await;
    let mut connection = accepted(outcome).connection;
    client.write_all(&frame(0x82, b" later")).await.unwrap();
    let (mut arena, mut received) = (bytes::BytesMut::new(), Vec::new());
    while received.len() < 6 + 20_000 + 6 {
        match next_event(&mut connection, &mut arena).await {
            Ok(Event::Data(data)) => received.extend_from_slice(&data),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        received,
        [&b"early "[..], &[b'x'; 20_000], b" later"].concat()
    );
}

fn from_page(origin: &str) -> Vec<u8> {
    request(&[("Origin", Some(&format!("Origin: {origin}")))])
}

#[tokio::test]
async fn a_page_of_another_host_is_refused_and_named() {
    refused(
        &from_page("https://evil.example"),
        403,
        "origin https://evil.example may not connect",
    )
    .await;
    refused(&from_page("null"), 403, "`allowed_origins`").await;
    upgraded_with(&from_page("http://localhost:8083"), "mqtt").await;
    let listed = HandshakeConfig {
        allowed_origins: [AllowedOrigin::Exactly("https://app.example".to_owned())].into(),
        ..config()
    };
    let (answer, outcome) = answer_to(&listed, &from_page("https://app.example")).await;
    assert_eq!(answer.status, 101);
    assert!(accepted(outcome).origin_is_listed(&listed.allowed_origins));
    refused_by(
        &listed,
        &from_page("http://localhost:8083"),
        403,
        "may not connect",
    )
    .await;
}

/// The upgrade is done, only to be closed.
async fn deferred(config: &HandshakeConfig, request: &[u8], code: CloseCode) -> Refusal {
    let (answer, outcome) = answer_to(config, request).await;
    assert_eq!(answer.status, 101);
    match outcome {
        Ok(Outcome::Deferred { refusal, .. }) => {
            assert_eq!(refusal.close_code(), Some(code));
            refusal
        }
        other => panic!("not deferred: {other:?}"),
    }
}

#[tokio::test]
async fn a_page_is_refused_after_the_upgrade_where_that_is_asked_for() {
    let browsers = HandshakeConfig {
        refuse_after_upgrade: RefuseAfterUpgrade::Browsers,
        ..config()
    };
    let refusal = deferred(
        &browsers,
        &from_page("https://evil.example"),
        CloseCode::Policy,
    )
    .await;
    assert!(matches!(refusal, Refusal::Origin { .. }));
    let lost = request(&[
        ("GET", Some("GET /nowhere HTTP/1.1")),
        ("Origin", Some("Origin: http://localhost:8083")),
    ]);
    let refusal = deferred(&browsers, &lost, CloseCode::Policy).await;
    assert!(matches!(refusal, Refusal::UnknownPath { .. }));
    let nowhere = request(&[("GET", Some("GET /nowhere HTTP/1.1"))]);
    refused_by(&browsers, &nowhere, 404, "connect to / or /mqtt").await;

    let always = HandshakeConfig {
        refuse_after_upgrade: RefuseAfterUpgrade::Always,
        ..config()
    };
    deferred(&always, &nowhere, CloseCode::Policy).await;
    let offers_nothing = request(&[("Sec-WebSocket-Protocol", None)]);
    let refusal = deferred(&always, &offers_nothing, CloseCode::Protocol).await;
    assert_eq!(refusal, Refusal::SubprotocolMissing);
    // Without a fault of form only: such an answer would not be understood.
    let wrong = request(&[("Sec-WebSocket-Version", Some("Sec-WebSocket-Version: 8"))]);
    refused_by(&always, &wrong, 426, "13").await;
    refused_by(
        &always,
        &protocols("Sec-WebSocket-Protocol: chat"),
        400,
        "it offered",
    )
    .await;
}

struct Full;

impl Host for Full {
    fn respond(&self, _: &http::Request<()>) -> http::Response<bytes::Bytes> {
        http::Response::default()
    }

    fn admit(&self, _: &http::Request<()>) -> Result<(), Refusal> {
        Err(Refusal::TooFast)
    }
}

#[tokio::test]
async fn the_host_has_the_last_word_and_says_when_to_come_back() {
    let (server, mut client) = pair().await;
    let config = config();
    let server_side = weir_ws::handshake(server, &config, Full);
    let client_side = async {
        client.write_all(&request(&[])).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        Answer::parse(&answer)
    };
    let (outcome, answer) = tokio::join!(server_side, client_side);
    let refusal = Some(Refusal::TooFast);
    assert!(matches!(outcome, Ok(Outcome::Answered { refusal: found }) if found == refusal));
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("1"))
    );
}

fn hasty() -> HandshakeConfig {
    HandshakeConfig {
        timeout: std::time::Duration::from_millis(50),
        ..config()
    }
}

#[tokio::test]
async fn a_request_that_is_not_complete_in_time_is_told_so() {
    let half = &request(&[])[..40];
    refused_by(&hasty(), half, 408, "not complete in time").await;
}

#[tokio::test]
async fn who_says_nothing_in_time_is_not_answered() {
    let (server, mut client) = pair().await;
    let config = hasty();
    let server_side = weir_ws::handshake(server, &config, |_: &http::Request<()>| {
        http::Response::default()
    });
    let client_side = async {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let (outcome, answer) = tokio::join!(server_side, client_side);
    assert!(matches!(outcome, Err(HandshakeError::Silent)));
    assert!(answer.is_empty());
}
