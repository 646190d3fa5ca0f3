//! JSON Web Tokens: every way a page can carry one, their end, their renewal in place, and their rules.

use crate::scratch::Scratch;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use weir_codec::{Auth, Connect, Packet, Property, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, properties, will};
use weir_tests::{Broker, Client, Code};

pub(crate) const SECRET: &str = "a secret of more than thirty-two bytes";

pub(crate) fn seconds_from_now(seconds: f64) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a clock").as_secs_f64() + seconds
}

/// A token of this user that lives for a while, with these claims besides.
pub(crate) fn token(user: &str, lives_seconds: f64, claims: &Value) -> String {
    let mut all = json!({"sub": user, "exp": seconds_from_now(lives_seconds)});
    let own = all.as_object_mut().expect("an object");
    own.extend(claims.as_object().expect("an object").clone());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&all));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(crate) fn provider(scratch: &Scratch, more: &str) -> String {
    let secret = scratch.file("secret", SECRET);
    format!("[[auth.provider]]\nkind = \"jwt\"\nsecret_file = {secret:?}\n{more}\n")
}

fn by_password(token: &str) -> Connect {
    Connect {
        password: Some(Bytes::copy_from_slice(token.as_bytes())),
        username: Some(weir_tests::packets::text("ignored")),
        ..connect(Version::V5, "tab")
    }
}

fn by_auth(token: &str) -> Connect {
    Connect {
        properties: properties(jwt(token)),
        ..connect(Version::V5, "tab")
    }
}

fn jwt(token: &str) -> [Property<'_>; 2] {
    [
        Property::AuthenticationMethod("JWT"),
        Property::AuthenticationData(token.as_bytes()),
    ]
}

fn renewal(token: &str) -> Packet {
    Packet::Auth(Auth {
        reason: ReasonCode::ReAuthenticate,
        properties: properties(jwt(token)),
    })
}

#[tokio::test]
async fn a_token_comes_by_every_way_a_page_has() {
    let scratch = Scratch::new();
    let cookie = "token_cookie = \"session\"\ntoken_from = [\"password\", \"authorization\", \"query\", \"subprotocol\", \"cookie\"]";
    let listener =
        "[[listener]]\nbind = \"127.0.0.1:0\"\nallowed_origins = [\"https://app.example\"]";
    let broker = Broker::start_with(&format!("{}{listener}", provider(&scratch, cookie)));
    let token = token("ann", 60.0, &json!({}));
    Client::connect(&broker, by_password(&token)).await;
    Client::connect(&broker, by_auth(&token)).await;
    let origin = ("Origin", "https://app.example");
    let query = format!("/mqtt?x=1&token={token}");
    let authorization = format!("Bearer {token}");
    let subprotocol = format!("bearer.{token}");
    let cookie = format!("session={token}");
    for (target, headers) in [
        (query.as_str(), vec![]),
        ("/mqtt", vec![("Authorization", authorization.as_str())]),
        ("/mqtt", vec![("Sec-WebSocket-Protocol", &subprotocol)]),
        ("/mqtt", vec![origin, ("Cookie", &cookie)]),
    ] {
        let mut client = Client::open_with(&broker, Version::V5, target, &headers).await;
        let connack = client.ask(connect(Version::V5, "tab")).await;
        assert_eq!(connack.reason, ReasonCode::Success, "{target} {headers:?}");
    }
    // Without a listed origin any page could make use of the cookie.
    let headers = [("Cookie", cookie.as_str())];
    let mut client = Client::open_with(&broker, Version::V5, "/mqtt", &headers).await;
    let connack = client.ask(connect(Version::V5, "tab")).await;
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
    assert!(!broker.log().contains(&token));
}

#[tokio::test]
async fn the_parameter_of_the_query_string_can_have_another_name() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&provider(&scratch, "token_query = \"jwt\""));
    let token = token("ann", 60.0, &json!({}));
    for (name, reason) in [
        ("jwt", ReasonCode::Success),
        ("token", ReasonCode::NotAuthorized),
    ] {
        let target = format!("/mqtt?{name}={token}");
        let mut client = Client::open_with(&broker, Version::V5, &target, &[]).await;
        assert_eq!(
            client.ask(connect(Version::V5, "tab")).await.reason,
            reason,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_refused_token_is_told_and_logged_with_its_reason() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&provider(
        &scratch,
        "issuer = \"us\"\naudiences = [\"mqtt\"]",
    ));
    let good = json!({"iss": "us", "aud": "mqtt"});
    Client::connect(&broker, by_password(&token("ann", 60.0, &good))).await;
    for (user, lives, claims, reason, logged) in [
        (
            "ann",
            -5.0,
            json!({}),
            ReasonCode::NotAuthorized,
            "token refused: it has expired",
        ),
        (
            "",
            60.0,
            json!({}),
            ReasonCode::BadUserNameOrPassword,
            "token refused: no usable claim \"sub\"",
        ),
        (
            "ann",
            60.0,
            json!({"aud": "x"}),
            ReasonCode::BadUserNameOrPassword,
            "token refused: another audience",
        ),
        (
            "ann",
            60.0,
            json!({"iss": "x"}),
            ReasonCode::BadUserNameOrPassword,
            "bad user name or password",
        ),
        (
            "ann",
            60.0,
            json!({"mqtt_client_id": "x"}),
            ReasonCode::NotAuthorized,
            "it is for another client id",
        ),
    ] {
        let mut all = good.clone();
        all.as_object_mut()
            .expect("an object")
            .extend(claims.as_object().expect("one").clone());
        let (connack, _) = Client::refused(&broker, by_password(&token(user, lives, &all))).await;
        assert_eq!(connack.reason, reason, "{claims}");
        broker.logs(logged);
    }
}

