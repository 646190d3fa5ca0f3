//! Limits of a user: how many connections, how fast they come, how much they send, and how often a password may be wrong.

use crate::passwords::{MOSQUITTO, login};
use crate::scratch::Scratch;
use crate::tokens::{provider, token};
use serde_json::json;
use std::time::{Duration, Instant};
use weir_codec::{ConnAck, Connect, Packet, Property, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, publish, text};
use weir_tests::{Broker, Client, Code};

fn start(scratch: &Scratch, limits: &str) -> Broker {
    Broker::start_with(&format!("{}[limits]\n{limits}\n", provider(scratch, "")))
}

/// A client of this user.
fn of(user: &str, version: Version, client_id: &str) -> Connect {
    let token = token(user, 600.0, &json!({}));
    Connect {
        username: Some(text("token")),
        password: Some(token.into_bytes().into()),
        ..connect(version, client_id)
    }
}

fn retry_after(connack: &ConnAck) -> Option<u32> {
    let mut properties = connack.properties.iter();
    properties.find_map(|property| match property {
        Property::UserProperty("weir-retry-after-seconds", seconds) => seconds.parse().ok(),
        _ => None,
    })
}

#[tokio::test]
async fn one_user_has_so_many_connections_and_takes_over_its_own() {
    let scratch = Scratch::new();
    let broker = start(&scratch, "max_connections_per_user = 2");
    let mut first = Client::connect(&broker, of("ann", Version::V5, "one")).await;
    let second = Client::connect(&broker, of("ann", Version::V5, "two")).await;
    for (version, reason) in [
        (Version::V5, ReasonCode::QuotaExceeded),
        (Version::V3_1_1, ReasonCode::ServerUnavailable),
    ] {
        let (connack, close) = Client::refused(&broker, of("ann", version, "three")).await;
        assert_eq!(connack.reason, reason);
        assert_eq!(close.code, 4151);
        assert!(
            close.says("as many connections as it may have"),
            "{close:?}"
        );
    }
    broker.logs("refused: the user has as many connections as it may have");
    let _other = Client::connect(&broker, of("bob", Version::V5, "three of bob")).await;
    let _again = Client::connect(&broker, of("ann", Version::V5, "one")).await;
    assert_eq!(
        first.disconnected().await,
        (ReasonCode::SessionTakenOver, Code(4142))
    );
    second.leave().await;
    Client::connect(&broker, of("ann", Version::V5, "three")).await;
}

#[tokio::test]
async fn a_user_that_connects_too_fast_is_told_when_to_come_back() {
    let scratch = Scratch::new();
    let broker = start(&scratch, "max_handshakes_per_second_per_user = 2");
    // Whatever this machine manages, some of so many come too soon.
    for _ in 0..200 {
        let mut client = Client::open(&broker, Version::V5).await;
        let connack = client.ask(of("ann", Version::V5, "tab")).await;
        if connack.reason == ReasonCode::Success {
            client.leave().await;
            continue;
        }
        assert_eq!(connack.reason, ReasonCode::ConnectionRateExceeded);
        assert_eq!(retry_after(&connack), Some(1));
        assert_eq!(client.closed().await.code, 4159);
        return Client::connect(&broker, of("bob", Version::V5, "bob"))
            .await
            .vanish();
    }
    panic!("nobody was refused");
}

