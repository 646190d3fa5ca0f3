//! SIGTERM: everybody is told, and the process ends well.

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};
use weir_codec::{Connect, Qos, ReasonCode, Version};
use weir_tests::packets::{connect, will};
use weir_tests::{Broker, Client, Code, Wire, folder, weir};

#[tokio::test]
async fn everybody_is_told_and_the_process_ends_with_status_0() {
    let mut broker = Broker::start();
    let mut new = Client::v5(&broker, "new").await;
    let mut old = Client::connect(&broker, connect(Version::V3_1_1, "old")).await;
    let mut upgraded = Wire::upgraded(&broker).await;
    let mut silent = Wire::open(&broker).await;
    broker.terminate();
    assert_eq!(
        new.disconnected().await,
        (ReasonCode::ServerShuttingDown, Code(1001))
    );
    let close = old.closed().await;
    assert_eq!(close.code, 1001);
    assert!(close.reason.contains("shutting down"), "{}", close.reason);
    assert_eq!(upgraded.closed().await.0, 1001);
    drop((new, old, upgraded));
    silent.ended().await;
    assert_eq!(broker.exit().code(), Some(0));
}

#[tokio::test]
async fn messages_on_their_way_go_out_before_the_goodbye() {
    let mut broker = Broker::start();
    let mut subscriber = Client::v5(&broker, "subscriber").await;
    subscriber.subscribe("t", Qos::AtMostOnce).await;
    let mut publisher = Client::v5(&broker, "publisher").await;
    for n in 0..100 {
        publisher
            .publish("t", &n.to_string(), Qos::AtLeastOnce)
            .await;
    }
    broker.terminate();
    for n in 0..100 {
        assert_eq!(subscriber.payload().await, n.to_string());
    }
    assert_eq!(
        subscriber.disconnected().await,
        (ReasonCode::ServerShuttingDown, Code(1001))
    );
    drop((subscriber, publisher));
    assert_eq!(broker.exit().code(), Some(0));
}

#[tokio::test]
async fn a_peer_that_never_answers_does_not_hold_up_the_end() {
    let mut broker = Broker::start_with("[timing]\nclose_seconds = 1\nshutdown_seconds = 2");
    let stubborn = Client::v5(&broker, "stubborn").await;
    let mortal = Connect {
        will: Some(will("will", "gone")),
        ..connect(Version::V5, "mortal")
    };
    let mortal = Client::connect(&broker, mortal).await;
    broker.terminate();
    assert_eq!(broker.exit().code(), Some(0));
    drop((stubborn, mortal));
}

/// Its password file is a pipe, so it starts for as long as nothing is written there.
#[test]
fn signals_that_come_while_it_starts_are_heeded_later() {
    let folder = folder();
    let (pipe, config) = (folder.join("passwords"), folder.join("broker.toml"));
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    let listener = "[[listener]]\nbind = \"127.0.0.1:0\"";
    let provider = format!("[[auth.provider]]\nkind = \"password-file\"\nfile = {pipe:?}");
    fs::write(&config, format!("{listener}\n{provider}\n")).expect("a file");
    let broker = Command::new(weir())
        .args(["run", "--config"])
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the broker starts");
    // Opens when the broker does.
    let writer = OpenOptions::new().write(true).open(&pipe).expect("a pipe");
    // SIGHUP would have it wait for somebody who writes again.
    fs::remove_file(&pipe).expect("a pipe");
    for signal in ["-HUP", "-TERM"] {
        let pid = broker.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill $0 $1", signal, &pid])
            .status();
        assert!(sent.expect("sh runs").success());
    }
    drop(writer);
    let ended = broker.wait_with_output().expect("the broker ends");
    let log = String::from_utf8(ended.stderr).expect("text");
    assert_eq!(ended.status.code(), Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
}