#[tokio::test]
async fn a_token_that_expires_ends_the_connection_to_the_second() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&provider(&scratch, ""));
    let mut witness = Client::connect(
        &broker,
        Connect {
            client_id: weir_tests::packets::text("witness"),
            ..by_password(&token("eve", 60.0, &json!({})))
        },
    )
    .await;
    witness.subscribe("will", Qos::AtMostOnce).await;
    let end = seconds_from_now(2.0);
    let short = token("ann", 0.0, &json!({ "exp": end }));
    let mut client = Client::connect(
        &broker,
        Connect {
            will: Some(will("will", "gone")),
            ..by_password(&short)
        },
    )
    .await;
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::MaximumConnectTime, Code(1008))
    );
    // Not before; a busy machine may make it later.
    assert!(seconds_from_now(0.0) >= end - 0.05);
    assert_eq!(witness.payload().await, "gone");
    broker.logs("credentials expired");
}

#[tokio::test]
async fn a_renewal_in_place_misses_no_message() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&provider(&scratch, ""));
    let mut publisher = Client::connect(
        &broker,
        Connect {
            client_id: weir_tests::packets::text("publisher"),
            ..by_password(&token("eve", 60.0, &json!({})))
        },
    )
    .await;
    let mut client = Client::connect(&broker, by_auth(&token("ann", 3.0, &json!({})))).await;
    assert_eq!(
        client.connack().properties.authentication_method(),
        Some("JWT")
    );
    client.subscribe("t", Qos::AtLeastOnce).await;
    for count in 0..40 {
        if count % 10 == 5 {
            client.send(renewal(&token("ann", 3.0, &json!({})))).await;
        }
        publisher
            .publish("t", &count.to_string(), Qos::AtLeastOnce)
            .await;
        // Past the end of the first token, by the renewed ones.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (mut payloads, mut renewals) = (Vec::new(), 0);
    while payloads.len() < 40 || renewals < 4 {
        match client.recv().await {
            Packet::Auth(auth) => {
                assert_eq!(auth.reason, ReasonCode::Success);
                renewals += 1;
            }
            Packet::Publish(publish) => {
                let id = publish.delivery.packet_id().expect("QoS 1");
                client
                    .send(Packet::PubAck(weir_codec::Ack::success(id)))
                    .await;
                payloads.push(String::from_utf8_lossy(&publish.payload).into_owned());
            }
            other => panic!("expected AUTH or PUBLISH, got {other:?}"),
        }
    }
    let expected: Vec<String> = (0..40).map(|count| count.to_string()).collect();
    assert_eq!((payloads, renewals), (expected, 4));
    broker.logs("authenticated again");
}

#[tokio::test]
async fn a_renewal_with_other_rules_ends_what_they_do_not_allow() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&provider(&scratch, ""));
    let wide = json!({"mqtt_acl": ["readwrite #"]});
    let narrow = json!({"mqtt_acl": ["read a/#"]});
    let mut client = Client::connect(&broker, by_auth(&token("ann", 60.0, &wide))).await;
    client.subscribe("a/b", Qos::AtMostOnce).await;
    client.subscribe("b", Qos::AtMostOnce).await;
    client.send(renewal(&token("ann", 60.0, &narrow))).await;
    let Packet::Auth(auth) = client.recv().await else {
        panic!("expected AUTH");
    };
    let ended: Vec<_> = auth.properties.user_properties().collect();
    assert_eq!(ended, [("subscription-ended", "b")]);
    assert_eq!(
        client.publish("a/b", "x", Qos::AtLeastOnce).await,
        ReasonCode::NotAuthorized
    );
    broker.logs("subscription to \"b\" ended: no rule allows it");
}

#[tokio::test]
async fn a_renewal_that_fails_ends_the_connection() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&provider(&scratch, ""));
    for bad in [
        token("ann", -1.0, &json!({})),
        token("somebody else", 60.0, &json!({})),
        "no token".into(),
    ] {
        let mut client = Client::connect(&broker, by_auth(&token("ann", 60.0, &json!({})))).await;
        client.send(renewal(&bad)).await;
        assert_eq!(
            client.disconnected().await,
            (ReasonCode::NotAuthorized, Code(1008)),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn an_authentication_method_that_nobody_has_is_refused() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&provider(&scratch, ""));
    let other = Connect {
        properties: properties([Property::AuthenticationMethod("SCRAM-SHA-256")]),
        ..connect(Version::V5, "tab")
    };
    let (connack, _) = Client::refused(&broker, other).await;
    assert_eq!(connack.reason, ReasonCode::BadAuthenticationMethod);
}