/// Publishes so much at once, and waits for all acknowledgements.
async fn publish_at_once(client: &mut Client, count: u16) {
    let packets = (1..=count).map(|id| Packet::Publish(publish("t", "x", Qos::AtLeastOnce, id)));
    client.send_together(packets).await;
    for _ in 0..count {
        let answer = client.recv().await;
        assert!(matches!(answer, Packet::PubAck(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn who_sends_more_than_it_may_is_read_more_slowly_and_loses_nothing() {
    let scratch = Scratch::new();
    for (who, users) in [
        ("client", ["ann"; 1].as_slice()),
        ("user", &["ann", "ann"]),
        ("address", &["ann", "bob"]),
    ] {
        let limit = format!("max_publishes_per_second_per_{who} = 50");
        let broker = start(&scratch, &limit);
        let mut clients = Vec::new();
        for (number, user) in users.iter().enumerate() {
            let client_id = format!("client {number}");
            clients.push(Client::connect(&broker, of(user, Version::V5, &client_id)).await);
        }
        let begun = Instant::now();
        let each = 120 / u16::try_from(clients.len()).expect("a few");
        let sending = clients.iter_mut().map(|it| publish_at_once(it, each));
        futures_util::future::join_all(sending).await;
        // 50 at once, and 70 more at 50 a second; a busy machine takes longer.
        assert!(begun.elapsed() >= Duration::from_millis(1300), "per {who}");
    }
}

#[tokio::test]
async fn a_client_that_is_held_up_is_not_silent() {
    let scratch = Scratch::new();
    let broker = start(&scratch, "max_bytes_per_second_per_client = 20000");
    let brisk = Connect {
        keep_alive_seconds: 1,
        ..of("ann", Version::V5, "brisk")
    };
    let mut client = Client::connect(&broker, brisk).await;
    let begun = Instant::now();
    let payload = "x".repeat(60_000);
    client.publish("t", &payload, Qos::AtLeastOnce).await;
    assert!(begun.elapsed() >= Duration::from_millis(1900));
    client.send(Packet::PingReq).await;
    assert_eq!(client.recv().await, Packet::PingResp);
}

#[tokio::test]
async fn who_sends_more_than_it_may_for_long_is_disconnected() {
    let scratch = Scratch::new();
    let limits = "max_publishes_per_second_per_client = 10\noverrun_seconds = 1";
    let broker = start(&scratch, limits);
    let mut flood = Vec::new();
    for version in [Version::V5, Version::V3_1_1] {
        let mut client = Client::connect(&broker, of("ann", version, "flood")).await;
        let packets = (0..100).map(|_| Packet::Publish(publish("t", "x", Qos::AtMostOnce, 1)));
        client.send_together(packets).await;
        flood.push(client);
        if version == Version::V5 {
            let told = flood[0].disconnected().await;
            assert_eq!(told, (ReasonCode::MessageRateTooHigh, Code(4150)));
        } else {
            let close = flood[1].closed().await;
            assert_eq!(close.code, 4150);
            assert!(close.says("more is sent than may be"), "{close:?}");
        }
    }
    broker.logs("disconnected: more is sent than may be, for too long");
}

/// What becomes of a login from this address.
async fn from(broker: &Broker, address: &str, connect: Connect) -> (ConnAck, Client) {
    let headers = [("X-Forwarded-For", address)];
    let mut client = Client::open_with(broker, connect.version, "/mqtt", &headers).await;
    (client.ask(connect).await, client)
}

/// Tries wrong passwords until they are not looked at; gives how many were, and the answer.
async fn guess(broker: &Broker, user: &str) -> (usize, ConnAck, Client) {
    for tries in 0..100 {
        let wrong = login(Version::V5, user, "a guess");
        let (connack, client) = from(broker, "192.0.2.66", wrong).await;
        if connack.reason != ReasonCode::BadUserNameOrPassword {
            return (tries, connack, client);
        }
    }
    panic!("one can guess on");
}

#[tokio::test]
async fn a_guesser_has_to_wait_and_an_honest_user_has_not() {
    let scratch = Scratch::new();
    let passwords = scratch.file("passwords", MOSQUITTO);
    let broker = Broker::start_with(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [[auth.provider]]\nkind = \"password-file\"\nfile = {passwords:?}\n"
    ));
    let right = || login(Version::V5, "ann", "secret one");
    let (connack, _) = from(&broker, "192.0.2.1", right()).await;
    assert_eq!(connack.reason, ReasonCode::Success);
    for user in ["ann", "nobody"] {
        let (tries, connack, mut client) = guess(&broker, user).await;
        // A busy machine may be so slow that a wait is over by the next try.
        assert!(tries >= 5, "{user}: {tries}");
        assert_eq!(connack.reason, ReasonCode::ConnectionRateExceeded);
        assert!((1..=10).contains(&retry_after(&connack).expect("how long")));
        assert_eq!(client.closed().await.code, 4159);
    }
    broker.logs("refused: too many failed logins; try again in ");
    let (connack, _) = from(&broker, "192.0.2.1", right()).await;
    assert_eq!(connack.reason, ReasonCode::Success, "she was there before");
}

#[tokio::test]
async fn an_address_that_tries_many_users_has_to_wait_too() {
    let scratch = Scratch::new();
    let passwords = scratch.file("passwords", MOSQUITTO);
    let broker = Broker::start_with(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [[auth.provider]]\nkind = \"password-file\"\nfile = {passwords:?}\n"
    ));
    let known = || login(Version::V5, "ann", "secret one");
    from(&broker, "192.0.2.77", known()).await;
    for tries in 0..200 {
        let wrong = login(Version::V5, &format!("user {tries}"), "a guess");
        let (connack, _) = from(&broker, "192.0.2.77", wrong).await;
        if connack.reason == ReasonCode::ConnectionRateExceeded {
            assert!(tries >= 50, "{tries}");
            let (connack, _) = from(&broker, "192.0.2.77", known()).await;
            assert_eq!(connack.reason, ReasonCode::Success, "she was there before");
            let stranger = login(Version::V5, "old", "secret one");
            let (connack, _) = from(&broker, "192.0.2.78", stranger).await;
            assert_eq!(connack.reason, ReasonCode::Success, "another address");
            return;
        }
    }
    panic!("one can guess on");
}
