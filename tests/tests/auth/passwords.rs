//! Password files, `weir passwd`, SCRAM-SHA-256 with a client's own arithmetic, and what becomes of a changed file.

use crate::scratch::Scratch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use weir_codec::{Auth, Connect, Packet, Property, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, properties, text};
use weir_tests::{Broker, Client, weir};

/// Written by Debian's mosquitto_passwd for the password `secret one`.
pub(crate) const MOSQUITTO: &str = "# by mosquitto_passwd 2.0.11
old:$6$OumHQDSJsyp0b4W4$D79LVQ6i64HK2/nfzQUHvgbjQoqgbyd4cwWTLXcPENsBzJxOjqITqkCX10rqUyA+olFkqKIat0DcGQ921a5A+A==
ann:$7$101$yrSdazRk9AXaTc+S$xZajRwynh7y56GkNJ05xvjoU8fzFR09a9AJ5nyjkAoU5B8FT3XnX6mYvTyAw7ImJCK4QL9TULxoYEmhsxaS8kA==
";

pub(crate) fn login(version: Version, user: &str, password: &str) -> Connect {
    Connect {
        username: Some(text(user)),
        password: Some(password.as_bytes().to_vec().into()),
        ..connect(version, &format!("client of {user}"))
    }
}

fn provider(file: &Path) -> String {
    format!("[[auth.provider]]\nkind = \"password-file\"\nfile = {file:?}\n")
}

fn passwd(arguments: &[&str], input: &str) -> Output {
    let mut process = Command::new(weir())
        .arg("passwd")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weir starts");
    let mut stdin = process.stdin.take().expect("stdin is piped");
    stdin.write_all(input.as_bytes()).expect("weir reads");
    drop(stdin);
    process.wait_with_output().expect("weir ends")
}

async fn refused(broker: &Broker, connect: Connect) -> ReasonCode {
    let (connack, close) = Client::refused(broker, connect).await;
    assert_eq!(close.code, 1008);
    connack.reason
}

#[tokio::test]
async fn users_of_mosquitto_log_in_with_their_passwords_in_every_version() {
    let scratch = Scratch::new();
    let broker = Broker::start_with(&provider(&scratch.file("passwords", MOSQUITTO)));
    for version in Version::ALL {
        for user in ["old", "ann"] {
            Client::connect(&broker, login(version, user, "secret one")).await;
            let reason = refused(&broker, login(version, user, "secret two")).await;
            assert_eq!(reason, ReasonCode::BadUserNameOrPassword);
        }
        let reason = refused(&broker, login(version, "nobody", "secret one")).await;
        assert_eq!(reason, ReasonCode::BadUserNameOrPassword);
        let reason = refused(&broker, connect(version, "nameless")).await;
        assert_eq!(reason, ReasonCode::NotAuthorized);
    }
    broker.logs("user=\"ann\"");
    // Who is refused has a name, too.
    broker.logs("client=\"client of nobody\"");
}

#[tokio::test]
async fn weir_passwd_makes_changes_and_deletes() {
    let scratch = Scratch::new();
    let path = scratch.path("passwords");
    let file = path.to_str().expect("a path");
    assert!(passwd(&[file, "ann"], "one\n").status.success());
    assert!(
        passwd(&[file, "--batch"], "bob:two\n\neve:th:ree\n")
            .status
            .success()
    );
    let broker = Broker::start_with(&provider(&path));
    for (user, password) in [("ann", "one"), ("bob", "two"), ("eve", "th:ree")] {
        Client::connect(&broker, login(Version::V5, user, password)).await;
    }
    let replaced = passwd(&[file, "ann"], "four");
    assert!(String::from_utf8_lossy(&replaced.stdout).contains("\"ann\" replaced"));
    assert!(passwd(&[file, "bob", "--delete"], "").status.success());
    let again = passwd(&[file, "bob", "--delete"], "");
    assert!(
        !again.status.success()
            && String::from_utf8_lossy(&again.stderr).contains("no user \"bob\"")
    );
    broker.hang_up();
    broker.logs("read again");
    Client::connect(&broker, login(Version::V5, "ann", "four")).await;
    refused(&broker, login(Version::V5, "ann", "one")).await;
    refused(&broker, login(Version::V5, "bob", "two")).await;
}

