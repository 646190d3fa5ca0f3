//! The ACL file: what is denied and how a client hears of it, wildcards, wills and retained messages, reloading, and
//! `weir acl explain`.

use crate::passwords::login;
use crate::scratch::Scratch;
use std::path::Path;
use std::process::Command;
use weir_codec::{Connect, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, will};
use weir_tests::{Broker, Client, Code, weir};

const PASSWORDS: &str = "ann:$7$101$yrSdazRk9AXaTc+S$xZajRwynh7y56GkNJ05xvjoU8fzFR09a9AJ5nyjkAoU5B8FT3XnX6mYvTyAw7ImJCK4QL9TULxoYEmhsxaS8kA==\n";

const ACL: &str = "topic readwrite #
user ann
topic readwrite ann/#
topic deny ann/secret
pattern read inbox/%c
";

fn start(scratch: &Scratch) -> Broker {
    let passwords = scratch.file("passwords", PASSWORDS);
    let acl = scratch.file("acl", ACL);
    Broker::start_with(&format!(
        "[auth]\nanonymous = \"everywhere\"\nacl_file = {acl:?}\n[[auth.provider]]\nkind = \"password-file\"\nfile = {passwords:?}\n"
    ))
}

fn ann(version: Version) -> Connect {
    Connect {
        client_id: weir_tests::packets::text("tab"),
        ..login(version, "ann", "secret one")
    }
}

async fn log_in(broker: &Broker) -> Client {
    Client::connect(broker, ann(Version::V5)).await
}

#[tokio::test]
async fn a_denied_subscription_and_publish_get_0x87() {
    let scratch = Scratch::new();
    let broker = start(&scratch);
    let mut client = log_in(&broker).await;
    assert_eq!(
        client.subscribe("other", Qos::AtLeastOnce).await,
        ReasonCode::NotAuthorized
    );
    assert_eq!(
        client.subscribe("ann/secret", Qos::AtLeastOnce).await,
        ReasonCode::NotAuthorized
    );
    assert_eq!(
        client.subscribe("ann/open/#", Qos::AtLeastOnce).await,
        ReasonCode::GrantedQos1
    );
    assert_eq!(
        client.publish("ann/secret", "x", Qos::AtLeastOnce).await,
        ReasonCode::NotAuthorized
    );
    broker.logs("publish to \"ann/secret\" denied: ");
    broker.logs("acl:4: topic deny ann/secret");
    broker.logs("subscribe to \"other\" denied: no rule allows it");
    client.silent().await;
}

#[tokio::test]
async fn a_3_1_1_client_gets_0x80_and_is_closed_for_a_publish() {
    let scratch = Scratch::new();
    let broker = start(&scratch);
    let mut client = Client::connect(&broker, ann(Version::V3_1_1)).await;
    let denied = client.subscribe("other", Qos::AtLeastOnce).await;
    assert_eq!(denied, ReasonCode::UnspecifiedError);
    let publish = weir_tests::packets::publish("other", "x", Qos::AtLeastOnce, 9);
    client.send(weir_codec::Packet::Publish(publish)).await;
    assert_eq!(client.closed().await.reason, "not authorized to publish");
}

#[tokio::test]
async fn a_wildcard_gives_what_is_allowed_and_nothing_else() {
    let scratch = Scratch::new();
    let broker = start(&scratch);
    let mut other = Client::v5(&broker, "other").await;
    other.retain("ann/secret", "kept", Qos::AtLeastOnce).await;
    other.retain("ann/open", "kept", Qos::AtLeastOnce).await;
    let mut client = log_in(&broker).await;
    assert_eq!(
        client.subscribe("#", Qos::AtMostOnce).await,
        ReasonCode::Success
    );
    assert_eq!(
        client.message().await.topic.expect("a topic").as_str(),
        "ann/open"
    );
    for topic in ["ann/secret", "inbox/tab2", "elsewhere", "inbox/tab"] {
        other.publish(topic, "live", Qos::AtLeastOnce).await;
    }
    assert_eq!(
        client.message().await.topic.expect("a topic").as_str(),
        "inbox/tab"
    );
    client.silent().await;
}

#[tokio::test]
async fn a_will_that_is_not_allowed_refuses_the_connection() {
    let scratch = Scratch::new();
    let broker = start(&scratch);
    let with_will = Connect {
        will: Some(will("elsewhere", "gone")),
        ..ann(Version::V5)
    };
    let (connack, _) = Client::refused(&broker, with_will).await;
    assert_eq!(connack.reason, ReasonCode::NotAuthorized);
    broker.logs("not authorized to publish the will");
}

#[tokio::test]
async fn a_changed_file_counts_for_clients_that_are_here() {
    let scratch = Scratch::new();
    let broker = start(&scratch);
    let mut client = log_in(&broker).await;
    client.subscribe("ann/a", Qos::AtLeastOnce).await;
    scratch.file("acl", "user ann\ntopic readwrite ann/#\ntopic write log\n");
    broker.hang_up();
    broker.logs("acl");
    while client.publish("log", "x", Qos::AtLeastOnce).await == ReasonCode::NotAuthorized {}
    scratch.file("acl", "user ann\ntopic write #\n");
    broker.hang_up();
    assert_eq!(
        client.disconnected().await,
        (ReasonCode::NotAuthorized, Code(1008))
    );
    broker.logs("subscription to \"ann/a\" ended: no rule allows it");
}

#[tokio::test]
async fn the_anonymous_have_the_rules_before_any_user() {
    let scratch = Scratch::new();
    let broker = start(&scratch);
    let mut client = Client::connect(&broker, connect(Version::V5, "nobody")).await;
    let mut other = Client::v5(&broker, "other").await;
    client.subscribe("any/thing", Qos::AtLeastOnce).await;
    other.publish("any/thing", "x", Qos::AtLeastOnce).await;
    assert_eq!(client.payload().await, "x");
}

fn explain(file: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(weir())
        .args(["acl", "explain", "--file"])
        .arg(file)
        .args(arguments)
        .output()
        .expect("weir runs");
    let said = String::from_utf8_lossy(&output.stdout).replace(&*file.to_string_lossy(), "acl");
    (output.status.code(), said)
}

#[test]
fn explain_names_rule_and_line_as_the_log_does() {
    let scratch = Scratch::new();
    let file = scratch.file("acl", ACL);
    let ask = |arguments: &[&str]| {
        explain(
            &file,
            &[&["--user", "ann", "--client", "tab"], arguments].concat(),
        )
    };
    let (code, said) = ask(&["--publish", "ann/secret"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(3), "denied\n  acl:4: topic deny ann/secret\n")
    );
    let (code, said) = ask(&["--publish", "ann/x"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "allowed\n  acl:3: topic readwrite ann/#\n")
    );
    let (code, said) = ask(&["--subscribe", "#"]);
    assert!(
        code == Some(3)
            && said.starts_with("allowed in part")
            && said.contains("acl:5: pattern read inbox/%c"),
        "{said}"
    );
    let (code, said) = ask(&["--subscribe", "x"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(3), "denied\n  no rule allows it\n")
    );
    assert_eq!(
        explain(&file, &["--publish", "x"]).1,
        "allowed\n  acl:1: topic readwrite #\n"
    );
}
