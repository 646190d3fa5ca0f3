//! Certificates that are renewed while clients are connected, in the ways in which that is done, rightly and wrongly.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;
use weir_codec::{Packet, Version};
use weir_tests::certificates::{Authority, Identity};
use weir_tests::folder;
use weir_tests::packets::connect;
use weir_tests::transport::trusting;
use weir_tests::{Broker, Client, PATIENCE, weir};

use super::{listener, with};

/// The certificate that a new connection is shown.
async fn shown(broker: &Broker) -> CertificateDer<'static> {
    let stream = tokio::net::TcpStream::connect(broker.address())
        .await
        .expect("a connection");
    let connector = TlsConnector::from(std::sync::Arc::new(trusting("http/1.1")));
    let name = "localhost".try_into().expect("a name");
    let stream = connector.connect(name, stream).await.expect("a handshake");
    let chain = stream
        .get_ref()
        .1
        .peer_certificates()
        .expect("a certificate");
    chain[0].clone().into_owned()
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate")
}

async fn is_shown(broker: &Broker, identity: &Identity) {
    let deadline = Instant::now() + PATIENCE;
    while shown(broker).await != der(identity) {
        assert!(
            Instant::now() < deadline,
            "the old certificate is still in use"
        );
        tokio::time::sleep(PATIENCE / 200).await;
    }
}

/// As certbot has it: files are symlinks into an archive, replaced one after the other.
fn link(folder: &Path, identity: &Identity, serial: u32) {
    let archive = folder.join("archive");
    fs::create_dir_all(&archive).expect("a folder");
    for (name, text) in [
        ("fullchain", &identity.certificate),
        ("privkey", &identity.key),
    ] {
        let target = archive.join(format!("{name}{serial}.pem"));
        fs::write(&target, text).expect("a file");
        let temporary = folder.join("new-link");
        std::os::unix::fs::symlink(&target, &temporary).expect("a symlink");
        fs::rename(&temporary, folder.join(format!("{name}.pem"))).expect("a rename");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_and_nobody_is_disconnected() {
    let (authority, folder) = (Authority::shared(), folder());
    let [first, second, third] = [1, 2, 3].map(|serial| authority.server(serial));
    let keys = with(&first, &folder);
    let broker = Broker::start_with(&listener("wss", &keys));
    assert_eq!(shown(&broker).await, der(&first));
    let mut client = Client::connect(&broker, connect(Version::V5, "early")).await;

    link(&folder, &second, 2);
    is_shown(&broker, &second).await;
    broker.logs("new certificate in use");

    // As acme.sh has it, with a signal behind it: the files are overwritten.
    with(&third, &folder.join("archive"));
    fs::rename(
        folder.join("archive/fullchain.pem"),
        folder.join("fullchain.pem"),
    )
    .expect("a rename");
    fs::rename(
        folder.join("archive/privkey.pem"),
        folder.join("privkey.pem"),
    )
    .expect("a rename");
    broker.hang_up();
    is_shown(&broker, &third).await;

    client.send(Packet::PingReq).await;
    assert_eq!(client.recv().await, Packet::PingResp);
}

#[tokio::test]
async fn a_broken_certificate_leaves_the_old_one_in_place_and_is_told_of() {
    let (authority, folder) = (Authority::shared(), folder());
    let (first, other) = (authority.server(1), authority.server(2));
    let broker = Broker::start_with(&listener("wss", &with(&first, &folder)));
    let replace = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    for (name, text, says) in [
        (
            "privkey.pem",
            other.key.as_str(),
            "is not the key of the first certificate",
        ),
        ("privkey.pem", "nothing", "has no unencrypted private key"),
        ("fullchain.pem", "nothing", "has no certificate"),
    ] {
        replace(name, text);
        broker.logs(says);
        assert_eq!(shown(&broker).await, der(&first), "{says}");
    }
    broker.logs("the old one stays");
    with(&other, &folder);
    is_shown(&broker, &other).await;
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_at_the_start_and_by_check() {
    let (authority, folder) = (Authority::shared(), folder());
    let mut mixed = authority.server(1);
    mixed.key = authority.server(2).key;
    let config = folder.join("broker.toml");
    fs::write(&config, listener("wss", &with(&mixed, &folder))).expect("a file");
    for command in ["check", "--config"] {
        let output = Command::new(weir())
            .arg(command)
            .arg(&config)
            .output()
            .expect("weir runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(
            said.contains("privkey.pem: is not the key of the first certificate in"),
            "{said}"
        );
    }
}

/// Whoever has to mend them is told of all at once.
#[test]
fn files_that_are_not_there_are_named_with_where_the_configuration_names_them() {
    let folder = folder();
    let config = folder.join("broker.toml");
    let text = "[auth]\nacl_file = \"no-acl\"\n[[auth.provider]]\nkind = \"password-file\"\nfile = \"no-passwords\"\n";
    let tls = "certificate_file = \"no-chain\"\nkey_file = \"no-key\"\n";
    fs::write(&config, format!("{text}{}", listener("wss", tls))).expect("a file");
    for (command, code) in [("check", 2), ("--config", 1)] {
        let output = Command::new(weir()).arg(command).arg(&config).output();
        let output = output.expect("weir runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        for names in [
            "broker.toml:2: auth.acl_file: no-acl: cannot be read",
            "broker.toml:5: auth.provider.file: no-passwords: cannot be read",
            ": listener.certificate_file: no-chain: cannot be read",
        ] {
            assert!(said.contains(names), "{said}");
        }
    }
    // A path is one below the directory that the broker is started in, wherever its configuration is.
    let elsewhere = weir_tests::folder();
    fs::write(elsewhere.join("no-acl"), "").expect("a file");
    for (started_in, is_named) in [(&folder, true), (&elsewhere, false)] {
        let mut check = Command::new(weir());
        let output = check
            .arg("check")
            .arg(&config)
            .current_dir(started_in)
            .output();
        let said = output.expect("weir runs").stderr;
        assert_eq!(String::from_utf8_lossy(&said).contains("no-acl"), is_named);
    }
}

#[tokio::test]
async fn a_certificate_that_ends_is_warned_of_and_shown_in_health() {
    let folder = folder();
    let expired = Authority::shared().expired_server();
    let broker =
        Broker::start_with(&(listener("ws", "") + &listener("mqtts", &with(&expired, &folder))));
    broker.logs("the certificate has to be renewed");
    let health = weir_tests::Wire::open(&broker)
        .await
        .request("GET", "/healthz", &[])
        .await;
    let health: serde_json::Value = serde_json::from_str(&health.body).expect("JSON");
    // 2020-02-01.
    assert_eq!(health["certificate_not_after"], 1_580_515_200);
}
