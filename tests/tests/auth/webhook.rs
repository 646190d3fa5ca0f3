//! A webhook that judges: what it allows, denies and says of rules, and what becomes of clients when it is gone.

use crate::passwords::login;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_codec::{Qos, ReasonCode, Version};
use weir_tests::{Broker, Client};

/// Allows who says `right`, with rules.
async fn judge(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        answer(stream).await;
    }
}

async fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let read = stream.read_buf(&mut request).await;
        assert!(read.expect("a request") > 0, "a whole request");
    }
    let request = String::from_utf8(request).expect("text");
    let body = request.split("\r\n\r\n").nth(1).expect("a body");
    let question: Value = serde_json::from_str(body).expect("JSON");
    let answer = match question["password"].as_str() {
        Some("right") => json!({"result": "allow", "acl": ["readwrite own/%c"]}),
        Some("where") => {
            let (address, encrypted) = (&question["address"], &question["encrypted"]);
            let rule = format!("write at/{}/{encrypted}", address.as_str().expect("text"));
            json!({ "result": "allow", "acl": [rule] })
        }
        _ => json!({"result": "deny"}),
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    );
    let sent = stream.write_all(format!("{head}{answer}").as_bytes()).await;
    sent.expect("the broker listens");
}

#[tokio::test]
async fn a_webhook_decides_and_without_it_nobody_is_let_in() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let judging = tokio::spawn(judge(listener));
    let broker = Broker::start_with(&format!(
        "[[auth.provider]]\nkind = \"webhook\"\nurl = \"http://{address}/mqtt\"\ncache_seconds = 0\n"
    ));
    let mut client = Client::connect(&broker, login(Version::V5, "ann", "right")).await;
    let own = client
        .publish("own/client of ann", "x", Qos::AtLeastOnce)
        .await;
    assert_eq!(own, ReasonCode::NoMatchingSubscribers);
    let other = client.publish("other", "x", Qos::AtLeastOnce).await;
    assert_eq!(other, ReasonCode::NotAuthorized);
    let (connack, _) = Client::refused(&broker, login(Version::V5, "ann", "wrong")).await;
    assert_eq!(connack.reason, ReasonCode::BadUserNameOrPassword);
    judging.abort();
    let _ = judging.await;
    let (connack, _) = Client::refused(&broker, login(Version::V5, "bob", "right")).await;
    assert_eq!(connack.reason, ReasonCode::ServerUnavailable);
    broker.logs("no answer that counts: no connection");
}

#[tokio::test]
async fn a_webhook_is_told_what_a_trusted_proxy_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(judge(listener));
    for (trusted, told) in [
        ("127.0.0.1", "at/192.0.2.5/true"),
        ("10.0.0.1", "at/127.0.0.1/false"),
    ] {
        let broker = Broker::start_with(&format!(
            "[[listener]]\nbind = \"127.0.0.1:0\"\ntrusted_proxies = [{trusted:?}]\n\
             [[auth.provider]]\nkind = \"webhook\"\nurl = \"http://{address}/mqtt\"\n"
        ));
        let headers = [("X-Real-IP", "192.0.2.5"), ("X-Forwarded-Proto", "https")];
        let mut client = Client::open_with(&broker, Version::V5, "/mqtt", &headers).await;
        let connack = client.ask(login(Version::V5, "ann", "where")).await;
        assert_eq!(connack.reason, ReasonCode::Success);
        let reason = client.publish(told, "x", Qos::AtLeastOnce).await;
        assert_eq!(reason, ReasonCode::NoMatchingSubscribers, "{told}");
    }
}