#[tokio::test]
async fn weir_passwd_changes_nothing_when_something_is_wrong() {
    let scratch = Scratch::new();
    let path = scratch.file("passwords", MOSQUITTO);
    let file = path.to_str().expect("a path");
    for (arguments, input) in [
        (&[file, "ann"][..], "\n"),
        (&[file, "--batch"], "ann:x\nno colon\n"),
        (&[file, "a:b"], "x\n"),
    ] {
        let output = passwd(arguments, input);
        assert!(!output.status.success(), "{arguments:?}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), MOSQUITTO);
    }
}

#[tokio::test]
async fn a_deleted_user_is_disconnected_and_a_broken_file_changes_nothing() {
    let scratch = Scratch::new();
    let path = scratch.file("passwords", MOSQUITTO);
    let broker = Broker::start_with(&provider(&path));
    let mut ann = Client::connect(&broker, login(Version::V5, "ann", "secret one")).await;
    let mut old = Client::connect(&broker, login(Version::V5, "old", "secret one")).await;
    scratch.file("passwords", "ann:not-a-hash\n");
    broker.hang_up();
    broker.logs("passwords:1: behind the ':' stands no hash");
    assert_eq!(
        ann.publish("t", "x", Qos::AtLeastOnce).await,
        ReasonCode::NoMatchingSubscribers
    );
    let another = Connect {
        client_id: text("another"),
        ..login(Version::V5, "ann", "secret one")
    };
    Client::connect(&broker, another).await.leave().await;
    let without_ann: Vec<&str> = MOSQUITTO
        .lines()
        .filter(|line| !line.starts_with("ann"))
        .collect();
    // Nobody says so: the broker looks by itself.
    scratch.file("passwords", &without_ann.join("\n"));
    broker.logs("permission withdrawn");
    assert_eq!(
        old.publish("t", "x", Qos::AtLeastOnce).await,
        ReasonCode::NoMatchingSubscribers
    );
}

#[test]
fn a_broken_file_at_the_start_is_named_with_its_line() {
    let scratch = Scratch::new();
    let passwords = scratch.file("passwords", "ann:$7$hunter2\n");
    let config = scratch.file("broker.toml", &provider(&passwords));
    for command in [&["check"][..], &["run", "--config"]] {
        let output = Command::new(weir())
            .args(command)
            .arg(&config)
            .output()
            .expect("weir runs");
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("passwords:1: the hash is cut off") && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn nobody_is_let_in_from_afar_unless_that_is_said() {
    let broker = Broker::start_with("[[listener]]\nbind = \"0.0.0.0:0\"");
    broker.logs("lets in nobody: add an [[auth.provider]]");
    let reason = refused(&broker, connect(Version::V5, "a")).await;
    assert_eq!(reason, ReasonCode::NotAuthorized);
    let open = "[auth]\nanonymous = \"everywhere\"\n[[listener]]\nbind = \"0.0.0.0:0\"";
    Client::v5(&Broker::start_with(open), "a").await;
}

/// A client of SCRAM-SHA-256, with its own arithmetic.
struct Scram {
    password: &'static str,
    first: String,
}

impl Scram {
    fn answer(&self, server_first: &str) -> (String, String) {
        let attribute = |name: &str| {
            let mut attributes = server_first.split(',');
            attributes
                .find_map(|it| it.strip_prefix(name))
                .expect("an attribute")
                .to_owned()
        };
        let (nonce, salt, rounds) = (attribute("r="), attribute("s="), attribute("i="));
        let mut salted = [0; 32];
        ring::pbkdf2::derive(
            ring::pbkdf2::PBKDF2_HMAC_SHA256,
            rounds.parse().expect("a number"),
            &STANDARD.decode(salt).expect("base64"),
            self.password.as_bytes(),
            &mut salted,
        );
        let sign = |key: &[u8], message: &str| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
            ring::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
        };
        let client_key = sign(&salted, "Client Key");
        let stored_key = ring::digest::digest(&ring::digest::SHA256, &client_key);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{server_first},{without_proof}", self.first);
        let signature = sign(stored_key.as_ref(), &message);
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(key, mask)| key ^ mask)
            .collect();
        let server = sign(&sign(&salted, "Server Key"), &message);
        (
            format!("{without_proof},p={}", STANDARD.encode(proof)),
            format!("v={}", STANDARD.encode(server)),
        )
    }
}

fn scram(data: &str) -> weir_codec::Properties {
    properties([
        Property::AuthenticationMethod("SCRAM-SHA-256"),
        Property::AuthenticationData(data.as_bytes()),
    ])
}

/// Begins an exchange and gives the client and what it has to send.
async fn challenge(broker: &Broker, scram_client: &Scram) -> (Client, String, String) {
    let mut client = Client::open(broker, Version::V5).await;
    let request = Connect {
        properties: scram(&format!("n,,{}", scram_client.first)),
        ..connect(Version::V5, "scram")
    };
    client.send(Packet::Connect(Box::new(request))).await;
    let Packet::Auth(auth) = client.recv().await else {
        panic!("expected AUTH");
    };
    assert_eq!(auth.reason, ReasonCode::ContinueAuthentication);
    let server_first = auth.properties.authentication_data().expect("a challenge");
    let server_first = String::from_utf8(server_first.to_vec()).expect("text");
    let (answer, expected) = scram_client.answer(&server_first);
    (client, answer, expected)
}

#[tokio::test]
async fn scram_proves_a_password_without_sending_it() {
    let scratch = Scratch::new();
    let path = scratch.path("passwords");
    let file = path.to_str().expect("a path");
    assert!(passwd(&[file, "ann", "--scram"], "one").status.success());
    let broker = Broker::start_with(&provider(&path));
    for (user, password, is_right) in [
        ("ann", "one", true),
        ("ann", "two", false),
        ("nobody", "one", false),
    ] {
        let first = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
        let (mut client, answer, server_final) =
            challenge(&broker, &Scram { password, first }).await;
        let reason = ReasonCode::ContinueAuthentication;
        let properties = scram(&answer);
        client.send(Packet::Auth(Auth { reason, properties })).await;
        let Packet::ConnAck(connack) = client.recv().await else {
            panic!("expected CONNACK");
        };
        if is_right {
            assert_eq!(connack.reason, ReasonCode::Success);
            let data = connack.properties.authentication_data();
            assert_eq!(
                data,
                Some(server_final.as_bytes()),
                "the server knows it too"
            );
        } else {
            assert_eq!(
                connack.reason,
                ReasonCode::BadUserNameOrPassword,
                "{user} {password}"
            );
        }
    }
    // The same line serves who sends the password.
    Client::connect(&broker, login(Version::V3_1_1, "ann", "one")).await;
}
