//! No secret reaches the log, at the level that writes everything: every way a secret can come is used, rightly and wrongly.

use crate::passwords::login;
use crate::scratch::Scratch;
use crate::tokens::token;
use bytes::Bytes;
use serde_json::json;
use weir_codec::{Auth, Connect, Packet, Property, ReasonCode, Version};
use weir_tests::packets::{connect, properties, text};
use weir_tests::{Broker, Client, Wire};

/// Every secret of this test has it in it.
const MARK: &str = "hUnTeR2";

fn by_method(method: &str, data: &str) -> Connect {
    Connect {
        properties: properties([
            Property::AuthenticationMethod(method),
            Property::AuthenticationData(data.as_bytes()),
        ]),
        ..connect(Version::V5, "by method")
    }
}

async fn open_and_close(broker: &Broker, target: &str, headers: &[(&str, &str)]) {
    let mut client = Client::open_with(broker, Version::V5, target, headers).await;
    client.ask(connect(Version::V5, "by upgrade")).await;
}

#[tokio::test]
async fn no_secret_reaches_the_log_at_its_most_talkative_or_a_metric() {
    let scratch = Scratch::new();
    let secret = scratch.file("secret", "a secret of more than thirty-two bytes");
    let broken = format!("ann:$7$1$AAAA${MARK}");
    let passwords = scratch.file("passwords", "");
    let broker = Broker::start_with(&format!(
        "[log]\nlevel = \"trace\"\n[[auth.provider]]\nkind = \"password-file\"\nfile = {passwords:?}\n\
         [[auth.provider]]\nkind = \"jwt\"\nsecret_file = {secret:?}\ntoken_cookie = \"session\"\n\
         token_from = [\"password\", \"authorization\", \"query\", \"subprotocol\", \"cookie\"]\n\
         [[auth.provider]]\nkind = \"webhook\"\nurl = \"http://user:{MARK}@127.0.0.1:1/?key={MARK}\"\n\
         [[listener]]\nbind = \"127.0.0.1:0\"\nallowed_origins = [\"https://app.example\"]\n\
         metrics = true"
    ));
    let wrong = format!("e30.{MARK}.{MARK}");
    let origin = ("Origin", "https://app.example");
    for (target, headers) in [
        (format!("/mqtt?token={wrong}"), vec![]),
        (
            "/mqtt".into(),
            vec![("Authorization", format!("Bearer {wrong}"))],
        ),
        (
            "/mqtt".into(),
            vec![("Authorization", format!("Basic {MARK}"))],
        ),
        (
            "/mqtt".into(),
            vec![("Sec-WebSocket-Protocol", format!("bearer.{wrong}"))],
        ),
        ("/mqtt".into(), vec![("Cookie", format!("session={wrong}"))]),
    ] {
        let mut all = vec![origin];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        open_and_close(&broker, &target, &all).await;
    }
    // Rightly, too.
    let right = token("ann", 60.0, &json!({"note": MARK}));
    open_and_close(&broker, &format!("/mqtt?token={right}"), &[]).await;
    let mut client = Client::connect(&broker, by_method("JWT", &right)).await;
    client
        .send(Packet::Auth(Auth {
            reason: ReasonCode::ReAuthenticate,
            properties: by_method("JWT", &wrong).properties,
        }))
        .await;
    client.disconnected().await;
    for refused in refusals(&wrong) {
        let mut client = Client::open(&broker, refused.version).await;
        client.send(Packet::Connect(Box::new(refused))).await;
        let _ = client.recv().await;
    }
    scratch.file("passwords", &broken);
    broker.hang_up();
    broker.logs("passwords:1: ");
    let log = broker.log();
    assert!(log.contains("token refused: "), "it was looked at");
    for secret in [MARK, right.as_str(), "thirty-two bytes"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret in the log");
    }
    let mut wire = Wire::open(&broker).await;
    let metrics = wire.request("GET", "/metrics", &[]).await.body;
    assert!(metrics.contains("bad_credentials") && !metrics.contains(MARK));
}

/// Who shows a secret in CONNECT and is refused.
fn refusals(wrong: &str) -> Vec<Connect> {
    vec![
        login(Version::V5, "ann", MARK),
        login(Version::V3_1_1, "ann", wrong),
        by_method("JWT", MARK),
        by_method("SCRAM-SHA-256", &format!("n,,n=ann,m={MARK}")),
        Connect {
            password: Some(Bytes::from_static(MARK.as_bytes())),
            username: None,
            ..connect(Version::V5, "no name")
        },
        Connect {
            client_id: text("a packet that is too large"),
            ..login(Version::V5, "ann", &MARK.repeat(9000))
        },
    ]
}
