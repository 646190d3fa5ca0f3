//! `weir store`, asked while a broker runs.
//!
//! What it says is checked against what clients were acknowledged before.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use weir_codec::{Qos, Version};
use weir_tests::packets::lasting;
use weir_tests::{Broker, Client, folder, weir};

fn broker(folder: &Path) -> Broker {
    Broker::start_with(&format!("[store]\npath = {folder:?}\n"))
}

/// What `weir store` says, and its exit code.
fn ask(arguments: &[&str], folders: &[&Path]) -> (String, i32) {
    let asked = Command::new(weir())
        .arg("store")
        .args(arguments)
        .args(folders)
        .output()
        .expect("weir runs");
    let said = [asked.stdout, asked.stderr].concat();
    let said = String::from_utf8(said).expect("text");
    (said, asked.status.code().expect("an exit code"))
}

#[tokio::test]
async fn a_store_is_verified_counted_exported_and_copied_while_it_is_used() {
    let (folder, spare) = (folder(), folder());
    let running = broker(&folder);
    let mut reader = Client::connect(&running, lasting(Version::V5, "reader")).await;
    reader.subscribe("t/#", Qos::ExactlyOnce).await;
    reader.leave().await;
    let mut publisher = Client::v5(&running, "publisher").await;
    for number in 0..10 {
        let text = number.to_string();
        publisher.publish("t/1", &text, Qos::AtLeastOnce).await;
    }
    publisher.retain("r", "kept", Qos::AtLeastOnce).await;

    let (said, code) = ask(&["verify"], &[&folder]);
    assert!(said.starts_with("ok: ") && code == 0, "{said}");
    let (said, code) = ask(&["stats"], &[&folder]);
    for line in ["sessions: 1", "messages: 11", "queued: 10", "retained: 1"] {
        assert!(said.lines().any(|it| it == line), "{line} in {said}");
    }
    assert_eq!(code, 0);
    let (said, _) = ask(&["export"], &[&folder]);
    let records: Vec<Value> = said.lines().map(|it| it.parse().expect("JSON")).collect();
    let has = |kind: &str| records.iter().filter(|it| it["kind"] == kind).count();
    assert_eq!(
        (has("session"), has("delivery"), has("message")),
        (1, 10, 11)
    );
    assert!(records.iter().any(|it| it["payload"] == "kept"));

    let copy = spare.join("copy");
    let (said, code) = ask(&["backup"], &[&folder, &copy]);
    assert!(said.starts_with("ok: ") && code == 0, "{said}");
    publisher.publish("t/1", "later", Qos::AtLeastOnce).await;
    drop(running);
    let restored = broker(&copy);
    let mut reader = Client::connect(&restored, lasting(Version::V5, "reader")).await;
    for number in 0..10 {
        assert_eq!(reader.payload().await, number.to_string());
    }
    reader.silent().await;
}

#[test]
fn what_is_not_a_store_is_said_not_to_be() {
    let folder = folder();
    let (said, code) = ask(&["verify"], &[&folder]);
    assert!(
        said.starts_with("there is no store in ") && code == 1,
        "{said}"
    );
    let (said, code) = ask(&["stats"], &[&folder.join("nowhere")]);
    assert!(
        said.contains("No such file or directory") && code == 1,
        "{said}"
    );
}

#[tokio::test]
async fn damage_is_told_by_the_command_and_by_the_broker() {
    use std::os::unix::fs::FileExt;
    let folder = folder();
    let running = broker(&folder);
    let mut publisher = Client::v5(&running, "publisher").await;
    for number in 0..10 {
        let topic = format!("r/{number}");
        publisher
            .retain(&topic, "a payload", Qos::AtLeastOnce)
            .await;
    }
    drop(running);
    let segment = folder.join("00000000000000000000.log");
    let file = std::fs::File::options().write(true).open(segment);
    file.and_then(|file| file.write_all_at(b"#", 100))
        .expect("a segment");
    let (said, code) = ask(&["verify"], &[&folder]);
    assert!(said.contains("damaged and LOST") && code == 1, "{said}");
    let again = broker(&folder);
    again.logs("damaged and LOST");
    let mut reader = Client::v5(&again, "reader").await;
    reader.subscribe("r/#", Qos::AtMostOnce).await;
    assert_eq!(reader.payload().await, "a payload");
}

/// Exit code and standard error of a command whose standard output nobody takes.
fn unheard(stdout: impl Into<Stdio>, folder: &Path, what: &str) -> (i32, String) {
    let asked = Command::new(weir())
        .args(["store", what])
        .arg(folder)
        .stdout(stdout)
        .output()
        .expect("weir runs");
    let said = String::from_utf8(asked.stderr).expect("text");
    (asked.status.code().expect("an exit code"), said)
}

#[tokio::test]
async fn a_command_that_nobody_reads_ends_quietly_and_a_full_disk_is_named() {
    let folder = folder();
    let running = broker(&folder);
    let mut publisher = Client::v5(&running, "publisher").await;
    publisher.retain("r", "kept", Qos::AtLeastOnce).await;
    for what in ["verify", "stats", "export"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(unheard(writer, &folder, what), (1, String::new()), "{what}");
        let full = File::options().write(true).open("/dev/full");
        let (code, said) = unheard(full.expect("a device"), &folder, what);
        assert!(said.starts_with("standard output: No space left"), "{said}");
        assert_eq!(code, 1);
    }
}
